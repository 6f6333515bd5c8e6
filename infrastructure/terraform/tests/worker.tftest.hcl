mock_provider "aws" {
  source = "./tests/mocks"
}

variables {
  name                       = "test"
  region                     = "eu-central-1"
  ami                        = "ami-12345678"
  instance_type              = "c6i.large"
  size                       = { desired = 1, max = 2 }
  spot                       = false
  bundle                     = { key = "releases/a.tar.gz", sha256 = "abababababababababababababababababababababababababababababababab" }
  vpc_id                     = "vpc-1"
  subnet_ids                 = ["subnet-private"]
  public                     = false
  internet                   = false
  endpoint_group_id          = "sg-endpoints"
  prefix_list_ids            = ["pl-s3", "pl-dynamodb"]
  ssh_cidrs                  = []
  ssh_key_name               = null
  ssm_policy                 = "{\"Version\":\"2012-10-17\",\"Statement\":[]}"
  api_url                    = "https://api.example.com"
  queue_arns                 = ["arn:aws:sqs:eu-central-1:123456789012:test-queue-python"]
  dead_queue_arn             = "arn:aws:sqs:eu-central-1:123456789012:test-dead"
  longest_evaluation_seconds = 300
  visibility_seconds         = 360
  bucket                     = "a-bucket"
  bucket_arn                 = "arn:aws:s3:::a-bucket"
  kms_key_arn                = "arn:aws:kms:eu-central-1:123456789012:key/1"
}

run "private" {
  module {
    source = "./modules/worker"
  }

  assert {
    condition     = aws_launch_template.worker.metadata_options[0].http_tokens == "required"
    error_message = "W1: the metadata service wants a session token (IMDSv2)"
  }
  assert {
    condition     = aws_launch_template.worker.metadata_options[0].http_put_response_hop_limit == 1
    error_message = "W2: a session token does not survive a second hop"
  }
  assert {
    condition     = alltrue([for disk in aws_launch_template.worker.block_device_mappings : tobool(disk.ebs[0].encrypted) && disk.ebs[0].kms_key_id == var.kms_key_arn])
    error_message = "W3: the disk is encrypted with the stack's key"
  }
  assert {
    condition     = tobool(aws_launch_template.worker.network_interfaces[0].associate_public_ip_address) == false
    error_message = "W4: a worker has no public address"
  }
  assert {
    condition     = length(aws_security_group.worker.ingress) == 0
    error_message = "W5: a worker has no open port"
  }
  assert {
    condition     = alltrue([for rule in aws_security_group.worker.egress : rule.from_port == 443 && rule.to_port == 443 && rule.protocol == "tcp"])
    error_message = "W6: a worker opens connections by HTTPS only"
  }
  assert {
    condition     = alltrue([for rule in aws_security_group.worker.egress : length(coalesce(rule.cidr_blocks, [])) == 0])
    error_message = "W7: without a way to the internet no address outside of AWS is allowed"
  }
  assert {
    condition = toset(flatten([for s in jsondecode(aws_iam_role_policy.worker.policy).Statement : s.Action if contains(flatten([s.Resource]), var.queue_arns[0])])) == toset([
      "sqs:ReceiveMessage", "sqs:DeleteMessage", "sqs:ChangeMessageVisibility", "sqs:GetQueueUrl", "sqs:GetQueueAttributes",
    ])
    error_message = "W8: a worker cannot send tickets, nor change a queue"
  }
  assert {
    condition = alltrue([for s in jsondecode(aws_iam_role_policy.worker.policy).Statement :
      alltrue([for resource in flatten([s.Resource]) : resource != "*"]) && alltrue([for action in flatten([s.Action]) : !strcontains(action, "*")])
    ])
    error_message = "W9: the role names its actions and what it does them with"
  }
  assert {
    condition     = strcontains(base64decode(aws_launch_template.worker.user_data), "doctor --engine gvisor || die")
    error_message = "W10: a worker takes no work before doctor has proven gVisor"
  }
  assert {
    condition = (
      strcontains(base64decode(aws_launch_template.worker.user_data), "BUNDLE_SHA256='${var.bundle.sha256}'")
      && strcontains(base64decode(aws_launch_template.worker.user_data), "sha256sum --check --status || die")
    )
    error_message = "W11: what is installed has the hash of the plan"
  }
  assert {
    condition     = [for s in jsondecode(aws_iam_role_policy.worker.policy).Statement : s.Resource if s.Sid == "Bundle"] == ["arn:aws:s3:::a-bucket/releases/a.tar.gz"]
    error_message = "W12: of the releases a worker reads its own"
  }
  assert {
    condition     = jsondecode(aws_iam_role.worker.assume_role_policy).Statement[*].Principal == [{ Service = "ec2.amazonaws.com" }]
    error_message = "W13: only machines have the role"
  }
  assert {
    condition     = aws_autoscaling_group.worker.max_instance_lifetime == 604800
    error_message = "W14: a machine lives for a week at most"
  }
  assert {
    condition     = length(aws_autoscaling_group.worker.instance_refresh) == 1 && aws_autoscaling_group.worker.launch_template[0].version == "2"
    error_message = "W15: a change of the template replaces the machines"
  }
  assert {
    condition = alltrue([for line in ["CRUCIBLE_ROLE=worker", "CRUCIBLE_ENGINE=gvisor", "CRUCIBLE_QUEUE=sqs://eu-central-1/test", "CRUCIBLE_API=https://api.example.com", "CRUCIBLE_BROKER_VISIBILITY_SECONDS=360", "CRUCIBLE_MAX_TIMEOUT_SECONDS=300"] :
      strcontains(base64decode(aws_launch_template.worker.user_data), "\n${line}\n")
    ])
    error_message = "W16: a worker has its role, its engine, its queue and its API"
  }
  assert {
    condition     = !strcontains(base64decode(aws_launch_template.worker.user_data), "crk_") || !can(regex("crk_[0-9A-Za-z]{10}", base64decode(aws_launch_template.worker.user_data)))
    error_message = "W17: user data has no key: every process of the machine can read it"
  }
}

run "api_in_the_vpc" {
  variables {
    api_network = { cidr = "10.20.0.9/32", port = 8443 }
  }
  module {
    source = "./modules/worker"
  }

  assert {
    condition     = [for rule in aws_security_group.worker.egress : [rule.from_port, rule.to_port] if rule.cidr_blocks == tolist(["10.20.0.9/32"])] == [[8443, 8443]]
    error_message = "W20: a worker reaches an API in the VPC at its address and port, and at no other"
  }
}

run "public" {
  variables {
    public       = true
    internet     = true
    ssh_cidrs    = ["203.0.113.7/32"]
    ssh_key_name = "test"
  }
  module {
    source = "./modules/worker"
  }

  assert {
    condition = length(aws_security_group.worker.ingress) == 1 && alltrue([for rule in aws_security_group.worker.ingress :
      rule.from_port == 22 && rule.to_port == 22 && rule.cidr_blocks == tolist(["203.0.113.7/32"]) && length(coalesce(rule.ipv6_cidr_blocks, [])) == 0
    ])
    error_message = "W18: SSH is open for the operator's address and for no other"
  }
  assert {
    condition     = aws_launch_template.worker.key_name == "test" && tobool(aws_launch_template.worker.network_interfaces[0].associate_public_ip_address)
    error_message = "W19: a public worker has an address and the operator's key"
  }
  assert {
    condition = [for s in jsondecode(aws_iam_role_policy.worker.policy).Statement : s.Sid
      if anytrue([for action in flatten([s.Action]) : startswith(action, "s3:") || startswith(action, "dynamodb:")])
    ] == ["Bundle"]
    error_message = "W21: a worker cannot read what others have submitted"
  }
}
