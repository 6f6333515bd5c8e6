mock_provider "aws" {
  source = "./tests/mocks"
}

variables {
  name               = "test"
  region             = "eu-central-1"
  email              = "operator@example.com"
  monthly_budget_usd = 150
  queue_names        = { python = "test-queue-python" }
  dead_queue_name    = "test-dead"
  visibility_seconds = 360
  function_names     = ["test-api", "test-authorizer"]
  api_id             = "anapi"
  worker_api_name    = "test-workers"
  group_name         = "test-worker"
  kms_key_arn        = "arn:aws:kms:eu-central-1:123456789012:key/1"
}

run "observability" {
  module {
    source = "./modules/observability"
  }

  assert {
    condition     = aws_cloudwatch_metric_alarm.age["python"].metric_name == "ApproximateAgeOfOldestMessage" && aws_cloudwatch_metric_alarm.age["python"].threshold == 360
    error_message = "O1: a ticket that waits for longer than an evaluation takes is an alarm"
  }
  assert {
    condition = (
      aws_cloudwatch_metric_alarm.dead.metric_name == "ApproximateNumberOfMessagesVisible" && aws_cloudwatch_metric_alarm.dead.dimensions == tomap({ QueueName = "test-dead" })
      && aws_cloudwatch_metric_alarm.dead.threshold == 0
    )
    error_message = "O2: a dead letter is an alarm"
  }
  assert {
    condition = alltrue([for name in var.function_names :
      aws_cloudwatch_metric_alarm.functions["${name}-errors"].metric_name == "Errors" && aws_cloudwatch_metric_alarm.functions["${name}-errors"].dimensions == tomap({ FunctionName = name })
    ])
    error_message = "O3: an error of either function is an alarm"
  }
  assert {
    condition = alltrue([for alarm in concat(values(aws_cloudwatch_metric_alarm.age), values(aws_cloudwatch_metric_alarm.functions), values(aws_cloudwatch_metric_alarm.apis), [aws_cloudwatch_metric_alarm.dead]) :
      alarm.alarm_actions == toset([aws_sns_topic.alarms.arn])
    ])
    error_message = "O4: every alarm reaches the topic"
  }
  assert {
    condition     = aws_sns_topic.alarms.kms_master_key_id == var.kms_key_arn
    error_message = "O5: alarms are encrypted"
  }
  assert {
    condition     = toset([for n in aws_budgets_budget.month.notification : "${n.notification_type} ${n.threshold}"]) == toset(["ACTUAL 80", "FORECASTED 100"])
    error_message = "O6: the budget warns at 80 percent, and when 100 are forecast"
  }
  assert {
    condition     = length(jsondecode(aws_cloudwatch_dashboard.main.dashboard_body).widgets) == 6
    error_message = "O7: the dashboard has six pictures"
  }
  assert {
    condition     = jsondecode(aws_sns_topic_policy.alarms.policy).Statement[0].Condition == { StringEquals = { "aws:SourceAccount" = "123456789012" } }
    error_message = "O8: only this account's services publish alarms"
  }
  assert {
    condition = (
      aws_cloudwatch_metric_alarm.functions["test-api-throttles"].metric_name == "Throttles"
      && aws_cloudwatch_metric_alarm.apis["workers"].dimensions == tomap({ ApiName = "test-workers" })
    )
    error_message = "O9: workers that are not answered are an alarm"
  }
}
