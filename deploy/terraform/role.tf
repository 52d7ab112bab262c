# What the function may do. Each statement is there because of one input; with none of them set the
# function can write to its own log group and nothing else.

locals {
  # Lambda attaches the network interface in the role's name; the Deny below keeps the function's own
  # code from using that right.
  network_actions = [
    "ec2:AssignPrivateIpAddresses",
    "ec2:CreateNetworkInterface",
    "ec2:DeleteNetworkInterface",
    "ec2:DescribeNetworkInterfaces",
    "ec2:DescribeSubnets",
    "ec2:UnassignPrivateIpAddresses",
  ]

  # input[*] is a list of one, or of none when the input is null.
  statements = flatten([
    {
      Sid      = "WriteOwnLog"
      Effect   = "Allow"
      Action   = ["logs:CreateLogStream", "logs:PutLogEvents"]
      Resource = "${aws_cloudwatch_log_group.this.arn}:*"
    },
    [for vpc in var.vpc[*] : [
      {
        Sid      = "LambdaAttachesNetworkInterface"
        Effect   = "Allow"
        Action   = local.network_actions
        Resource = "*"
      },
      {
        Sid       = "FunctionDoesNot"
        Effect    = "Deny"
        Action    = local.network_actions
        Resource  = "*"
        Condition = { ArnEquals = { "lambda:SourceFunctionArn" = local.function_arn } }
      },
    ]],
    [for arn in var.kms_key_arn[*] : {
      Sid      = "DecryptEnvironment"
      Effect   = "Allow"
      Action   = "kms:Decrypt"
      Resource = arn
    }],
    # X-Ray knows no resources to name here.
    [for mode in [var.tracing] : {
      Sid      = "SendTraces"
      Effect   = "Allow"
      Action   = ["xray:PutTelemetryRecords", "xray:PutTraceSegments"]
      Resource = "*"
    } if mode == "Active"],
    [for arn in var.dead_letter_arn[*] : {
      Sid      = "SendDeadLetters"
      Effect   = "Allow"
      Action   = strcontains(arn, ":sqs:") ? "sqs:SendMessage" : "sns:Publish"
      Resource = arn
    }],
  ])
}

resource "aws_iam_role" "this" {
  name_prefix          = "${substr(var.name, 0, 37)}-"
  description          = "Execution role of the Lambda function ${var.name}"
  permissions_boundary = var.permissions_boundary_arn
  tags                 = var.tags

  # Lambda alone.
  assume_role_policy = jsonencode({
    Version = "2012-10-17"
    Statement = [{
      Effect    = "Allow"
      Action    = "sts:AssumeRole"
      Principal = { Service = "lambda.amazonaws.com" }
    }]
  })
}

resource "aws_iam_role_policy" "this" {
  name = "runtime"
  role = aws_iam_role.this.name

  policy = jsonencode({
    Version   = "2012-10-17"
    Statement = local.statements
  })
}

resource "aws_iam_role_policy" "own" {
  count = var.policy == null ? 0 : 1

  name   = "function"
  role   = aws_iam_role.this.name
  policy = var.policy
}
