# The HTTP API: throttled, logged, and closed to requests without a known key, before the function is started.

locals {
  url = aws_apigatewayv2_api.main.api_endpoint
}

resource "aws_apigatewayv2_api" "main" {
  name          = var.name
  description   = "Crucible: evaluation of untrusted programs"
  protocol_type = "HTTP"
}

resource "aws_apigatewayv2_integration" "main" {
  api_id                 = aws_apigatewayv2_api.main.id
  integration_type       = "AWS_PROXY"
  integration_uri        = aws_lambda_function.api["api"].invoke_arn
  payload_format_version = "2.0"
  timeout_milliseconds   = 30000
}

# One route: the contract of stage 08 decides what exists, once.
resource "aws_apigatewayv2_route" "main" {
  api_id             = aws_apigatewayv2_api.main.id
  route_key          = "$default"
  target             = "integrations/${aws_apigatewayv2_integration.main.id}"
  authorization_type = "CUSTOM"
  authorizer_id      = aws_apigatewayv2_authorizer.keys.id
}

resource "aws_apigatewayv2_authorizer" "keys" {
  api_id                            = aws_apigatewayv2_api.main.id
  name                              = "keys"
  authorizer_type                   = "REQUEST"
  authorizer_uri                    = aws_lambda_function.authorizer.invoke_arn
  authorizer_payload_format_version = "2.0"
  enable_simple_responses           = true
  # A request without this header is refused by API Gateway itself. A revoked key counts for this long.
  identity_sources                 = ["$request.header.Authorization"]
  authorizer_result_ttl_in_seconds = 60
}

resource "aws_apigatewayv2_stage" "main" {
  api_id      = aws_apigatewayv2_api.main.id
  name        = "$default"
  auto_deploy = true

  default_route_settings {
    throttling_rate_limit    = var.throttle.rate
    throttling_burst_limit   = var.throttle.burst
    detailed_metrics_enabled = true
  }

  access_log_settings {
    destination_arn = aws_cloudwatch_log_group.access.arn
    # No header and no path with an id of a tenant in it: what is needed to find the request in the function's log.
    format = jsonencode({
      requestId  = "$context.requestId"
      time       = "$context.requestTime"
      ip         = "$context.identity.sourceIp"
      method     = "$context.httpMethod"
      status     = "$context.status"
      length     = "$context.responseLength"
      latency    = "$context.responseLatency"
      authorizer = "$context.authorizer.error"
      key        = "$context.authorizer.key"
    })
  }
}

resource "aws_cloudwatch_log_group" "access" {
  #checkov:skip=CKV_AWS_338: retention_days decides
  name              = "/${var.name}/access"
  retention_in_days = var.retention_days
  kms_key_id        = var.kms_key_arn
}
