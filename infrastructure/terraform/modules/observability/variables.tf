variable "name" {
  description = "Prefix of names."
  type        = string
}

variable "region" {
  description = "The region."
  type        = string
}

variable "email" {
  description = "Where alarms go, or null."
  type        = string
}

variable "monthly_budget_usd" {
  description = "Budget a month."
  type        = number
}

variable "queue_names" {
  description = "Queues of tickets, by environment."
  type        = map(string)
}

variable "dead_queue_name" {
  description = "Queue of dead letters."
  type        = string
}

variable "visibility_seconds" {
  description = "For how long a delivery is hidden."
  type        = number
}

variable "function_names" {
  description = "The functions."
  type        = list(string)
}

variable "api_id" {
  description = "The HTTP API."
  type        = string
}

variable "worker_api_name" {
  description = "The private API of workers, or null."
  type        = string
}

variable "group_name" {
  description = "Auto scaling group of the workers."
  type        = string
}

variable "kms_key_arn" {
  description = "Key of the topic."
  type        = string
}
