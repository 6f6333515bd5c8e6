variable "name" {
  description = "Prefix of names."
  type        = string
}

variable "retention_days" {
  description = "Days that data is kept."
  type        = number
}
