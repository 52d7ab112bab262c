# An executable from a container image. The first apply makes the repository, the second the
# function, once there is an image to run:
#
#   terraform -chdir=deploy/terraform/examples/image apply -var architecture=x86_64
#   docker buildx build ... --push          (docs/deploy.md has the whole line)
#   terraform -chdir=deploy/terraform/examples/image apply -var image_digest=sha256:...

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

variable "image_digest" {
  description = "Digest that the push printed; leave it out at the first apply."
  type        = string
  default     = null
}

module "function" {
  source = "../.."

  name         = "zerostrap-image"
  description  = "An executable on the zerostrap bootstrap, in an image made from scratch"
  package      = "image"
  architecture = var.architecture
  image_digest = var.image_digest
  memory       = 128
  timeout      = 10

  reserved_concurrency = 5
}

output "repository_url" {
  description = "Where to push the image."
  value       = module.function.repository_url
}

output "arn" {
  description = "The function; null until there is an image."
  value       = module.function.arn
}
