output "api_url" {
  description = "Address of the API."
  value       = module.api.url
}

output "queue_url" {
  description = "What `--queue` is, for the API and for workers."
  value       = "sqs://${var.region}/${var.name}"
}

output "bucket" {
  description = "Bucket of releases and of large inputs and outputs."
  value       = module.storage.bucket
}

output "worker_group" {
  description = "Auto scaling group of the workers."
  value       = module.worker.group_name
}

output "worker_key_parameter" {
  description = "Where to put the workers' key: aws ssm put-parameter --type SecureString --name NAME --value crk_..."
  value       = module.worker.key_parameter
}

output "authorizer_keys_parameter" {
  description = "Where to put the SHA-256 digests of the API keys that may call: {\"NAME\": \"DIGEST\"}."
  value       = module.api.keys_parameter
}

output "connect" {
  description = "How to open a shell on a worker."
  value       = var.access_mode == "public_ssh" ? "ssh admin@ADDRESS" : "aws ssm start-session --target INSTANCE --document-name ${module.access.session_document}"
}
