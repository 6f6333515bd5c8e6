# One key, one bucket, one table. Nothing here is replaced when the workers or their network change.

data "aws_caller_identity" "current" {}

data "aws_partition" "current" {}

data "aws_region" "current" {}

locals {
  account   = data.aws_caller_identity.current.account_id
  partition = data.aws_partition.current.partition
}

# --- the key of everything that is stored: queue, table, bucket, logs, disks

resource "aws_kms_key" "main" {
  description             = "${var.name}: queue, results, logs"
  enable_key_rotation     = true
  deletion_window_in_days = 30
  policy = jsonencode({
    Version = "2012-10-17"
    Statement = [
      {
        # Gives access by IAM policies. Without it a mistake in this policy would make the key useless, and nothing could repair it.
        Sid       = "Account"
        Effect    = "Allow"
        Principal = { AWS = "arn:${local.partition}:iam::${local.account}:root" }
        Action    = "kms:*"
        Resource  = "*"
      },
      {
        Sid       = "Logs"
        Effect    = "Allow"
        Principal = { Service = "logs.${data.aws_region.current.name}.amazonaws.com" }
        Action    = ["kms:Encrypt*", "kms:Decrypt*", "kms:ReEncrypt*", "kms:GenerateDataKey*", "kms:Describe*"]
        Resource  = "*"
        Condition = {
          ArnLike = { "kms:EncryptionContext:aws:logs:arn" = "arn:${local.partition}:logs:${data.aws_region.current.name}:${local.account}:*" }
        }
      },
      {
        Sid       = "Alarms"
        Effect    = "Allow"
        Principal = { Service = ["cloudwatch.amazonaws.com", "budgets.amazonaws.com"] }
        Action    = ["kms:Decrypt", "kms:GenerateDataKey*"]
        Resource  = "*"
        Condition = { StringEquals = { "aws:SourceAccount" = local.account } }
      },
      {
        # The disks of the auto scaling group are encrypted by its service.
        Sid       = "Disks"
        Effect    = "Allow"
        Principal = { AWS = "arn:${local.partition}:iam::${local.account}:role/aws-service-role/autoscaling.amazonaws.com/AWSServiceRoleForAutoScaling" }
        Action    = ["kms:Encrypt", "kms:Decrypt", "kms:ReEncrypt*", "kms:GenerateDataKey*", "kms:DescribeKey"]
        Resource  = "*"
      },
      {
        # A grant outlives what it was made for, so that it is made for a disk only, and not for any client that asks.
        Sid       = "DiskGrants"
        Effect    = "Allow"
        Principal = { AWS = "arn:${local.partition}:iam::${local.account}:role/aws-service-role/autoscaling.amazonaws.com/AWSServiceRoleForAutoScaling" }
        Action    = "kms:CreateGrant"
        Resource  = "*"
        Condition = { Bool = { "kms:GrantIsForAWSResource" = "true" } }
      },
    ]
  })
}

resource "aws_kms_alias" "main" {
  name          = "alias/${var.name}"
  target_key_id = aws_kms_key.main.key_id
}

# --- results

resource "aws_dynamodb_table" "evaluations" {
  name         = "${var.name}-evaluations"
  billing_mode = "PAY_PER_REQUEST"
  hash_key     = "pk"
  range_key    = "sk"

  attribute {
    name = "pk"
    type = "S"
  }

  attribute {
    name = "sk"
    type = "S"
  }

  # What waits and what runs, by the moment at which the sweep has to look at it. Only these have `queue`.
  global_secondary_index {
    name            = "due"
    hash_key        = "queue"
    range_key       = "due"
    projection_type = "KEYS_ONLY"
  }

  # One key's evaluations, and all of them, by their ids, which rise with time.
  global_secondary_index {
    name            = "owner"
    hash_key        = "owner"
    range_key       = "id"
    projection_type = "KEYS_ONLY"
  }

  global_secondary_index {
    name            = "kind"
    hash_key        = "kind"
    range_key       = "id"
    projection_type = "KEYS_ONLY"
  }

  dynamic "attribute" {
    for_each = { queue = "S", due = "N", owner = "S", kind = "S", id = "S" }
    content {
      name = attribute.key
      type = attribute.value
    }
  }

  ttl {
    attribute_name = "expires"
    enabled        = true
  }

  point_in_time_recovery {
    enabled = true
  }

  server_side_encryption {
    enabled     = true
    kms_key_arn = aws_kms_key.main.arn
  }
}

# --- large inputs and outputs (data/), and the workers' bundles (releases/)

resource "aws_s3_bucket" "main" {
  #checkov:skip=CKV_AWS_144: evaluations can be repeated; a copy in another region would double the place that data may leak from
  #checkov:skip=CKV_AWS_18: each access is made by one of three roles of this stack; data events of CloudTrail are an account's decision
  #checkov:skip=CKV2_AWS_62: nothing waits for an object; the claim check is in the table
  bucket = "${var.name}-${local.account}-${data.aws_region.current.name}"

  versioning {
    enabled = true
  }

  server_side_encryption_configuration {
    rule {
      bucket_key_enabled = true
      apply_server_side_encryption_by_default {
        sse_algorithm     = "aws:kms"
        kms_master_key_id = aws_kms_key.main.arn
      }
    }
  }

  lifecycle_rule {
    id                                     = "data"
    enabled                                = true
    prefix                                 = "data/"
    abort_incomplete_multipart_upload_days = 1

    expiration {
      days = var.retention_days
    }

    noncurrent_version_expiration {
      days = 1
    }
  }

  lifecycle {
    prevent_destroy = false # `terraform destroy` leaves nothing; it fails while the bucket has objects
  }
}

resource "aws_s3_bucket_public_access_block" "main" {
  bucket                  = aws_s3_bucket.main.id
  block_public_acls       = true
  block_public_policy     = true
  ignore_public_acls      = true
  restrict_public_buckets = true
}

resource "aws_s3_bucket_policy" "main" {
  bucket = aws_s3_bucket.main.id
  policy = jsonencode({
    Version = "2012-10-17"
    Statement = [{
      Sid       = "TlsOnly"
      Effect    = "Deny"
      Principal = "*"
      Action    = "s3:*"
      Resource  = [aws_s3_bucket.main.arn, "${aws_s3_bucket.main.arn}/*"]
      Condition = { Bool = { "aws:SecureTransport" = "false" } }
    }]
  })
  depends_on = [aws_s3_bucket_public_access_block.main]
}
