variable "name" {
  description = "Name of the function; its log group, role and repository are named after it."
  type        = string

  validation {
    condition     = can(regex("^[A-Za-z0-9_-]{1,64}$", var.name))
    error_message = "name: 1 to 64 letters, digits, - and _."
  }
}

variable "description" {
  description = "What the function is for, as the console shows it."
  type        = string
  default     = ""

  validation {
    condition     = length(var.description) <= 256
    error_message = "description: at most 256 characters."
  }
}

variable "architecture" {
  description = "What the package was made for: `make zip` prints it."
  type        = string

  validation {
    condition     = contains(["arm64", "x86_64"], var.architecture)
    error_message = "architecture: arm64 or x86_64."
  }
}

variable "package" {
  description = "zip: a file made by `make zip`. image: a container image, in a repository that this module makes."
  type        = string
  default     = "zip"

  validation {
    condition     = contains(["zip", "image"], var.package)
    error_message = "package: zip or image."
  }
}

variable "filename" {
  description = "The zip that `make zip` wrote. Required with package = \"zip\"."
  type        = string
  default     = null

  validation {
    condition     = (var.package == "zip") == (var.filename != null)
    error_message = "filename: needed with package = \"zip\", and only there."
  }
}

variable "handler" {
  description = "SCRIPT.FUNCTION for a shell function, or the name of an executable. Required with package = \"zip\"; with an image it takes the place of the image's CMD."
  type        = string
  default     = null

  validation {
    condition     = var.package == "image" || var.handler != null
    error_message = "handler: needed with package = \"zip\"."
  }

  validation {
    condition     = var.handler == null || can(regex("^[^[:space:]]{1,128}$", var.handler))
    error_message = "handler: 1 to 128 characters without a space."
  }
}

variable "image_digest" {
  description = "Digest (sha256:...) of the image to run, as `docker push` prints it. Leave it out at the first apply, which makes the repository to push to."
  type        = string
  default     = null

  validation {
    condition     = var.image_digest == null || can(regex("^sha256:[0-9a-f]{64}$", var.image_digest))
    error_message = "image_digest: sha256: and 64 hex digits; a tag can be moved, a digest cannot."
  }

  validation {
    condition     = var.image_digest == null || var.package == "image"
    error_message = "image_digest: only with package = \"image\"."
  }
}

variable "layers" {
  description = "ARNs of layer versions, for example one that `make layer` packed. Zip only."
  type        = list(string)
  default     = []

  validation {
    condition     = length(var.layers) <= 5 && (length(var.layers) == 0 || var.package == "zip")
    error_message = "layers: at most five, and only with package = \"zip\"."
  }
}

variable "memory" {
  description = "Memory in MB; the share of a processor grows with it."
  type        = number
  default     = 128

  validation {
    condition     = var.memory >= 128 && var.memory <= 10240 && floor(var.memory) == var.memory
    error_message = "memory: a whole number from 128 to 10240."
  }
}

variable "timeout" {
  description = "Seconds that one event may take."
  type        = number
  default     = 10

  validation {
    condition     = var.timeout >= 1 && var.timeout <= 900 && floor(var.timeout) == var.timeout
    error_message = "timeout: a whole number from 1 to 900."
  }
}

variable "environment" {
  description = "Environment variables of the function; the bootstrap's own settings begin with BOOTSTRAP_. Not for secrets."
  type        = map(string)
  default     = {}

  validation {
    condition     = alltrue([for key in keys(var.environment) : can(regex("^[A-Za-z][A-Za-z0-9_]+$", key))])
    error_message = "environment: a name begins with a letter and has two or more letters, digits and _."
  }

  validation {
    condition     = sum(concat([0], [for key, value in var.environment : length(key) + length(value)])) <= 4096
    error_message = "environment: names and values come to more than Lambda's 4096 bytes."
  }
}

variable "vpc" {
  description = "Subnets and security groups to run in; null to run outside of any VPC."
  type = object({
    subnet_ids         = list(string)
    security_group_ids = list(string)
  })
  default = null

  validation {
    condition     = var.vpc == null || try(length(var.vpc.subnet_ids) > 0 && length(var.vpc.security_group_ids) > 0, false)
    error_message = "vpc: at least one subnet and one security group."
  }
}

variable "kms_key_arn" {
  description = "KMS key for the environment, the log group and the repository; null for keys that AWS owns. Its policy must let logs.REGION.amazonaws.com use it."
  type        = string
  default     = null

  validation {
    condition     = var.kms_key_arn == null || can(regex("^arn:[^:]+:kms:[^:]+:[0-9]{12}:key/.+$", var.kms_key_arn))
    error_message = "kms_key_arn: the ARN of a key (an alias does not do for a log group)."
  }
}

variable "tracing" {
  description = "X-Ray: Active samples events itself, PassThrough follows its caller."
  type        = string
  default     = "PassThrough"

  validation {
    condition     = contains(["Active", "PassThrough"], var.tracing)
    error_message = "tracing: Active or PassThrough."
  }
}

variable "dead_letter_arn" {
  description = "SQS queue or SNS topic that gets asynchronous events which failed every retry."
  type        = string
  default     = null

  validation {
    condition     = var.dead_letter_arn == null || can(regex("^arn:[^:]+:(sqs|sns):", var.dead_letter_arn))
    error_message = "dead_letter_arn: the ARN of an SQS queue or an SNS topic."
  }
}

variable "reserved_concurrency" {
  description = "How many events may run at once at most, kept free for this function; -1 for no limit of its own, 0 to stop it."
  type        = number
  default     = -1

  validation {
    condition     = var.reserved_concurrency >= -1 && floor(var.reserved_concurrency) == var.reserved_concurrency
    error_message = "reserved_concurrency: -1, 0 or a positive whole number."
  }
}

variable "code_signing_config_arn" {
  description = "Code-signing configuration: Lambda then refuses a zip that AWS Signer has not signed. Zip only, as images cannot be signed so."
  type        = string
  default     = null

  validation {
    condition     = var.code_signing_config_arn == null || can(regex("^arn:[^:]+:lambda:[^:]+:[0-9]{12}:code-signing-config:csc-[a-z0-9]{17}$", var.code_signing_config_arn))
    error_message = "code_signing_config_arn: the ARN of a code-signing configuration."
  }

  validation {
    condition     = var.code_signing_config_arn == null || var.package == "zip"
    error_message = "code_signing_config_arn: only with package = \"zip\"."
  }
}

variable "log_format" {
  description = "JSON: each line an object with timestamp, level, requestId. Text: lines as they are written."
  type        = string
  default     = "JSON"

  validation {
    condition     = contains(["JSON", "Text"], var.log_format)
    error_message = "log_format: JSON or Text."
  }
}

variable "log_level" {
  description = "Least important line that is kept; Lambda knows levels in JSON only."
  type        = string
  default     = "INFO"

  validation {
    condition     = contains(["TRACE", "DEBUG", "INFO", "WARN", "ERROR", "FATAL"], var.log_level)
    error_message = "log_level: TRACE, DEBUG, INFO, WARN, ERROR or FATAL."
  }
}

variable "log_retention_days" {
  description = "After how many days log lines are deleted; 0 keeps them for ever."
  type        = number
  default     = 365

  validation {
    condition     = contains([0, 1, 3, 5, 7, 14, 30, 60, 90, 120, 150, 180, 365, 400, 545, 731, 1096, 1827, 2192, 2557, 2922, 3288, 3653], var.log_retention_days)
    error_message = "log_retention_days: one of the periods that CloudWatch Logs knows (0, 1, 3, 5, 7, 14, 30, 60, 90, 120, 150, 180, 365, 400, 545, 731, 1096, 1827, 2192, 2557, 2922, 3288, 3653)."
  }
}

variable "function_url" {
  description = "An HTTPS address of the function, for callers with an IAM signature. RESPONSE_STREAM sets BOOTSTRAP_RESPONSE_MODE to streaming as well. null for none."
  type = object({
    invoke_mode = optional(string, "BUFFERED")
  })
  default = null

  validation {
    condition     = var.function_url == null || contains(["BUFFERED", "RESPONSE_STREAM"], try(var.function_url.invoke_mode, ""))
    error_message = "function_url.invoke_mode: BUFFERED or RESPONSE_STREAM."
  }
}

variable "tenant_isolation" {
  description = "Whether each tenant gets execution environments of its own; callers then name the tenant. It cannot be changed afterwards."
  type        = bool
  default     = false

  validation {
    condition     = !(var.tenant_isolation && var.function_url != null)
    error_message = "tenant_isolation: Lambda does not offer it together with a function URL."
  }
}

variable "policy" {
  description = "JSON of an IAM policy with what the function itself may do; null for nothing but its log."
  type        = string
  default     = null

  validation {
    condition     = var.policy == null || can(jsondecode(var.policy).Statement)
    error_message = "policy: the JSON text of an IAM policy with a Statement."
  }
}

variable "permissions_boundary_arn" {
  description = "Permissions boundary of the role, where an organisation asks for one."
  type        = string
  default     = null
}

variable "tags" {
  description = "Tags of everything that the module makes."
  type        = map(string)
  default     = {}
}
