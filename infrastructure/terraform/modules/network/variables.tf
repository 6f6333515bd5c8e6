variable "name" {
  description = "Prefix of names."
  type        = string
}

variable "region" {
  description = "The region."
  type        = string
}

variable "cidr" {
  description = "Addresses of the VPC."
  type        = string
}

variable "zones" {
  description = "Number of availability zones."
  type        = number
}

variable "nat" {
  description = "Whether there is a NAT gateway: 32.85 USD a month in us-east-1, and 0.045 for each GB."
  type        = bool
}

variable "public" {
  description = "Whether workers are in the public subnets."
  type        = bool
}

variable "kms_key_arn" {
  description = "Key of the flow logs."
  type        = string
}

variable "retention_days" {
  description = "Days that flow logs are kept."
  type        = number
}
