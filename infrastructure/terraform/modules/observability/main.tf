# Alarms, a dashboard and a budget. Every alarm asks an operator to do something; the book's page says what.

data "aws_caller_identity" "current" {}

resource "aws_sns_topic" "alarms" {
  name              = "${var.name}-alarms"
  kms_master_key_id = var.kms_key_arn
}

resource "aws_sns_topic_policy" "alarms" {
  arn = aws_sns_topic.alarms.arn
  policy = jsonencode({
    Version = "2012-10-17"
    Statement = [{
      Sid       = "Services"
      Effect    = "Allow"
      Principal = { Service = ["cloudwatch.amazonaws.com", "budgets.amazonaws.com"] }
      Action    = "sns:Publish"
      Resource  = aws_sns_topic.alarms.arn
      Condition = { StringEquals = { "aws:SourceAccount" = data.aws_caller_identity.current.account_id } }
    }]
  })
}

resource "aws_sns_topic_subscription" "email" {
  count     = var.email == null ? 0 : 1
  topic_arn = aws_sns_topic.alarms.arn
  protocol  = "email"
  endpoint  = var.email
}

locals {
  complaints = {
    Errors    = "The function ended without a response"
    Throttles = "All copies of the function are in use: what is refused are clients, or workers whose leases expire"
  }
  functions = {
    for pair in setproduct(var.function_names, keys(local.complaints)) :
    "${pair[0]}-${lower(pair[1])}" => { function = pair[0], metric = pair[1] }
  }
  # The two kinds of API have other names for the same metric.
  apis = merge(
    { api = { metric = "5xx", dimensions = { ApiId = var.api_id }, complaint = "The API answers with errors of its own" } },
    var.worker_api_name == null ? {} : {
      workers = { metric = "5XXError", dimensions = { ApiName = var.worker_api_name }, complaint = "Workers are answered with errors: their results and signs of life do not arrive" }
    },
  )
}

# Nothing receives: no worker is there, or each refuses work because gVisor is not proven.
resource "aws_cloudwatch_metric_alarm" "age" {
  for_each            = var.queue_names
  alarm_name          = "${each.value}-oldest"
  alarm_description   = "A ticket waits for longer than the longest evaluation takes: are there workers?"
  namespace           = "AWS/SQS"
  metric_name         = "ApproximateAgeOfOldestMessage"
  dimensions          = { QueueName = each.value }
  statistic           = "Maximum"
  period              = 60
  evaluation_periods  = 5
  threshold           = var.visibility_seconds
  comparison_operator = "GreaterThanThreshold"
  treat_missing_data  = "notBreaching"
  alarm_actions       = [aws_sns_topic.alarms.arn]
  ok_actions          = [aws_sns_topic.alarms.arn]
}

resource "aws_cloudwatch_metric_alarm" "dead" {
  alarm_name          = "${var.dead_queue_name}-letters"
  alarm_description   = "There is a dead letter: a ticket has ended several workers, or is no ticket"
  namespace           = "AWS/SQS"
  metric_name         = "ApproximateNumberOfMessagesVisible"
  dimensions          = { QueueName = var.dead_queue_name }
  statistic           = "Maximum"
  period              = 60
  evaluation_periods  = 1
  threshold           = 0
  comparison_operator = "GreaterThanThreshold"
  treat_missing_data  = "notBreaching"
  alarm_actions       = [aws_sns_topic.alarms.arn]
}

resource "aws_cloudwatch_metric_alarm" "functions" {
  for_each            = local.functions
  alarm_name          = each.key
  alarm_description   = local.complaints[each.value.metric]
  namespace           = "AWS/Lambda"
  metric_name         = each.value.metric
  dimensions          = { FunctionName = each.value.function }
  statistic           = "Sum"
  period              = 60
  evaluation_periods  = 1
  threshold           = 0
  comparison_operator = "GreaterThanThreshold"
  treat_missing_data  = "notBreaching"
  alarm_actions       = [aws_sns_topic.alarms.arn]
}

resource "aws_cloudwatch_metric_alarm" "apis" {
  for_each            = local.apis
  alarm_name          = "${var.name}-${each.key}-5xx"
  alarm_description   = each.value.complaint
  namespace           = "AWS/ApiGateway"
  metric_name         = each.value.metric
  dimensions          = each.value.dimensions
  statistic           = "Sum"
  period              = 300
  evaluation_periods  = 1
  threshold           = 5
  comparison_operator = "GreaterThanThreshold"
  treat_missing_data  = "notBreaching"
  alarm_actions       = [aws_sns_topic.alarms.arn]
}

resource "aws_cloudwatch_dashboard" "main" {
  dashboard_name = var.name
  dashboard_body = jsonencode({
    widgets = [for index, widget in [
      { title = "Oldest ticket (s)", stat = "Maximum", metrics = [for queue in values(var.queue_names) : ["AWS/SQS", "ApproximateAgeOfOldestMessage", "QueueName", queue]] },
      { title = "Tickets that wait", stat = "Maximum", metrics = [for queue in values(var.queue_names) : ["AWS/SQS", "ApproximateNumberOfMessagesVisible", "QueueName", queue]] },
      { title = "Dead letters", stat = "Maximum", metrics = [["AWS/SQS", "ApproximateNumberOfMessagesVisible", "QueueName", var.dead_queue_name]] },
      { title = "Requests", stat = "Sum", metrics = [["AWS/ApiGateway", "Count", "ApiId", var.api_id], ["AWS/ApiGateway", "4xx", "ApiId", var.api_id], ["AWS/ApiGateway", "5xx", "ApiId", var.api_id]] },
      { title = "Functions: errors", stat = "Sum", metrics = [for name in var.function_names : ["AWS/Lambda", "Errors", "FunctionName", name]] },
      { title = "Workers", stat = "Average", metrics = [["AWS/AutoScaling", "GroupInServiceInstances", "AutoScalingGroupName", var.group_name]] },
      ] : {
      type   = "metric"
      x      = (index % 3) * 8
      y      = floor(index / 3) * 6
      width  = 8
      height = 6
      properties = {
        title   = widget.title
        region  = var.region
        period  = 60
        stat    = widget.stat
        metrics = widget.metrics
      }
    }]
  })
}

resource "aws_budgets_budget" "month" {
  name              = var.name
  budget_type       = "COST"
  limit_amount      = tostring(var.monthly_budget_usd)
  limit_unit        = "USD"
  time_unit         = "MONTHLY"
  time_period_start = "2026-01-01_00:00"

  dynamic "notification" {
    for_each = { ACTUAL = 80, FORECASTED = 100 }
    content {
      comparison_operator        = "GREATER_THAN"
      threshold                  = notification.value
      threshold_type             = "PERCENTAGE"
      notification_type          = notification.key
      subscriber_sns_topic_arns  = [aws_sns_topic.alarms.arn]
      subscriber_email_addresses = var.email == null ? [] : [var.email]
    }
  }
}
