# What a worker may do in AWS. A program that leaves its sandbox may do this and no more. Evaluations are not in it: what
# a worker needs of them it gets from the API, by its key and the token of a session.

resource "aws_iam_role" "worker" {
  name = "${var.name}-worker"
  assume_role_policy = jsonencode({
    Version = "2012-10-17"
    Statement = [{
      Effect    = "Allow"
      Principal = { Service = "ec2.amazonaws.com" }
      Action    = "sts:AssumeRole"
    }]
  })
}

resource "aws_iam_instance_profile" "worker" {
  name = "${var.name}-worker"
  role = aws_iam_role.worker.name
}

resource "aws_iam_role_policy" "ssm" {
  #checkov:skip=CKV_AWS_290: the five actions of the agent's channel have no resource that could be named
  #checkov:skip=CKV_AWS_355: the same five; W9 and C3 of tests/ list the actions
  name   = "session-manager"
  role   = aws_iam_role.worker.id
  policy = var.ssm_policy
}

resource "aws_iam_role_policy" "worker" {
  name = "worker"
  role = aws_iam_role.worker.id
  policy = jsonencode({
    Version = "2012-10-17"
    Statement = [
      {
        # It cannot send: a worker that is taken over adds no work.
        Sid      = "Receive"
        Effect   = "Allow"
        Action   = ["sqs:ReceiveMessage", "sqs:DeleteMessage", "sqs:ChangeMessageVisibility", "sqs:GetQueueUrl", "sqs:GetQueueAttributes"]
        Resource = var.queue_arns
      },
      {
        # What is no ticket is put aside by the worker that finds it.
        Sid      = "Bury"
        Effect   = "Allow"
        Action   = ["sqs:SendMessage", "sqs:GetQueueUrl", "sqs:GetQueueAttributes"]
        Resource = [var.dead_queue_arn]
      },
      {
        Sid      = "Bundle"
        Effect   = "Allow"
        Action   = "s3:GetObject"
        Resource = "${var.bucket_arn}/${var.bundle.key}"
      },
      {
        Sid      = "ApiKey"
        Effect   = "Allow"
        Action   = "ssm:GetParameter"
        Resource = "arn:${local.partition}:ssm:${var.region}:${local.account}:parameter${local.key_parameter}"
      },
      {
        Sid      = "Key"
        Effect   = "Allow"
        Action   = ["kms:Decrypt", "kms:GenerateDataKey"]
        Resource = var.kms_key_arn
      },
    ]
  })
}
