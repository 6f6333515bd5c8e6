output "kms_key_arn" {
  description = "The key of everything that is stored."
  value       = aws_kms_key.main.arn
}

output "bucket" {
  description = "Name of the bucket."
  value       = aws_s3_bucket.main.id
}

output "bucket_arn" {
  description = "The bucket."
  value       = aws_s3_bucket.main.arn
}

output "table" {
  description = "Name of the table of evaluations."
  value       = aws_dynamodb_table.evaluations.name
}

output "table_arn" {
  description = "The table of evaluations."
  value       = aws_dynamodb_table.evaluations.arn
}
