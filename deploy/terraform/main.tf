locals {
  zip = var.package == "zip"
  # An image function can only be made once its image is there.
  deployed = local.zip || var.image_digest != null

  function_arn = "arn:${data.aws_partition.current.partition}:lambda:${data.aws_region.current.region}:${data.aws_caller_identity.current.account_id}:function:${var.name}"

  # A stream needs both sides: the URL's invoke mode and the bootstrap's response mode.
  streaming   = var.function_url != null && try(var.function_url.invoke_mode, "") == "RESPONSE_STREAM"
  environment = merge(local.streaming ? { BOOTSTRAP_RESPONSE_MODE = "streaming" } : {}, var.environment)
}

data "aws_partition" "current" {}
data "aws_region" "current" {}
data "aws_caller_identity" "current" {}

resource "aws_cloudwatch_log_group" "this" {
  name              = "/aws/lambda/${var.name}"
  retention_in_days = var.log_retention_days
  kms_key_id        = var.kms_key_arn
  tags              = var.tags
}

resource "aws_lambda_function" "this" {
  count = local.deployed ? 1 : 0

  function_name = var.name
  description   = var.description
  role          = aws_iam_role.this.arn
  architectures = [var.architecture]
  memory_size   = var.memory
  timeout       = var.timeout

  package_type            = local.zip ? "Zip" : "Image"
  runtime                 = local.zip ? "provided.al2023" : null
  handler                 = local.zip ? var.handler : null
  filename                = var.filename
  source_code_hash        = local.zip ? filebase64sha256(var.filename) : null
  layers                  = local.zip ? var.layers : null
  code_signing_config_arn = var.code_signing_config_arn
  image_uri               = local.zip ? null : "${aws_ecr_repository.this[0].repository_url}@${var.image_digest}"

  reserved_concurrent_executions = var.reserved_concurrency
  kms_key_arn                    = var.kms_key_arn
  tags                           = var.tags

  logging_config {
    log_group             = aws_cloudwatch_log_group.this.name
    log_format            = var.log_format
    application_log_level = var.log_format == "JSON" ? var.log_level : null
    system_log_level      = var.log_format == "JSON" ? "INFO" : null
  }

  tracing_config {
    mode = var.tracing
  }

  dynamic "environment" {
    for_each = length(local.environment) == 0 ? [] : [local.environment]
    content {
      variables = environment.value
    }
  }

  dynamic "image_config" {
    for_each = local.zip || var.handler == null ? [] : [var.handler]
    content {
      command = [image_config.value]
    }
  }

  dynamic "vpc_config" {
    for_each = var.vpc == null ? [] : [var.vpc]
    content {
      subnet_ids         = vpc_config.value.subnet_ids
      security_group_ids = vpc_config.value.security_group_ids
    }
  }

  dynamic "dead_letter_config" {
    for_each = var.dead_letter_arn == null ? [] : [var.dead_letter_arn]
    content {
      target_arn = dead_letter_config.value
    }
  }

  dynamic "tenancy_config" {
    for_each = var.tenant_isolation ? ["PER_TENANT"] : []
    content {
      tenant_isolation_mode = tenancy_config.value
    }
  }

  # Without its rights the function could neither enter a VPC nor write its first log line.
  depends_on = [aws_iam_role_policy.this]
}

resource "aws_lambda_function_url" "this" {
  count = var.function_url != null && local.deployed ? 1 : 0

  function_name      = aws_lambda_function.this[0].function_name
  authorization_type = "AWS_IAM"
  invoke_mode        = var.function_url.invoke_mode
}
