variable "name" {
  description = "Prefix of names."
  type        = string
}

variable "region" {
  description = "The region."
  type        = string
}

variable "vpc_id" {
  description = "The VPC."
  type        = string
}

variable "subnet_ids" {
  description = "The subnets in which the endpoint has an address."
  type        = list(string)
}

variable "endpoint_group_id" {
  description = "Security group of the interface endpoints."
  type        = string
}

variable "function_name" {
  description = "The function behind the API."
  type        = string
}

variable "invoke_arn" {
  description = "What API Gateway calls for the function."
  type        = string
}

variable "throttle" {
  description = "Requests per second: in the long run, and at once."
  type        = object({ rate = number, burst = number })
}
