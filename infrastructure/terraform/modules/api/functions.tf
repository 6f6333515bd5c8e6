# The functions and their roles. Each may do what its code does, by the names of what it does it with.

data "aws_caller_identity" "current" {}

data "aws_partition" "current" {}

locals {
  prefix         = "arn:${data.aws_partition.current.partition}"
  account        = data.aws_caller_identity.current.account_id
  keys_parameter = "/${var.name}/api-keys"
  assume = jsonencode({
    Version = "2012-10-17"
    Statement = [{
      Effect    = "Allow"
      Principal = { Service = "lambda.amazonaws.com" }
      Action    = "sts:AssumeRole"
    }]
  })
  # X-Ray has no resources that could be named.
  trace = {
    Sid      = "Trace"
    Effect   = "Allow"
    Action   = ["xray:PutTraceSegments", "xray:PutTelemetryRecords"]
    Resource = "*"
  }
}

resource "aws_cloudwatch_log_group" "function" {
  #checkov:skip=CKV_AWS_338: retention_days decides
  for_each          = toset(["api", "workers", "authorizer"])
  name              = "/aws/lambda/${var.name}-${each.value}"
  retention_in_days = var.retention_days
  kms_key_id        = var.kms_key_arn
}

# --- the API

resource "aws_iam_role" "api" {
  name               = "${var.name}-api"
  assume_role_policy = local.assume
}

resource "aws_iam_role_policy" "api" {
  name = "api"
  role = aws_iam_role.api.id
  policy = jsonencode({
    Version = "2012-10-17"
    Statement = [
      local.trace,
      {
        Sid      = "Logs"
        Effect   = "Allow"
        Action   = ["logs:CreateLogStream", "logs:PutLogEvents"]
        Resource = [for name in ["api", "workers"] : "${aws_cloudwatch_log_group.function[name].arn}:*"]
      },
      {
        # It sends and counts. It cannot receive, delete or change a queue: a stolen role hides no work from the workers.
        # A publisher of stage 10 writes the redrive policy only where it is another one than its own: the same number
        # of deliveries is in the environment below.
        Sid      = "Send"
        Effect   = "Allow"
        Action   = ["sqs:SendMessage", "sqs:GetQueueUrl", "sqs:GetQueueAttributes"]
        Resource = var.queue_arns
      },
      {
        Sid      = "CountDead"
        Effect   = "Allow"
        Action   = ["sqs:GetQueueUrl", "sqs:GetQueueAttributes"]
        Resource = [var.dead_queue_arn]
      },
      {
        # Nothing is deleted: what has expired is deleted by the table. Nothing is scanned.
        Sid      = "Evaluations"
        Effect   = "Allow"
        Action   = ["dynamodb:GetItem", "dynamodb:PutItem", "dynamodb:UpdateItem", "dynamodb:Query"]
        Resource = var.table_arn
      },
      {
        Sid      = "Lists"
        Effect   = "Allow"
        Action   = "dynamodb:Query"
        Resource = [for index in ["due", "owner", "kind"] : "${var.table_arn}/index/${index}"]
      },
      {
        Sid      = "Large"
        Effect   = "Allow"
        Action   = ["s3:GetObject", "s3:PutObject"]
        Resource = "${var.bucket_arn}/data/*"
      },
      {
        Sid      = "Key"
        Effect   = "Allow"
        Action   = ["kms:Decrypt", "kms:GenerateDataKey"]
        Resource = var.kms_key_arn
      },
    ]
  })
}

# Attack: clients that wait take every copy of the function, and no worker can report -> workers and the sweep have copies
# of their own.
resource "aws_lambda_function" "api" {
  #checkov:skip=CKV_AWS_117: it calls services of AWS only, by IAM; in the VPC it would need NAT or endpoints of its own
  #checkov:skip=CKV_AWS_116: it is called synchronously; what fails is answered, and nothing is left that a queue could keep
  #checkov:skip=CKV_AWS_272: the package's hash is in the plan; a signing profile is an account's decision
  for_each                       = { api = "Crucible's API", workers = "Crucible's API, for workers and the sweep" }
  function_name                  = "${var.name}-${each.key}"
  description                    = each.value
  role                           = aws_iam_role.api.arn
  runtime                        = var.runtimes.api
  handler                        = "bootstrap"
  filename                       = var.package
  source_code_hash               = filebase64sha256(var.package)
  memory_size                    = 512
  timeout                        = 29
  reserved_concurrent_executions = var.concurrency
  kms_key_arn                    = var.kms_key_arn

  environment {
    variables = {
      CRUCIBLE_QUEUE             = "sqs://${var.region}/${var.name}"
      CRUCIBLE_BROKER_DELIVERIES = tostring(var.max_deliveries)
      CRUCIBLE_TABLE             = var.table
      CRUCIBLE_BUCKET            = var.bucket
      CRUCIBLE_RETENTION_DAYS    = tostring(var.retention_days)
      # The sweep, which gives a lost lease back, runs every minute. A worker pauses for a quarter of it between two
      # syncs, each of which is a call.
      CRUCIBLE_LEASE_SECONDS       = "60"
      CRUCIBLE_QUEUE_CAPACITY      = "10000"
      CRUCIBLE_MAX_TIMEOUT_SECONDS = tostring(var.longest_evaluation_seconds)
    }
  }

  tracing_config {
    mode = "Active"
  }

  depends_on = [aws_cloudwatch_log_group.function]
}

resource "aws_lambda_permission" "api" {
  statement_id  = "ApiGateway"
  action        = "lambda:InvokeFunction"
  function_name = aws_lambda_function.api["api"].function_name
  principal     = "apigateway.amazonaws.com"
  source_arn    = "${aws_apigatewayv2_api.main.execution_arn}/*/$default"
}

# --- the sweep: the same function, called by a schedule

resource "aws_cloudwatch_event_rule" "sweep" {
  name                = "${var.name}-sweep"
  description         = "Publishes what was committed and not published, and gives back what a lost worker had"
  schedule_expression = "rate(1 minute)"
}

resource "aws_cloudwatch_event_target" "sweep" {
  rule = aws_cloudwatch_event_rule.sweep.name
  arn  = aws_lambda_function.api["workers"].arn
}

resource "aws_lambda_permission" "sweep" {
  statement_id  = "Sweep"
  action        = "lambda:InvokeFunction"
  function_name = aws_lambda_function.api["workers"].function_name
  principal     = "events.amazonaws.com"
  source_arn    = aws_cloudwatch_event_rule.sweep.arn
}

# --- the authoriser

resource "aws_iam_role" "authorizer" {
  name               = "${var.name}-authorizer"
  assume_role_policy = local.assume
}

resource "aws_iam_role_policy" "authorizer" {
  name = "authorizer"
  role = aws_iam_role.authorizer.id
  policy = jsonencode({
    Version = "2012-10-17"
    Statement = [
      local.trace,
      {
        Sid      = "Logs"
        Effect   = "Allow"
        Action   = ["logs:CreateLogStream", "logs:PutLogEvents"]
        Resource = "${aws_cloudwatch_log_group.function["authorizer"].arn}:*"
      },
      {
        Sid      = "Digests"
        Effect   = "Allow"
        Action   = "ssm:GetParameter"
        Resource = "${local.prefix}:ssm:${var.region}:${local.account}:parameter${local.keys_parameter}"
      },
      {
        Sid      = "Key"
        Effect   = "Allow"
        Action   = "kms:Decrypt"
        Resource = var.kms_key_arn
      },
    ]
  })
}

resource "aws_lambda_function" "authorizer" {
  #checkov:skip=CKV_AWS_117: as the API
  #checkov:skip=CKV_AWS_116: as the API
  #checkov:skip=CKV_AWS_272: as the API
  function_name                  = "${var.name}-authorizer"
  description                    = "Refuses requests without a known key"
  role                           = aws_iam_role.authorizer.arn
  runtime                        = var.runtimes.authorizer
  handler                        = "authorizer.handler"
  filename                       = var.authorizer_package
  source_code_hash               = filebase64sha256(var.authorizer_package)
  memory_size                    = 128
  timeout                        = 5
  reserved_concurrent_executions = var.concurrency
  kms_key_arn                    = var.kms_key_arn

  environment {
    variables = { KEYS_PARAMETER = local.keys_parameter }
  }

  tracing_config {
    mode = "Active"
  }

  depends_on = [aws_cloudwatch_log_group.function]
}

resource "aws_lambda_permission" "authorizer" {
  statement_id  = "ApiGateway"
  action        = "lambda:InvokeFunction"
  function_name = aws_lambda_function.authorizer.function_name
  principal     = "apigateway.amazonaws.com"
  source_arn    = "${aws_apigatewayv2_api.main.execution_arn}/authorizers/${aws_apigatewayv2_authorizer.keys.id}"
}
