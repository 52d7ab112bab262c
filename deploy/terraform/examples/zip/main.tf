# A shell function from a zip:
#
#   make zip TASK=examples/hello HANDLER=function.handler
#   terraform -chdir=deploy/terraform/examples/zip init
#   terraform -chdir=deploy/terraform/examples/zip apply -var architecture=x86_64

terraform {
  required_version = ">= 1.9.0, < 2.0.0"

  required_providers {
    aws = {
      source  = "hashicorp/aws"
      version = "6.25.0"
    }
  }
}

provider "aws" {
  region = var.region
}

variable "architecture" {
  description = "What the package was made for: `make zip` prints it."
  type        = string
}

variable "region" {
  description = "Where the function runs."
  type        = string
  default     = "eu-west-1"
}

variable "filename" {
  description = "The zip that `make zip` wrote."
  type        = string
  default     = "../../../../dist/function.zip"
}

module "function" {
  source = "../.."

  name         = "zerostrap-hello"
  description  = "A shell function on the zerostrap bootstrap"
  architecture = var.architecture
  filename     = var.filename
  handler      = "function.handler"
  memory       = 128
  timeout      = 10

  reserved_concurrency = 5
  log_retention_days   = 365
  function_url         = { invoke_mode = "RESPONSE_STREAM" }
}

output "url" {
  description = "Call it with a signature: curl --aws-sigv4 aws:amz:REGION:lambda."
  value       = module.function.url
}

output "hash" {
  description = "Compare with what `make zip` printed."
  value       = module.function.hash
}
