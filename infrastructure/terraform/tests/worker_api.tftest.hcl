mock_provider "aws" {
  source = "./tests/mocks"
}

variables {
  name              = "test"
  region            = "eu-central-1"
  vpc_id            = "vpc-1"
  subnet_ids        = ["subnet-private"]
  endpoint_group_id = "sg-endpoints"
  function_name     = "test-api"
  invoke_arn        = "arn:aws:apigateway:eu-central-1:lambda:path/2015-03-31/functions/arn:aws:lambda:eu-central-1:123456789012:function:test-api/invocations"
  throttle          = { rate = 50, burst = 100 }
}

run "workers" {
  module {
    source = "./modules/worker_api"
  }

  assert {
    condition = (
      aws_api_gateway_rest_api.main.endpoint_configuration[0].types == tolist(["PRIVATE"])
      && aws_api_gateway_rest_api.main.endpoint_configuration[0].vpc_endpoint_ids == toset([aws_vpc_endpoint.api.id])
    )
    error_message = "P1: the workers' API has an address in the VPC and none in public"
  }
  assert {
    condition = [for s in jsondecode(aws_api_gateway_rest_api_policy.main.policy).Statement : s.Condition if s.Effect == "Deny"] == [
      { StringNotEquals = { "aws:SourceVpce" = aws_vpc_endpoint.api.id } },
    ]
    error_message = "P2: it refuses what does not come through the endpoint"
  }
  assert {
    condition = (
      aws_api_gateway_resource.workers.path_part == "workers"
      && toset([for name, method in aws_api_gateway_method.below : method.http_method]) == toset(["PUT", "POST", "DELETE"])
    )
    error_message = "P3: it has the requests of workers and no other"
  }
  assert {
    condition     = jsondecode(aws_vpc_endpoint.api.policy).Statement[*].Resource == ["arn:aws:execute-api:eu-central-1:123456789012:*/v1/*/workers/*"]
    error_message = "P4: the endpoint leads to no API of another account"
  }
  assert {
    condition     = aws_api_gateway_method_settings.main.settings[0].throttling_rate_limit == 50 && aws_api_gateway_method_settings.main.settings[0].throttling_burst_limit == 100
    error_message = "P5: requests are throttled"
  }
  assert {
    condition     = endswith(aws_lambda_permission.workers.source_arn, ":anapi/*/*/workers/*")
    error_message = "P6: the API may call the function for the paths of workers"
  }
  assert {
    condition     = aws_vpc_endpoint.api.private_dns_enabled && aws_vpc_endpoint.api.security_group_ids == toset(["sg-endpoints"])
    error_message = "P7: the API's name leads to the endpoint, which accepts HTTPS from the VPC"
  }
  assert {
    condition     = output.url == "https://anapi.execute-api.eu-central-1.amazonaws.com/v1"
    error_message = "P8: the workers' address is that of the private API"
  }
}
