output "id" {
  description = "The HTTP API."
  value       = aws_apigatewayv2_api.main.id
}

output "url" {
  description = "Its address."
  value       = local.url
}

output "invoke_arn" {
  description = "What another API of API Gateway calls for the function of workers."
  value       = aws_lambda_function.api["workers"].invoke_arn
}

output "workers_function_name" {
  description = "The function of workers."
  value       = aws_lambda_function.api["workers"].function_name
}

output "function_names" {
  description = "The functions."
  value       = concat([for function in aws_lambda_function.api : function.function_name], [aws_lambda_function.authorizer.function_name])
}

output "keys_parameter" {
  description = "Parameter with the digests of the API keys."
  value       = local.keys_parameter
}
