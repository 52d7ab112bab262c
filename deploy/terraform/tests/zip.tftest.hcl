# `terraform test` runs this with no account: AWS is mocked, nothing is made.

mock_provider "aws" {
  source = "./tests/mocks"
}

variables {
  name     = "hello"
  filename = "tests/function.zip"
  handler  = "function.handler"

  architecture = "arm64"
}

run "defaults_are_private_and_least_privilege" {
  assert {
    condition     = aws_lambda_function.this[0].runtime == "provided.al2023"
    error_message = "A zip runs on provided.al2023."
  }

  assert {
    condition     = aws_lambda_function.this[0].architectures[0] == "arm64"
    error_message = "The architecture is the one that was said."
  }

  assert {
    condition     = aws_lambda_function.this[0].source_code_hash == filebase64sha256("tests/function.zip") && output.hash == aws_lambda_function.this[0].source_code_hash
    error_message = "The hash is the zip's."
  }

  assert {
    condition = jsondecode(aws_iam_role.this.assume_role_policy) == {
      Version = "2012-10-17"
      Statement = [{
        Effect    = "Allow"
        Action    = "sts:AssumeRole"
        Principal = { Service = "lambda.amazonaws.com" }
      }]
    }
    error_message = "Only Lambda may assume the role."
  }

  assert {
    condition = jsondecode(aws_iam_role_policy.this.policy).Statement == [{
      Sid      = "WriteOwnLog"
      Effect   = "Allow"
      Action   = ["logs:CreateLogStream", "logs:PutLogEvents"]
      Resource = "arn:aws:logs:eu-west-1:123456789012:log-group:/aws/lambda/hello:*"
    }]
    error_message = "The function may write to its own log group and nothing else."
  }

  assert {
    condition     = length(aws_iam_role_policy.own) == 0 && length(aws_lambda_function_url.this) == 0 && length(aws_ecr_repository.this) == 0
    error_message = "No policy, URL or repository that was not asked for."
  }

  assert {
    condition     = aws_cloudwatch_log_group.this.retention_in_days == 365 && aws_lambda_function.this[0].logging_config[0].log_group == "/aws/lambda/hello"
    error_message = "Logs go to a group of the function's own and do not stay for ever."
  }

  assert {
    condition     = aws_lambda_function.this[0].logging_config[0].log_format == "JSON" && aws_lambda_function.this[0].logging_config[0].application_log_level == "INFO"
    error_message = "Logs are JSON from INFO up."
  }

  assert {
    condition     = length(aws_lambda_function.this[0].environment) == 0
    error_message = "No environment that was not asked for."
  }

  assert {
    condition     = output.name == "hello" && output.url == null && output.repository_url == null
    error_message = "Outputs of a plain zip function."
  }
}

run "every_option_reaches_the_function" {
  variables {
    architecture            = "x86_64"
    memory                  = 512
    timeout                 = 30
    environment             = { BOOTSTRAP_DEADLINE_MARGIN_MS = "500" }
    layers                  = ["arn:aws:lambda:eu-west-1:123456789012:layer:tools:1"]
    kms_key_arn             = "arn:aws:kms:eu-west-1:123456789012:key/11111111-2222-3333-4444-555555555555"
    tracing                 = "Active"
    dead_letter_arn         = "arn:aws:sqs:eu-west-1:123456789012:lost"
    reserved_concurrency    = 3
    code_signing_config_arn = "arn:aws:lambda:eu-west-1:123456789012:code-signing-config:csc-0123456789abcdef0"
    log_level               = "DEBUG"
    log_retention_days      = 30
    tenant_isolation        = true
    policy                  = "{\"Version\":\"2012-10-17\",\"Statement\":[{\"Effect\":\"Allow\",\"Action\":\"s3:GetObject\",\"Resource\":\"arn:aws:s3:::in/*\"}]}"
    vpc = {
      subnet_ids         = ["subnet-1"]
      security_group_ids = ["sg-1"]
    }
  }

  assert {
    condition     = aws_lambda_function.this[0].memory_size == 512 && aws_lambda_function.this[0].timeout == 30 && aws_lambda_function.this[0].reserved_concurrent_executions == 3
    error_message = "Memory, timeout and concurrency."
  }

  assert {
    condition     = aws_lambda_function.this[0].architectures[0] == "x86_64" && length(aws_lambda_function.this[0].layers) == 1
    error_message = "Architecture and layers."
  }

  assert {
    condition     = aws_lambda_function.this[0].environment[0].variables == tomap({ BOOTSTRAP_DEADLINE_MARGIN_MS = "500" })
    error_message = "Environment."
  }

  assert {
    condition     = aws_lambda_function.this[0].kms_key_arn == var.kms_key_arn && aws_cloudwatch_log_group.this.kms_key_id == var.kms_key_arn
    error_message = "One key for the environment and the log."
  }

  assert {
    condition     = aws_lambda_function.this[0].tracing_config[0].mode == "Active" && aws_lambda_function.this[0].dead_letter_config[0].target_arn == var.dead_letter_arn
    error_message = "Tracing and dead letters."
  }

  assert {
    condition     = aws_lambda_function.this[0].code_signing_config_arn == var.code_signing_config_arn
    error_message = "Code signing."
  }

  assert {
    condition     = one(aws_lambda_function.this[0].vpc_config[0].subnet_ids) == "subnet-1" && one(aws_lambda_function.this[0].vpc_config[0].security_group_ids) == "sg-1"
    error_message = "VPC."
  }

  assert {
    condition     = aws_lambda_function.this[0].tenancy_config[0].tenant_isolation_mode == "PER_TENANT"
    error_message = "Tenant isolation."
  }

  assert {
    condition = [for statement in jsondecode(aws_iam_role_policy.this.policy).Statement : statement.Sid] == [
      "WriteOwnLog", "LambdaAttachesNetworkInterface", "FunctionDoesNot", "DecryptEnvironment", "SendTraces", "SendDeadLetters",
    ]
    error_message = "One right for each option."
  }

  assert {
    condition     = jsondecode(aws_iam_role_policy.this.policy).Statement[2].Condition.ArnEquals["lambda:SourceFunctionArn"] == "arn:aws:lambda:eu-west-1:123456789012:function:hello"
    error_message = "The function's own code may not use the network rights."
  }

  assert {
    condition     = jsondecode(aws_iam_role_policy.this.policy).Statement[5].Action == "sqs:SendMessage"
    error_message = "A queue gets messages."
  }

  assert {
    condition     = aws_iam_role_policy.own[0].policy == var.policy
    error_message = "The function's own policy."
  }
}

run "topic_for_dead_letters_is_published_to" {
  variables {
    dead_letter_arn = "arn:aws:sns:eu-west-1:123456789012:lost"
  }

  assert {
    condition     = jsondecode(aws_iam_role_policy.this.policy).Statement[1].Action == "sns:Publish"
    error_message = "A topic is published to."
  }
}

run "text_logs_have_no_levels" {
  variables {
    log_format = "Text"
  }

  assert {
    condition     = aws_lambda_function.this[0].logging_config[0].application_log_level == null
    error_message = "Lambda refuses levels with Text."
  }
}

run "streaming_url_turns_streaming_on_in_the_bootstrap" {
  variables {
    function_url = { invoke_mode = "RESPONSE_STREAM" }
  }

  assert {
    condition     = aws_lambda_function.this[0].environment[0].variables == tomap({ BOOTSTRAP_RESPONSE_MODE = "streaming" })
    error_message = "Both sides have to stream."
  }

  assert {
    condition     = aws_lambda_function_url.this[0].authorization_type == "AWS_IAM" && aws_lambda_function_url.this[0].invoke_mode == "RESPONSE_STREAM"
    error_message = "The URL asks for a signature and streams."
  }

  assert {
    condition     = output.url == "https://example.lambda-url.eu-west-1.on.aws/"
    error_message = "The URL is told."
  }
}

run "buffered_url_leaves_the_bootstrap_alone" {
  variables {
    function_url = {}
  }

  assert {
    condition     = aws_lambda_function_url.this[0].invoke_mode == "BUFFERED" && length(aws_lambda_function.this[0].environment) == 0
    error_message = "A plain URL is buffered."
  }
}
