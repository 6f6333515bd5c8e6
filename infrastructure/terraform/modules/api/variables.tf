variable "name" {
  description = "Prefix of names."
  type        = string
}

variable "region" {
  description = "The region."
  type        = string
}

variable "package" {
  description = "Zip file of the function."
  type        = string
}

variable "authorizer_package" {
  description = "Zip file of the authoriser."
  type        = string
}

variable "runtimes" {
  description = "Runtimes of the functions."
  type        = object({ api = string, authorizer = string })
}

variable "throttle" {
  description = "Requests per second: in the long run, and at once."
  type        = object({ rate = number, burst = number })
}

variable "concurrency" {
  description = "Copies of the function that may run at once, so that this API cannot use up the account's."
  type        = number
  default     = 20
}

variable "longest_evaluation_seconds" {
  description = "The longest time limit of a submission, for which the queues hide a ticket."
  type        = number
}

variable "queue_arns" {
  description = "The queues of tickets."
  type        = list(string)
}

variable "max_deliveries" {
  description = "Deliveries before a ticket is a dead letter, as the queues have it."
  type        = number
}

variable "dead_queue_arn" {
  description = "The queue of dead letters."
  type        = string
}

variable "bucket" {
  description = "Bucket of large inputs and outputs."
  type        = string
}

variable "bucket_arn" {
  description = "The same as an ARN."
  type        = string
}

variable "table" {
  description = "Table of evaluations."
  type        = string
}

variable "table_arn" {
  description = "The same as an ARN."
  type        = string
}

variable "kms_key_arn" {
  description = "Key of logs and settings."
  type        = string
}

variable "retention_days" {
  description = "Days that logs are kept."
  type        = number
}
