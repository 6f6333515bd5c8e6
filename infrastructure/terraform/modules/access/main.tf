# How an operator reaches a worker: Session Manager, or SSH from one address.

locals {
  is_ssh = var.mode == "public_ssh"
}

# --- SSH

# Both values are needed at once, and their absence would otherwise be a machine that nothing can reach.
resource "aws_key_pair" "ssh" {
  count      = local.is_ssh ? 1 : 0
  key_name   = var.name
  public_key = var.ssh_public_key

  lifecycle {
    precondition {
      condition     = var.ssh_public_key != null && var.allowed_ssh_ip != null
      error_message = "access_mode public_ssh needs allowed_ssh_ip and ssh_public_key."
    }
  }
}

# --- Session Manager. It is there in both modes: an address that has changed is no reason to be locked out.

resource "aws_cloudwatch_log_group" "sessions" {
  #checkov:skip=CKV_AWS_338: retention_days decides
  name              = "/${var.name}/sessions"
  retention_in_days = var.retention_days
  kms_key_id        = var.kms_key_arn
}

resource "aws_ssm_document" "session" {
  name            = "${var.name}-session"
  document_type   = "Session"
  document_format = "JSON"
  content = jsonencode({
    schemaVersion = "1.0"
    description   = "A shell on a worker: encrypted, logged, ended after 20 idle minutes"
    sessionType   = "Standard_Stream"
    inputs = {
      kmsKeyId                    = var.kms_key_arn
      cloudWatchLogGroupName      = aws_cloudwatch_log_group.sessions.name
      cloudWatchEncryptionEnabled = true
      cloudWatchStreamingEnabled  = true
      idleSessionTimeout          = "20"
      maxSessionDuration          = "240"
      runAsEnabled                = false
    }
  })
}

locals {
  # What the agent on the worker needs, and no more: the managed policy AmazonSSMManagedInstanceCore also reads every
  # parameter of the account.
  ssm_policy = jsonencode({
    Version = "2012-10-17"
    Statement = [
      {
        # These actions have no resource that could be named. The agent looks whether the group of the log is encrypted
        # before it opens a session.
        Sid    = "Channel"
        Effect = "Allow"
        Action = [
          "ssm:UpdateInstanceInformation",
          "ssmmessages:CreateControlChannel", "ssmmessages:CreateDataChannel",
          "ssmmessages:OpenControlChannel", "ssmmessages:OpenDataChannel", "logs:DescribeLogGroups",
        ]
        Resource = "*"
      },
      {
        Sid      = "SessionLogs"
        Effect   = "Allow"
        Action   = ["logs:CreateLogStream", "logs:PutLogEvents", "logs:DescribeLogStreams"]
        Resource = "${aws_cloudwatch_log_group.sessions.arn}:*"
      },
    ]
  })
}
