# Computed values in the form that the provider's own checks want: a mock's default is a random string.

mock_data "aws_caller_identity" {
  defaults = { account_id = "123456789012" }
}

mock_data "aws_partition" {
  defaults = { partition = "aws" }
}

mock_data "aws_region" {
  defaults = { name = "eu-central-1" }
}

mock_data "aws_availability_zones" {
  defaults = { names = ["eu-central-1a", "eu-central-1b", "eu-central-1c"] }
}

mock_resource "aws_kms_key" {
  defaults = { arn = "arn:aws:kms:eu-central-1:123456789012:key/11111111-2222-3333-4444-555555555555" }
}

mock_resource "aws_sqs_queue" {
  defaults = { arn = "arn:aws:sqs:eu-central-1:123456789012:a-queue" }
}

mock_resource "aws_sns_topic" {
  defaults = { arn = "arn:aws:sns:eu-central-1:123456789012:a-topic" }
}

mock_resource "aws_s3_bucket" {
  defaults = { arn = "arn:aws:s3:::a-bucket", id = "a-bucket" }
}

mock_resource "aws_dynamodb_table" {
  defaults = { arn = "arn:aws:dynamodb:eu-central-1:123456789012:table/a-table" }
}

mock_resource "aws_cloudwatch_log_group" {
  defaults = { arn = "arn:aws:logs:eu-central-1:123456789012:log-group:a-group" }
}

mock_resource "aws_iam_role" {
  defaults = { arn = "arn:aws:iam::123456789012:role/a-role", id = "a-role" }
}

mock_resource "aws_iam_instance_profile" {
  defaults = { arn = "arn:aws:iam::123456789012:instance-profile/a-profile" }
}

mock_resource "aws_apigatewayv2_api" {
  defaults = {
    id            = "anapi"
    execution_arn = "arn:aws:execute-api:eu-central-1:123456789012:anapi"
    api_endpoint  = "https://anapi.execute-api.eu-central-1.amazonaws.com"
  }
}

mock_resource "aws_api_gateway_rest_api" {
  defaults = {
    id               = "anapi"
    root_resource_id = "aroot"
    execution_arn    = "arn:aws:execute-api:eu-central-1:123456789012:anapi"
  }
}

mock_resource "aws_apigatewayv2_authorizer" {
  defaults = { id = "anauthorizer" }
}

mock_resource "aws_lambda_function" {
  defaults = {
    arn        = "arn:aws:lambda:eu-central-1:123456789012:function:a-function"
    invoke_arn = "arn:aws:apigateway:eu-central-1:lambda:path/2015-03-31/functions/arn:aws:lambda:eu-central-1:123456789012:function:a-function/invocations"
  }
}

mock_resource "aws_vpc" {
  defaults = { id = "vpc-1" }
}

mock_resource "aws_subnet" {
  defaults = { id = "subnet-1" }
}

mock_resource "aws_route_table" {
  defaults = { id = "rtb-1" }
}

mock_resource "aws_internet_gateway" {
  defaults = { id = "igw-1" }
}

mock_resource "aws_nat_gateway" {
  defaults = { id = "nat-1" }
}

mock_resource "aws_security_group" {
  defaults = { id = "sg-1" }
}

mock_resource "aws_launch_template" {
  defaults = { id = "lt-1", latest_version = 2 }
}

mock_resource "aws_vpc_endpoint" {
  defaults = { id = "vpce-1", prefix_list_id = "pl-1" }
}

mock_resource "aws_cloudwatch_event_rule" {
  defaults = { arn = "arn:aws:events:eu-central-1:123456789012:rule/a-rule" }
}
