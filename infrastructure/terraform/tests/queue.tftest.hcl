mock_provider "aws" {
  source = "./tests/mocks"
}

variables {
  name                       = "test"
  environments               = ["python", "shell"]
  longest_evaluation_seconds = 300
  kms_key_arn                = "arn:aws:kms:eu-central-1:123456789012:key/1"
}

run "queue" {
  module {
    source = "./modules/queue"
  }

  assert {
    condition     = alltrue([for queue in values(aws_sqs_queue.tickets) : queue.kms_master_key_id == var.kms_key_arn])
    error_message = "Q1: tickets are encrypted"
  }
  assert {
    condition     = aws_sqs_queue.dead.kms_master_key_id == var.kms_key_arn
    error_message = "Q2: dead letters are encrypted"
  }
  assert {
    condition     = alltrue([for queue in values(aws_sqs_queue.tickets) : jsondecode(queue.redrive_policy) == { deadLetterTargetArn = aws_sqs_queue.dead.arn, maxReceiveCount = 10 }])
    error_message = "Q3: a ticket that was delivered ten times is a dead letter"
  }
  assert {
    condition     = alltrue([for queue in values(aws_sqs_queue.tickets) : queue.visibility_timeout_seconds == 360])
    error_message = "Q4: a ticket stays hidden for longer than the longest evaluation takes"
  }
  assert {
    condition     = alltrue([for queue in values(aws_sqs_queue.tickets) : queue.message_retention_seconds < aws_sqs_queue.dead.message_retention_seconds])
    error_message = "Q5: dead letters are kept for longer than tickets"
  }
  assert {
    condition     = alltrue([for queue in values(aws_sqs_queue.tickets) : queue.receive_wait_time_seconds == 20])
    error_message = "Q6: a receiver waits for tickets, and does not ask again and again"
  }
  assert {
    condition = alltrue([for policy in values(aws_sqs_queue_policy.tickets) : anytrue([
      for s in jsondecode(policy.policy).Statement : s.Effect == "Deny" && s.Principal == "*" && s.Action == "sqs:*" && try(s.Condition.Bool["aws:SecureTransport"], "") == "false"
    ])])
    error_message = "Q7: plain HTTP is refused"
  }
  assert {
    condition = alltrue([for policy in concat(values(aws_sqs_queue_policy.tickets), [aws_sqs_queue_policy.dead]) : anytrue([
      for s in jsondecode(policy.policy).Statement : s.Effect == "Deny" && s.Principal == "*" && try(s.Condition.StringNotEquals["aws:PrincipalAccount"], "") == "123456789012"
    ])])
    error_message = "Q8: other accounts are refused"
  }
  assert {
    condition     = toset([for queue in values(aws_sqs_queue.tickets) : queue.name]) == toset(["test-queue-python", "test-queue-shell"]) && aws_sqs_queue.dead.name == "test-dead"
    error_message = "Q9: the queues have the names that stage 10 looks for"
  }
}

run "of_hours" {
  variables {
    longest_evaluation_seconds = 43190
  }
  module {
    source = "./modules/queue"
  }

  assert {
    condition     = output.visibility_seconds == 43200
    error_message = "Q10: a ticket is hidden for 12 hours at most, which is SQS's limit"
  }
}
