# The repository of an image function. Tags cannot be moved, and the function runs a digest anyway.

resource "aws_ecr_repository" "this" {
  count = local.zip ? 0 : 1

  # ECR knows lower case only.
  name                 = lower(var.name)
  image_tag_mutability = "IMMUTABLE"
  tags                 = var.tags

  image_scanning_configuration {
    scan_on_push = true
  }

  encryption_configuration {
    encryption_type = "KMS"
    kms_key         = var.kms_key_arn
  }
}

# Lambda fetches the image itself, for this one function.
resource "aws_ecr_repository_policy" "this" {
  count = local.zip ? 0 : 1

  repository = aws_ecr_repository.this[0].name
  policy = jsonencode({
    Version = "2012-10-17"
    Statement = [{
      Sid       = "LambdaPulls"
      Effect    = "Allow"
      Principal = { Service = "lambda.amazonaws.com" }
      Action    = ["ecr:BatchGetImage", "ecr:GetDownloadUrlForLayer"]
      Condition = { ArnLike = { "aws:SourceArn" = local.function_arn } }
    }]
  })
}

resource "aws_ecr_lifecycle_policy" "this" {
  count = local.zip ? 0 : 1

  repository = aws_ecr_repository.this[0].name
  policy = jsonencode({
    rules = [{
      rulePriority = 1
      description  = "Old images go, the last twenty stay to go back to"
      selection    = { tagStatus = "any", countType = "imageCountMoreThan", countNumber = 20 }
      action       = { type = "expire" }
    }]
  })
}
