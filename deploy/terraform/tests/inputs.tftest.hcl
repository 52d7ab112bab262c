# Each validation of the inputs, broken once.

mock_provider "aws" {
  source = "./tests/mocks"
}

variables {
  name     = "hello"
  filename = "tests/function.zip"
  handler  = "function.handler"

  architecture = "arm64"
}

run "name_with_a_space_is_refused" {
  command = plan

  variables {
    name = "hel lo"
  }

  expect_failures = [var.name]
}

run "description_too_long_is_refused" {
  command = plan

  variables {
    description = join("", [for i in range(257) : "x"])
  }

  expect_failures = [var.description]
}

run "architecture_unknown_is_refused" {
  command = plan

  variables {
    architecture = "aarch64"
  }

  expect_failures = [var.architecture]
}

run "package_unknown_is_refused" {
  command = plan

  variables {
    package = "jar"
  }

  expect_failures = [var.package]
}

run "zip_without_a_file_is_refused" {
  command = plan

  variables {
    filename = null
  }

  expect_failures = [var.filename]
}

run "zip_without_a_handler_is_refused" {
  command = plan

  variables {
    handler = null
  }

  expect_failures = [var.handler]
}

run "handler_with_a_space_is_refused" {
  command = plan

  variables {
    handler = "function handler"
  }

  expect_failures = [var.handler]
}

run "digest_that_is_a_tag_is_refused" {
  command = plan

  variables {
    image_digest = "latest"
  }

  expect_failures = [var.image_digest]
}

run "digest_with_a_zip_is_refused" {
  command = plan

  variables {
    image_digest = "sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"
  }

  expect_failures = [var.image_digest]
}

run "six_layers_is_refused" {
  command = plan

  variables {
    layers = [for i in range(6) : "arn:aws:lambda:eu-west-1:123456789012:layer:tools:${i}"]
  }

  expect_failures = [var.layers]
}

run "memory_too_small_is_refused" {
  command = plan

  variables {
    memory = 127
  }

  expect_failures = [var.memory]
}

run "memory_too_large_is_refused" {
  command = plan

  variables {
    memory = 10241
  }

  expect_failures = [var.memory]
}

run "timeout_too_long_is_refused" {
  command = plan

  variables {
    timeout = 901
  }

  expect_failures = [var.timeout]
}

run "timeout_of_none_is_refused" {
  command = plan

  variables {
    timeout = 0
  }

  expect_failures = [var.timeout]
}

run "environment_name_reserved_form_is_refused" {
  command = plan

  variables {
    environment = { "_HANDLER" = "x" }
  }

  expect_failures = [var.environment]
}

run "environment_too_large_is_refused" {
  command = plan

  variables {
    environment = { LARGE = join("", [for i in range(1023) : "wxyz"]) }
  }

  expect_failures = [var.environment]
}

run "vpc_without_a_subnet_is_refused" {
  command = plan

  variables {
    vpc = { subnet_ids = [], security_group_ids = ["sg-1"] }
  }

  expect_failures = [var.vpc]
}

run "key_that_is_an_alias_is_refused" {
  command = plan

  variables {
    kms_key_arn = "arn:aws:kms:eu-west-1:123456789012:alias/mine"
  }

  expect_failures = [var.kms_key_arn]
}

run "tracing_unknown_is_refused" {
  command = plan

  variables {
    tracing = "On"
  }

  expect_failures = [var.tracing]
}

run "dead_letters_to_a_bucket_is_refused" {
  command = plan

  variables {
    dead_letter_arn = "arn:aws:s3:::lost"
  }

  expect_failures = [var.dead_letter_arn]
}

run "concurrency_below_none_is_refused" {
  command = plan

  variables {
    reserved_concurrency = -2
  }

  expect_failures = [var.reserved_concurrency]
}

run "code_signing_by_name_is_refused" {
  command = plan

  variables {
    code_signing_config_arn = "mine"
  }

  expect_failures = [var.code_signing_config_arn]
}

run "log_format_unknown_is_refused" {
  command = plan

  variables {
    log_format = "XML"
  }

  expect_failures = [var.log_format]
}

run "log_level_unknown_is_refused" {
  command = plan

  variables {
    log_level = "LOUD"
  }

  expect_failures = [var.log_level]
}

run "log_retention_unknown_is_refused" {
  command = plan

  variables {
    log_retention_days = 31
  }

  expect_failures = [var.log_retention_days]
}

run "invoke_mode_unknown_is_refused" {
  command = plan

  variables {
    function_url = { invoke_mode = "STREAM" }
  }

  expect_failures = [var.function_url]
}

run "tenants_behind_a_url_is_refused" {
  command = plan

  variables {
    tenant_isolation = true
    function_url     = {}
  }

  expect_failures = [var.tenant_isolation]
}

run "policy_that_is_none_is_refused" {
  command = plan

  variables {
    policy = "allow"
  }

  expect_failures = [var.policy]
}

run "code_signing_of_an_image_is_refused" {
  command = plan

  variables {
    package                 = "image"
    filename                = null
    code_signing_config_arn = "arn:aws:lambda:eu-west-1:123456789012:code-signing-config:csc-0123456789abcdef0"
  }

  expect_failures = [var.code_signing_config_arn]
}
