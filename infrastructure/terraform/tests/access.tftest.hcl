mock_provider "aws" {
  source = "./tests/mocks"
}

variables {
  name           = "test"
  mode           = "private_ssm"
  allowed_ssh_ip = "203.0.113.7/32"
  ssh_public_key = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJdD7y3aLq454yWBdwLWbieU1ebz9/cu7/QEXn9OIeZJ"
  kms_key_arn    = "arn:aws:kms:eu-central-1:123456789012:key/1"
  retention_days = 30
}

run "session_manager" {
  module {
    source = "./modules/access"
  }

  assert {
    condition     = length(output.ssh_cidrs) == 0 && length(aws_key_pair.ssh) == 0 && output.ssh_key_name == null
    error_message = "C1: without public_ssh there is no SSH, whatever else is given"
  }
  assert {
    condition = (
      jsondecode(aws_ssm_document.session.content).inputs.cloudWatchLogGroupName == aws_cloudwatch_log_group.sessions.name
      && aws_cloudwatch_log_group.sessions.kms_key_id == var.kms_key_arn
    )
    error_message = "C2: sessions are logged, encrypted"
  }
  assert {
    condition = toset(flatten(jsondecode(output.ssm_policy).Statement[*].Action)) == toset([
      "ssm:UpdateInstanceInformation", "ssmmessages:CreateControlChannel", "ssmmessages:CreateDataChannel", "ssmmessages:OpenControlChannel",
      "ssmmessages:OpenDataChannel", "logs:CreateLogStream", "logs:PutLogEvents", "logs:DescribeLogStreams", "logs:DescribeLogGroups",
    ])
    error_message = "C3: the agent's channel reads no parameter and no other machine"
  }
  assert {
    condition     = jsondecode(aws_ssm_document.session.content).inputs.kmsKeyId == var.kms_key_arn && jsondecode(aws_ssm_document.session.content).inputs.idleSessionTimeout == "20"
    error_message = "C4: sessions are encrypted, and end when they are idle"
  }
}

run "ssh" {
  variables {
    mode = "public_ssh"
  }
  module {
    source = "./modules/access"
  }

  assert {
    condition     = join(" ", output.ssh_cidrs) == "203.0.113.7/32" && output.ssh_key_name == "test"
    error_message = "C5: with public_ssh one network may open SSH, with one key"
  }
}

run "ssh_without_an_address" {
  command = plan
  variables {
    mode           = "public_ssh"
    allowed_ssh_ip = null
  }
  module {
    source = "./modules/access"
  }
  expect_failures = [aws_key_pair.ssh]
}
