# The way of the workers to the API without the internet. An HTTP API has a public address only. So beside it there is a
# private REST API before the same function: it has the paths of workers, and an address in the VPC.

data "aws_caller_identity" "current" {}

data "aws_partition" "current" {}

locals {
  stage = "v1"
  # What a worker calls. The function verifies its key and the key's scope.
  methods = toset(["PUT", "POST", "DELETE"])
  apis    = "arn:${data.aws_partition.current.partition}:execute-api:${var.region}:${data.aws_caller_identity.current.account_id}"
}

resource "aws_vpc_endpoint" "api" {
  vpc_id              = var.vpc_id
  service_name        = "com.amazonaws.${var.region}.execute-api"
  vpc_endpoint_type   = "Interface"
  subnet_ids          = var.subnet_ids
  security_group_ids  = [var.endpoint_group_id]
  private_dns_enabled = true
  # Attack: a program that leaves its sandbox sends what it finds to an API of another account -> the endpoint leads to this
  # account's, and there to the paths of workers. The API's own name would be a cycle: the API names the endpoint.
  policy = jsonencode({
    Version = "2012-10-17"
    Statement = [{
      Effect    = "Allow"
      Principal = "*"
      Action    = "execute-api:Invoke"
      Resource  = "${local.apis}:*/${local.stage}/*/workers/*"
    }]
  })
}

resource "aws_api_gateway_rest_api" "main" {
  name        = "${var.name}-workers"
  description = "Crucible: the protocol of workers"

  endpoint_configuration {
    types            = ["PRIVATE"]
    vpc_endpoint_ids = [aws_vpc_endpoint.api.id]
  }

  lifecycle {
    create_before_destroy = true
  }
}

# Attack: another VPC, with an endpoint of its own, calls the API -> it answers to this endpoint only.
locals {
  policy = jsonencode({
    Version = "2012-10-17"
    Statement = [
      {
        Effect    = "Allow"
        Principal = "*"
        Action    = "execute-api:Invoke"
        Resource  = "${aws_api_gateway_rest_api.main.execution_arn}/*"
      },
      {
        Effect    = "Deny"
        Principal = "*"
        Action    = "execute-api:Invoke"
        Resource  = "${aws_api_gateway_rest_api.main.execution_arn}/*"
        Condition = { StringNotEquals = { "aws:SourceVpce" = aws_vpc_endpoint.api.id } }
      },
    ]
  })
}

resource "aws_api_gateway_rest_api_policy" "main" {
  rest_api_id = aws_api_gateway_rest_api.main.id
  policy      = local.policy
}

resource "aws_api_gateway_resource" "workers" {
  rest_api_id = aws_api_gateway_rest_api.main.id
  parent_id   = aws_api_gateway_rest_api.main.root_resource_id
  path_part   = "workers"
}

resource "aws_api_gateway_resource" "below" {
  rest_api_id = aws_api_gateway_rest_api.main.id
  parent_id   = aws_api_gateway_resource.workers.id
  path_part   = "{proxy+}"
}

resource "aws_api_gateway_method" "below" {
  #checkov:skip=CKV_AWS_59: the endpoint is the only way here, and the function verifies the worker's key and its scope
  #checkov:skip=CKV2_AWS_53: the function validates each request against the contract
  for_each      = local.methods
  rest_api_id   = aws_api_gateway_rest_api.main.id
  resource_id   = aws_api_gateway_resource.below.id
  http_method   = each.value
  authorization = "NONE"
}

resource "aws_api_gateway_integration" "below" {
  for_each                = local.methods
  rest_api_id             = aws_api_gateway_rest_api.main.id
  resource_id             = aws_api_gateway_resource.below.id
  http_method             = aws_api_gateway_method.below[each.value].http_method
  type                    = "AWS_PROXY"
  integration_http_method = "POST"
  uri                     = var.invoke_arn
  timeout_milliseconds    = 29000
}

resource "aws_api_gateway_deployment" "main" {
  rest_api_id = aws_api_gateway_rest_api.main.id
  # A change of what is deployed is another deployment.
  triggers = {
    content = sha256(jsonencode([
      local.policy, aws_api_gateway_resource.below.path_part, local.methods, var.invoke_arn,
    ]))
  }
  depends_on = [aws_api_gateway_integration.below, aws_api_gateway_rest_api_policy.main]

  lifecycle {
    create_before_destroy = true
  }
}

resource "aws_api_gateway_stage" "main" {
  #checkov:skip=CKV_AWS_76: its log needs a role of the whole account; the function logs each request, the VPC each connection
  #checkov:skip=CKV2_AWS_4: the level of that log, which is not there
  #checkov:skip=CKV_AWS_120: nothing that a worker asks for may come out of a cache
  #checkov:skip=CKV_AWS_73: the function is traced
  #checkov:skip=CKV2_AWS_29: a firewall for the web is for strangers, and this API answers to one endpoint
  #checkov:skip=CKV2_AWS_51: a client certificate is for a server behind the API, and here is a function
  rest_api_id   = aws_api_gateway_rest_api.main.id
  deployment_id = aws_api_gateway_deployment.main.id
  stage_name    = local.stage
}

resource "aws_api_gateway_method_settings" "main" {
  #checkov:skip=CKV_AWS_225: nothing that a worker asks for may come out of a cache
  #checkov:skip=CKV_AWS_308: there is no cache
  #checkov:skip=CKV_AWS_276: there is no trace of data
  rest_api_id = aws_api_gateway_rest_api.main.id
  stage_name  = aws_api_gateway_stage.main.stage_name
  method_path = "*/*"

  settings {
    throttling_rate_limit  = var.throttle.rate
    throttling_burst_limit = var.throttle.burst
    metrics_enabled        = true
  }
}

resource "aws_lambda_permission" "workers" {
  statement_id  = "WorkerApi"
  action        = "lambda:InvokeFunction"
  function_name = var.function_name
  principal     = "apigateway.amazonaws.com"
  source_arn    = "${aws_api_gateway_rest_api.main.execution_arn}/*/*/workers/*"
}
