variable "name" {
  description = "Prefix of the queues, as in `sqs://REGION/PREFIX`."
  type        = string
}

variable "environments" {
  description = "Names of the environments."
  type        = list(string)
}

variable "longest_evaluation_seconds" {
  description = "The longest time limit of a submission."
  type        = number
}

variable "kms_key_arn" {
  description = "Key that encrypts the messages."
  type        = string
}

variable "max_deliveries" {
  description = "Deliveries before a ticket is a dead letter. The API has the same number: CRUCIBLE_BROKER_DELIVERIES."
  type        = number
  default     = 10

  validation {
    condition     = var.max_deliveries >= 2 && var.max_deliveries <= 1000
    error_message = "Give 2 to 1000: with 1 a worker that is replaced makes a dead letter."
  }
}
