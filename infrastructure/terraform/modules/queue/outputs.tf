output "arns" {
  description = "The queues of tickets."
  value       = [for queue in aws_sqs_queue.tickets : queue.arn]
}

output "names" {
  description = "Names of the queues of tickets, by environment."
  value       = local.names
}

output "dead_arn" {
  description = "The queue of dead letters."
  value       = aws_sqs_queue.dead.arn
}

output "dead_name" {
  description = "Name of the queue of dead letters."
  value       = aws_sqs_queue.dead.name
}

output "max_deliveries" {
  description = "Deliveries before a ticket is a dead letter."
  value       = var.max_deliveries
}

output "visibility_seconds" {
  description = "For how long a delivery is hidden."
  value       = local.visibility_seconds
}
