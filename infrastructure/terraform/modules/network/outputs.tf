output "vpc_id" {
  description = "The VPC."
  value       = aws_vpc.main.id
}

output "private_subnet_ids" {
  description = "The private subnets."
  value       = aws_subnet.private[*].id
}

output "public_subnet_ids" {
  description = "The public subnets."
  value       = aws_subnet.public[*].id
}

output "endpoint_group_id" {
  description = "Security group of the interface endpoints."
  value       = aws_security_group.endpoints.id
}

output "prefix_list_ids" {
  description = "Prefix lists of S3 and DynamoDB, which have addresses outside of the VPC."
  value       = [for endpoint in aws_vpc_endpoint.gateway : endpoint.prefix_list_id]
}
