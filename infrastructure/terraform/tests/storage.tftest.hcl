mock_provider "aws" {
  source = "./tests/mocks"
}

variables {
  name           = "test"
  retention_days = 30
}

run "storage" {
  module {
    source = "./modules/storage"
  }

  assert {
    condition     = aws_kms_key.main.enable_key_rotation
    error_message = "S1: the key is rotated"
  }
  assert {
    condition = alltrue([
      aws_s3_bucket_public_access_block.main.block_public_acls, aws_s3_bucket_public_access_block.main.block_public_policy,
      aws_s3_bucket_public_access_block.main.ignore_public_acls, aws_s3_bucket_public_access_block.main.restrict_public_buckets,
    ])
    error_message = "S2: the bucket cannot be made public"
  }
  assert {
    condition = anytrue([for s in jsondecode(aws_s3_bucket_policy.main.policy).Statement :
      s.Effect == "Deny" && s.Principal == "*" && s.Action == "s3:*" && s.Condition == { Bool = { "aws:SecureTransport" = "false" } }
    ])
    error_message = "S3: plain HTTP is refused"
  }
  assert {
    condition = alltrue([for rule in aws_s3_bucket.main.server_side_encryption_configuration[0].rule[*].apply_server_side_encryption_by_default[0] :
      rule.sse_algorithm == "aws:kms" && rule.kms_master_key_id == aws_kms_key.main.arn
    ])
    error_message = "S4: objects are encrypted with the stack's key"
  }
  assert {
    condition     = aws_dynamodb_table.evaluations.server_side_encryption[0].enabled && aws_dynamodb_table.evaluations.server_side_encryption[0].kms_key_arn == aws_kms_key.main.arn
    error_message = "S5: results are encrypted with the stack's key"
  }
  assert {
    condition     = aws_dynamodb_table.evaluations.point_in_time_recovery[0].enabled
    error_message = "S6: results can be restored"
  }
  assert {
    condition     = aws_s3_bucket.main.versioning[0].enabled
    error_message = "S7: an object that is overwritten can be restored"
  }
  assert {
    condition     = anytrue([for rule in aws_s3_bucket.main.lifecycle_rule : rule.enabled && rule.prefix == "data/" && rule.expiration[0].days == var.retention_days])
    error_message = "S8: data is deleted after its time, and releases are not"
  }
  assert {
    condition = alltrue([for s in jsondecode(aws_kms_key.main.policy).Statement :
      s.Sid == "Account" || try(s.Principal.AWS, "") == "arn:aws:iam::123456789012:role/aws-service-role/autoscaling.amazonaws.com/AWSServiceRoleForAutoScaling" || try(length(s.Condition), 0) > 0
    ])
    error_message = "S9: services use the key for this account only"
  }
  assert {
    condition = alltrue([for s in jsondecode(aws_kms_key.main.policy).Statement :
      !contains(flatten([s.Action]), "kms:CreateGrant") || try(s.Condition.Bool["kms:GrantIsForAWSResource"], "") == "true"
    ])
    error_message = "S12: grants on the key are made for resources of AWS only"
  }
  assert {
    condition = { for index in aws_dynamodb_table.evaluations.global_secondary_index : index.name => "${index.hash_key} ${index.range_key} ${index.projection_type}" } == {
      due = "queue due KEYS_ONLY", owner = "owner id KEYS_ONLY", kind = "kind id KEYS_ONLY"
    }
    error_message = "S10: the indexes are those that the API reads, and have no content of evaluations"
  }
  assert {
    condition     = aws_dynamodb_table.evaluations.ttl[0].enabled && aws_dynamodb_table.evaluations.ttl[0].attribute_name == "expires"
    error_message = "S11: what has expired is deleted"
  }
}
