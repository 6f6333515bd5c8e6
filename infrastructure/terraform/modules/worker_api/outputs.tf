output "name" {
  description = "Name of the API, by which its metrics are found."
  value       = aws_api_gateway_rest_api.main.name
}

output "url" {
  description = "Address of the API, which leads to the endpoint in the VPC and to nothing elsewhere."
  value       = "https://${aws_api_gateway_rest_api.main.id}.execute-api.${var.region}.amazonaws.com/${local.stage}"
  # Nothing has this address before all of it is there.
  depends_on = [aws_api_gateway_stage.main, aws_lambda_permission.workers]
}
