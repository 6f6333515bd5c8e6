output "ssh_cidrs" {
  description = "Networks that may open SSH: none, or one."
  value       = local.is_ssh ? [var.allowed_ssh_ip] : []
}

output "ssh_key_name" {
  description = "Key pair of the workers, or null."
  value       = local.is_ssh ? aws_key_pair.ssh[0].key_name : null
}

output "ssm_policy" {
  description = "What a worker may do for Session Manager."
  value       = local.ssm_policy
}

output "session_document" {
  description = "Document to start sessions with."
  value       = aws_ssm_document.session.name
}
