variable "name" {
  description = "Prefix of names."
  type        = string
}

variable "region" {
  description = "The region."
  type        = string
}

variable "longest_evaluation_seconds" {
  description = "The longest time limit of a submission, as the API has it."
  type        = number
}

variable "ami" {
  description = "Image of the machines."
  type        = string
}

variable "instance_type" {
  description = "Type of the machines."
  type        = string
}

variable "size" {
  description = "Number of machines."
  type        = object({ desired = number, max = number })
}

variable "spot" {
  description = "Whether they are spot machines."
  type        = bool
}

variable "bundle" {
  description = "The bundle: its key in the bucket and its SHA-256."
  type        = object({ key = string, sha256 = string })
}

variable "vpc_id" {
  description = "The VPC."
  type        = string
}

variable "subnet_ids" {
  description = "The subnets of the machines."
  type        = list(string)
}

variable "public" {
  description = "Whether machines have a public address."
  type        = bool
}

variable "internet" {
  description = "Whether there is a way to the internet, for an API with a public address."
  type        = bool
}

variable "endpoint_group_id" {
  description = "Security group of the interface endpoints."
  type        = string
}

variable "prefix_list_ids" {
  description = "Prefix lists of the gateway endpoints."
  type        = list(string)
}

variable "ssh_cidrs" {
  description = "Networks that may open SSH."
  type        = list(string)
}

variable "ssh_key_name" {
  description = "Key pair, or null."
  type        = string
}

variable "ssm_policy" {
  description = "What a machine may do for Session Manager."
  type        = string
}

variable "api_url" {
  description = "Address of the API."
  type        = string
}

variable "api_network" {
  description = "Network and port of an API that is in the VPC, or null."
  type        = object({ cidr = string, port = number })
  default     = null
}

variable "queue_arns" {
  description = "The queues of tickets."
  type        = list(string)
}

variable "dead_queue_arn" {
  description = "The queue of dead letters."
  type        = string
}

variable "visibility_seconds" {
  description = "For how long a delivery is hidden."
  type        = number
}

variable "bucket" {
  description = "The bucket."
  type        = string
}

variable "bucket_arn" {
  description = "The same as an ARN."
  type        = string
}

variable "kms_key_arn" {
  description = "Key of disks, tickets and data."
  type        = string
}
