mock_provider "aws" {
  source = "./tests/mocks"
}

variables {
  name               = "test"
  region             = "eu-central-1"
  package            = "tests/mocks/aws.tfmock.hcl"
  authorizer_package = "tests/mocks/aws.tfmock.hcl"
  runtimes           = { api = "provided.al2", authorizer = "python3.8" }
  throttle           = { rate = 50, burst = 100 }

  longest_evaluation_seconds = 600

  queue_arns     = ["arn:aws:sqs:eu-central-1:123456789012:test-queue-python"]
  max_deliveries = 10
  dead_queue_arn = "arn:aws:sqs:eu-central-1:123456789012:test-dead"
  bucket         = "a-bucket"
  bucket_arn     = "arn:aws:s3:::a-bucket"
  table          = "a-table"
  table_arn      = "arn:aws:dynamodb:eu-central-1:123456789012:table/a-table"
  kms_key_arn    = "arn:aws:kms:eu-central-1:123456789012:key/1"
  retention_days = 30
}

run "api" {
  module {
    source = "./modules/api"
  }

  assert {
    condition     = aws_apigatewayv2_route.main.authorization_type == "CUSTOM" && aws_apigatewayv2_route.main.authorizer_id == aws_apigatewayv2_authorizer.keys.id
    error_message = "A1: every route asks the authoriser"
  }
  assert {
    condition     = aws_apigatewayv2_stage.main.default_route_settings[0].throttling_rate_limit == 50 && aws_apigatewayv2_stage.main.default_route_settings[0].throttling_burst_limit == 100
    error_message = "A2: requests are throttled"
  }
  assert {
    condition     = length(aws_apigatewayv2_stage.main.access_log_settings) == 1 && aws_cloudwatch_log_group.access.kms_key_id == var.kms_key_arn
    error_message = "A3: requests are logged, encrypted"
  }
  assert {
    condition     = !can(regex("(?i)authorization|header|\\$context.path", try(aws_apigatewayv2_stage.main.access_log_settings[0].format, "")))
    error_message = "A4: the log of requests has no header and no path"
  }
  assert {
    condition     = startswith(coalesce(aws_lambda_permission.api.source_arn, "none"), "arn:aws:execute-api:eu-central-1:123456789012:anapi/")
    error_message = "A5: only this API calls the function"
  }
  assert {
    condition = toset(flatten([for s in jsondecode(aws_iam_role_policy.api.policy).Statement : s.Action if contains(flatten([s.Resource]), var.queue_arns[0])])) == toset([
      "sqs:SendMessage", "sqs:GetQueueUrl", "sqs:GetQueueAttributes",
    ])
    error_message = "A6: the API cannot receive or delete tickets, or change a queue"
  }
  assert {
    condition     = aws_apigatewayv2_authorizer.keys.identity_sources == toset(["$request.header.Authorization"])
    error_message = "A7: a request without a key starts no function"
  }
  assert {
    condition     = alltrue([for function in aws_lambda_function.api : function.reserved_concurrent_executions > 0]) && aws_lambda_function.authorizer.reserved_concurrent_executions > 0
    error_message = "A8: the functions cannot use up the account's concurrency"
  }
  assert {
    condition     = [for s in jsondecode(aws_iam_role_policy.authorizer.policy).Statement : s.Resource if s.Sid == "Digests"] == ["arn:aws:ssm:eu-central-1:123456789012:parameter/test/api-keys"]
    error_message = "A9: the authoriser reads one parameter"
  }
  assert {
    condition = alltrue([for s in concat(jsondecode(aws_iam_role_policy.api.policy).Statement, jsondecode(aws_iam_role_policy.authorizer.policy).Statement) :
      s.Sid == "Trace" || (alltrue([for resource in flatten([s.Resource]) : resource != "*"]) && alltrue([for action in flatten([s.Action]) : !strcontains(action, "*")]))
    ])
    error_message = "A10: the roles name their actions and what they do them with"
  }
  assert {
    condition     = [for s in jsondecode(aws_iam_role_policy.api.policy).Statement : s.Resource if s.Sid == "Large"] == ["arn:aws:s3:::a-bucket/data/*"]
    error_message = "A11: the API cannot write what workers install"
  }
  assert {
    condition     = aws_apigatewayv2_authorizer.keys.authorizer_result_ttl_in_seconds <= 60
    error_message = "A12: a revoked key counts for a minute at most"
  }
  assert {
    condition     = aws_lambda_permission.sweep.source_arn == aws_cloudwatch_event_rule.sweep.arn && aws_cloudwatch_event_target.sweep.arn == aws_lambda_function.api["workers"].arn
    error_message = "A13: only this schedule starts the sweep"
  }
  assert {
    condition = toset(flatten([for s in jsondecode(aws_iam_role_policy.api.policy).Statement : s.Action if contains(flatten([s.Resource]), var.table_arn)])) == toset([
      "dynamodb:GetItem", "dynamodb:PutItem", "dynamodb:UpdateItem", "dynamodb:Query",
    ])
    error_message = "A14: the API cannot delete evaluations or scan the table"
  }
  assert {
    condition     = alltrue([for function in aws_lambda_function.api : function.environment[0].variables.CRUCIBLE_MAX_TIMEOUT_SECONDS == "600"])
    error_message = "A15: no program may run for longer than its ticket is hidden"
  }
  assert {
    condition     = output.workers_function_name == "test-workers" && aws_lambda_permission.sweep.function_name == "test-workers"
    error_message = "A16: clients that wait take no copy of the function from workers and the sweep"
  }
}
