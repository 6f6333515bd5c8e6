output "id" {
  description = "The HTTP API."
  value       = aws_apigatewayv2_api.main.id
}

output "url" {
  description = "Its address."
  value       = local.url
}

output "invoke_arn" {
  description = "What another API of API Gateway calls for the API's function."
  value       = aws_lambda_function.api.invoke_arn
}

output "function_names" {
  description = "The functions."
  value       = [aws_lambda_function.api.function_name, aws_lambda_function.authorizer.function_name]
}

output "keys_parameter" {
  description = "Parameter with the digests of the API keys."
  value       = local.keys_parameter
}
