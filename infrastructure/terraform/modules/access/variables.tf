variable "name" {
  description = "Prefix of names."
  type        = string
}

variable "mode" {
  description = "private_ssm or public_ssh."
  type        = string
}

variable "allowed_ssh_ip" {
  description = "Who may open SSH, with public_ssh."
  type        = string
}

variable "ssh_public_key" {
  description = "An ed25519 public key, with public_ssh."
  type        = string
}

variable "kms_key_arn" {
  description = "Key of sessions and their logs."
  type        = string
}

variable "retention_days" {
  description = "Days that logs of sessions are kept."
  type        = number
}
