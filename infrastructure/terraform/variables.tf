variable "region" {
  description = "Region of AWS, such as eu-central-1."
  type        = string

  validation {
    condition     = can(regex("^[a-z]{2}(-[a-z]+)+-[0-9]$", var.region))
    error_message = "Give the name of a region, such as eu-central-1."
  }
}

variable "name" {
  description = "Prefix of all names, and the PREFIX of `--queue sqs://REGION/PREFIX`."
  type        = string
  default     = "crucible"

  validation {
    condition     = can(regex("^[a-z][a-z0-9-]{1,19}$", var.name))
    error_message = "Give 2 to 20 small letters, digits and hyphens, beginning with a letter."
  }
}

# --- access

variable "access_mode" {
  description = <<-EOT
    How an operator reaches a worker. `private_ssm`: workers have no public address and no open port; Session Manager
    opens a shell. `public_ssh`: workers are in the public subnet and accept SSH from `allowed_ssh_ip`.
    Changing it replaces the workers, one after the other, and nothing that stores data.
  EOT
  type        = string
  default     = "private_ssm"

  validation {
    condition     = contains(["private_ssm", "public_ssh"], var.access_mode)
    error_message = "Give private_ssm or public_ssh."
  }
}

variable "allowed_ssh_ip" {
  description = "Your address as a /32, such as 203.0.113.7/32; with `public_ssh` only. A network wider than a /29 is refused."
  type        = string
  default     = null

  validation {
    condition = var.allowed_ssh_ip == null || (
      can(regex("^[0-9.]+/(29|30|31|32)$", var.allowed_ssh_ip)) && can(cidrhost(var.allowed_ssh_ip, 0))
    )
    error_message = "Give one IPv4 address as a /32. A few neighbours are accepted up to a /29, and nothing wider."
  }
}

variable "ssh_public_key" {
  description = "An ed25519 public key, with `public_ssh` only: ssh-keygen -t ed25519. The private half never leaves your machine."
  type        = string
  default     = null

  validation {
    condition     = var.ssh_public_key == null || can(regex("^ssh-ed25519 AAAAC3NzaC1lZDI1NTE5[A-Za-z0-9+/]{48}( |$)", var.ssh_public_key))
    error_message = "Give a public key of the type ssh-ed25519."
  }
}

# --- network

variable "vpc_cidr" {
  description = "Addresses of the VPC: a private IPv4 network between /16 and /22."
  type        = string
  default     = "10.20.0.0/16"

  validation {
    condition     = can(regex("^(10[.]|172[.](1[6-9]|2[0-9]|3[01])[.]|192[.]168[.])[0-9.]+/(1[6-9]|2[0-2])$", var.vpc_cidr)) && can(cidrhost(var.vpc_cidr, 0))
    error_message = "Give a private IPv4 network between /16 and /22, such as 10.20.0.0/16."
  }
}

variable "zones" {
  description = "Number of availability zones. Each further one costs another set of interface endpoints: 7 x 7.30 USD a month."
  type        = number
  default     = 1

  validation {
    condition     = contains([1, 2, 3], var.zones)
    error_message = "Give 1, 2 or 3."
  }
}

variable "nat" {
  description = <<-EOT
    A NAT gateway for the private subnets: 32.85 USD a month in us-east-1 (0.045 an hour), and 0.045 for each GB. Off, because
    the endpoints lead to everything in AWS that a worker needs, the API among it (private_api).
  EOT
  type        = bool
  default     = false
}

# --- workers

variable "worker_ami" {
  description = "Image of the workers: Debian 12 for amd64, from https://wiki.debian.org/Cloud/AmazonEC2Image."
  type        = string

  validation {
    condition     = can(regex("^ami-[0-9a-f]{8,17}$", var.worker_ami))
    error_message = "Give the id of an image, such as ami-0123456789abcdef0."
  }
}

variable "worker_instance_type" {
  description = "Type of the workers' machines. gVisor's systrap needs no virtualisation, so that any amd64 type does."
  type        = string
  default     = "c6i.large"
}

variable "worker_count" {
  description = "Number of workers, and the most that there may be while they are replaced or scaled by hand."
  type        = object({ desired = number, max = number })
  default     = { desired = 1, max = 2 }

  validation {
    condition     = var.worker_count.desired >= 0 && var.worker_count.max >= var.worker_count.desired && var.worker_count.max <= 100
    error_message = "Give 0 <= desired <= max <= 100."
  }
}

variable "worker_spot" {
  description = "Spot machines: about a third of the price. They get two minutes of notice, in which the worker drains."
  type        = bool
  default     = false
}

variable "worker_bundle" {
  description = "The worker's bundle in the bucket, made by infrastructure/terraform/bundle.sh: its key below releases/, and its SHA-256."
  type        = object({ key = string, sha256 = string })

  validation {
    condition     = can(regex("^releases/[A-Za-z0-9._/-]+$", var.worker_bundle.key)) && can(regex("^[0-9a-f]{64}$", var.worker_bundle.sha256))
    error_message = "Give a key that begins with releases/, and 64 hexadecimal digits."
  }
}

variable "worker_api_url" {
  description = "Address of another API that workers report to, such as stage 10 on a machine in the VPC; then give worker_api_cidr too. Null: this stack's."
  type        = string
  default     = null

  validation {
    condition     = var.worker_api_url == null || can(regex("^https://[A-Za-z0-9.-]+(:[0-9]+)?$", var.worker_api_url))
    error_message = "Give https://HOST or https://HOST:PORT; a worker's key is not sent in clear text."
  }
}

variable "worker_api_cidr" {
  description = "With an API in the VPC at worker_api_url: its address as a /32, or a network that it is in. Workers may open connections there."
  type        = string
  default     = null

  validation {
    condition     = var.worker_api_cidr == null || (can(regex("^(10[.]|172[.](1[6-9]|2[0-9]|3[01])[.]|192[.]168[.])[0-9.]+/(1[6-9]|2[0-9]|3[0-2])$", var.worker_api_cidr)) && can(cidrhost(var.worker_api_cidr, 0)))
    error_message = "Give a private IPv4 network, such as 10.20.0.9/32."
  }
}

variable "private_api" {
  description = <<-EOT
    A private REST API for the workers, before the same function as the HTTP API, and the endpoint that leads to it: 7.30 USD
    a month for each zone in us-east-1 (0.01 an hour), 0.01 for each GB, and 3.50 for a million requests. Without it workers
    use the HTTP API, which has a public address only, so that they need `nat` or `public_ssh`. Not made when
    worker_api_url names another API.
  EOT
  type        = bool
  default     = true
}

# --- evaluations

variable "environments" {
  description = "Names of the environments, python among them, which the API submits to. Each has a queue."
  type        = list(string)
  default     = ["python"]

  validation {
    condition     = contains(var.environments, "python") && alltrue([for name in var.environments : can(regex("^[a-z][a-z0-9-]{0,39}$", name))])
    error_message = "Give python, and other names of small letters, digits and hyphens."
  }
}

variable "longest_evaluation_seconds" {
  description = "The longest time limit that a submission may ask for. The visibility timeout of the queues follows from it."
  type        = number
  default     = 300

  validation {
    condition     = var.longest_evaluation_seconds >= 1 && var.longest_evaluation_seconds <= 39600
    error_message = "Give 1 to 39600 seconds: SQS hides a message for at most 12 hours from its receipt."
  }
}

variable "retention_days" {
  description = "Days that results and logs are kept."
  type        = number
  default     = 30

  validation {
    condition     = contains([7, 14, 30, 60, 90, 180, 365], var.retention_days)
    error_message = "Give 7, 14, 30, 60, 90, 180 or 365."
  }
}

# --- API

variable "api_package" {
  description = "Zip file of the Lambda function, made by cargo lambda build --release --output-format zip -p crucible-lambda."
  type        = string
}

variable "authorizer_package" {
  description = "Zip file of the authoriser, made by infrastructure/terraform/package.py."
  type        = string
}

variable "lambda_runtimes" {
  description = "Runtimes of the API and of the authoriser. The tests' provider knows older ones only."
  type        = object({ api = string, authorizer = string })
  default     = { api = "provided.al2023", authorizer = "python3.12" }
}

variable "requests_per_second" {
  description = "Requests that the API accepts, in the long run and at once."
  type        = object({ rate = number, burst = number })
  default     = { rate = 50, burst = 100 }

  validation {
    condition     = var.requests_per_second.rate >= 1 && var.requests_per_second.rate <= 10000 && var.requests_per_second.burst >= var.requests_per_second.rate
    error_message = "Give 1 <= rate <= 10000, and a burst of at least the rate: without a limit the account's applies, to all its APIs."
  }
}

# --- alarms

variable "alarm_email" {
  description = "Where alarms and the budget's warnings go. Null: to the topic only."
  type        = string
  default     = null
}

variable "monthly_budget_usd" {
  description = "Budget of the account a month. At 80 percent, and when 100 are forecast, it sends a warning; it stops nothing."
  type        = number
  default     = 150

  validation {
    condition     = var.monthly_budget_usd > 0
    error_message = "Give a positive number."
  }
}
