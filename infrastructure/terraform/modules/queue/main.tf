# The queues that stage 10 would make itself: one for each environment, and one for dead letters. Made here, they are
# encrypted, and no role needs the right to create a queue.

data "aws_caller_identity" "current" {}

locals {
  # A worker extends its hold while a program runs. Without any extension the longest evaluation, its start and the
  # reporting of its result still fit into the timeout, so that no healthy worker runs one twice.
  visibility_seconds = min(43200, var.longest_evaluation_seconds + 60)
  # Tickets wait for 4 days, dead letters for 14: a ticket that dies on its last day can still be looked at.
  retention_seconds      = 345600
  dead_retention_seconds = 1209600
  names                  = { for environment in var.environments : environment => "${var.name}-queue-${environment}" }
}

resource "aws_sqs_queue" "dead" {
  name                              = "${var.name}-dead"
  message_retention_seconds         = local.dead_retention_seconds
  kms_master_key_id                 = var.kms_key_arn
  kms_data_key_reuse_period_seconds = 3600
}

resource "aws_sqs_queue" "tickets" {
  for_each                          = local.names
  name                              = each.value
  visibility_timeout_seconds        = local.visibility_seconds
  message_retention_seconds         = local.retention_seconds
  receive_wait_time_seconds         = 20
  max_message_size                  = 4096
  kms_master_key_id                 = var.kms_key_arn
  kms_data_key_reuse_period_seconds = 3600
  redrive_policy = jsonencode({
    deadLetterTargetArn = aws_sqs_queue.dead.arn
    maxReceiveCount     = var.max_deliveries
  })
}

# Attack: a queue policy that names everybody lets strangers send tickets -> other accounts and plain HTTP are denied,
# whatever else is allowed. Test: `queue` in tests/queue.tftest.hcl.
resource "aws_sqs_queue_policy" "tickets" {
  for_each  = aws_sqs_queue.tickets
  queue_url = each.value.id
  policy    = replace(local.policy, "RESOURCE", each.value.arn)
}

resource "aws_sqs_queue_policy" "dead" {
  queue_url = aws_sqs_queue.dead.id
  policy    = replace(local.policy, "RESOURCE", aws_sqs_queue.dead.arn)
}

locals {
  policy = jsonencode({
    Version = "2012-10-17"
    Statement = [
      {
        Sid       = "TlsOnly"
        Effect    = "Deny"
        Principal = "*"
        Action    = "sqs:*"
        Resource  = "RESOURCE"
        Condition = { Bool = { "aws:SecureTransport" = "false" } }
      },
      {
        Sid       = "ThisAccountOnly"
        Effect    = "Deny"
        Principal = "*"
        Action    = "sqs:*"
        Resource  = "RESOURCE"
        Condition = {
          StringNotEquals = { "aws:PrincipalAccount" = data.aws_caller_identity.current.account_id }
          Bool            = { "aws:PrincipalIsAWSService" = "false" }
        }
      },
    ]
  })
}
