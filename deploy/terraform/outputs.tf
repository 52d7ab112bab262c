output "arn" {
  description = "ARN of the function; null until an image is deployed."
  value       = one(aws_lambda_function.this[*].arn)
}

output "name" {
  description = "Name of the function; null until an image is deployed."
  value       = one(aws_lambda_function.this[*].function_name)
}

output "role_arn" {
  description = "ARN of the execution role."
  value       = aws_iam_role.this.arn
}

output "role_name" {
  description = "Name of the execution role, to attach further policies to."
  value       = aws_iam_role.this.name
}

output "log_group_name" {
  description = "Log group that the function writes to."
  value       = aws_cloudwatch_log_group.this.name
}

output "url" {
  description = "Function URL; null without one."
  value       = one(aws_lambda_function_url.this[*].function_url)
}

output "hash" {
  description = "What runs: the base64 sha256 of the zip, as `make zip` prints it, or the image's digest."
  value       = local.zip ? filebase64sha256(var.filename) : var.image_digest
}

output "repository_url" {
  description = "Where to push the image; null with a zip."
  value       = one(aws_ecr_repository.this[*].repository_url)
}
