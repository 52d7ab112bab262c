mock_provider "aws" {
  source = "./tests/mocks"
}

variables {
  name    = "Hello"
  package = "image"

  architecture = "arm64"
}

run "first_apply_makes_the_repository_alone" {
  assert {
    condition     = length(aws_lambda_function.this) == 0 && output.arn == null && output.hash == null
    error_message = "No function before there is an image."
  }

  assert {
    condition     = aws_ecr_repository.this[0].name == "hello" && output.repository_url == "123456789012.dkr.ecr.eu-west-1.amazonaws.com/hello"
    error_message = "A repository to push to, in lower case."
  }

  assert {
    condition     = aws_ecr_repository.this[0].image_tag_mutability == "IMMUTABLE" && aws_ecr_repository.this[0].image_scanning_configuration[0].scan_on_push
    error_message = "Tags stay, and images are scanned."
  }

  assert {
    condition     = jsondecode(aws_ecr_repository_policy.this[0].policy).Statement[0].Condition.ArnLike["aws:SourceArn"] == "arn:aws:lambda:eu-west-1:123456789012:function:Hello"
    error_message = "Lambda pulls for this function alone."
  }
}

run "second_apply_makes_the_function" {
  variables {
    image_digest = "sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"
  }

  assert {
    condition     = aws_lambda_function.this[0].package_type == "Image" && aws_lambda_function.this[0].image_uri == "${output.repository_url}@${var.image_digest}"
    error_message = "The function runs a digest, not a tag."
  }

  assert {
    condition     = aws_lambda_function.this[0].runtime == null && aws_lambda_function.this[0].handler == null && length(aws_lambda_function.this[0].image_config) == 0
    error_message = "The image says what runs."
  }

  assert {
    condition     = output.hash == var.image_digest
    error_message = "The hash is the digest."
  }
}

run "handler_takes_the_place_of_cmd" {
  variables {
    image_digest = "sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"
    handler      = "function.other"
  }

  assert {
    condition     = aws_lambda_function.this[0].image_config[0].command[0] == "function.other"
    error_message = "The handler is the image's command."
  }
}
