output "group_name" {
  description = "The auto scaling group."
  value       = aws_autoscaling_group.worker.name
}

output "key_parameter" {
  description = "Parameter with the worker's key."
  value       = local.key_parameter
}
