# The machines that run programs. They are cattle: each has nothing that another needs, and is replaced, never changed.

data "aws_caller_identity" "current" {}

data "aws_partition" "current" {}

locals {
  account       = data.aws_caller_identity.current.account_id
  partition     = data.aws_partition.current.partition
  key_parameter = "/${var.name}/worker-key"
  user_data = templatefile("${path.module}/user_data.sh.tftpl", {
    settings = {
      REGION        = var.region
      BUCKET        = var.bucket
      BUNDLE_KEY    = var.bundle.key
      BUNDLE_SHA256 = var.bundle.sha256
      KEY_PARAMETER = local.key_parameter
    }
    environment = {
      CRUCIBLE_ROLE                      = "worker"
      CRUCIBLE_ENGINE                    = "gvisor"
      CRUCIBLE_QUEUE                     = "sqs://${var.region}/${var.name}"
      CRUCIBLE_API                       = var.api_url
      CRUCIBLE_BROKER_VISIBILITY_SECONDS = var.visibility_seconds
      CRUCIBLE_MAX_TIMEOUT_SECONDS       = var.longest_evaluation_seconds
      CRUCIBLE_LOG_FORMAT                = "json"
    }
    install = file("${path.module}/install.sh")
  })
}

# --- what a machine may reach

resource "aws_security_group" "worker" {
  name        = "${var.name}-worker"
  description = "Workers: no way in, and out by HTTPS only"
  vpc_id      = var.vpc_id

  # Attack: the internet tries passwords and exploits on port 22 -> there is no open port, or one for one address.
  # An empty list, and no absent block: without any block Terraform leaves the rules as they are, and the port open.
  ingress = length(var.ssh_cidrs) == 0 ? [] : [{
    description      = "SSH from the operator"
    from_port        = 22
    to_port          = 22
    protocol         = "tcp"
    cidr_blocks      = var.ssh_cidrs
    ipv6_cidr_blocks = []
    prefix_list_ids  = []
    security_groups  = []
    self             = false
  }]

  egress {
    description     = "Endpoints"
    from_port       = 443
    to_port         = 443
    protocol        = "tcp"
    security_groups = [var.endpoint_group_id]
  }

  egress {
    description     = "S3 and DynamoDB"
    from_port       = 443
    to_port         = 443
    protocol        = "tcp"
    prefix_list_ids = var.prefix_list_ids
  }

  dynamic "egress" {
    for_each = var.api_network == null ? [] : [var.api_network]
    content {
      description = "The API, which is in the VPC"
      from_port   = egress.value.port
      to_port     = egress.value.port
      protocol    = "tcp"
      cidr_blocks = [egress.value.cidr]
    }
  }

  dynamic "egress" {
    for_each = var.internet ? [1] : []
    content {
      description = "The API, which has a public address"
      from_port   = 443
      to_port     = 443
      protocol    = "tcp"
      cidr_blocks = ["0.0.0.0/0"]
    }
  }
}

# --- what a machine is

resource "aws_launch_template" "worker" {
  #checkov:skip=CKV_AWS_88: public is false unless access_mode is public_ssh
  name                                 = "${var.name}-worker"
  image_id                             = var.ami
  instance_type                        = var.instance_type
  user_data                            = base64encode(local.user_data)
  key_name                             = var.ssh_key_name
  ebs_optimized                        = true
  update_default_version               = true
  instance_initiated_shutdown_behavior = "terminate"

  iam_instance_profile {
    arn = aws_iam_instance_profile.worker.arn
  }

  # Attack: a program that leaves its sandbox reads the machine's credentials at 169.254.169.254 -> a session token is
  # needed, which does not survive a second hop. A sandbox has no network in the first place.
  metadata_options {
    http_endpoint               = "enabled"
    http_tokens                 = "required"
    http_put_response_hop_limit = 1
  }

  block_device_mappings {
    device_name = "/dev/xvda"

    ebs {
      volume_size           = 20
      volume_type           = "gp3"
      encrypted             = true
      kms_key_id            = var.kms_key_arn
      delete_on_termination = true
    }
  }

  network_interfaces {
    associate_public_ip_address = var.public
    delete_on_termination       = true
    security_groups             = [aws_security_group.worker.id]
  }

  dynamic "instance_market_options" {
    for_each = var.spot ? [1] : []
    content {
      market_type = "spot"
    }
  }

  monitoring {
    enabled = true
  }

  tag_specifications {
    resource_type = "instance"
    tags          = { Name = "${var.name}-worker" }
  }
}

resource "aws_autoscaling_group" "worker" {
  name                = "${var.name}-worker"
  min_size            = 0
  desired_capacity    = var.size.desired
  max_size            = var.size.max
  vpc_zone_identifier = var.subnet_ids
  health_check_type   = "EC2"
  enabled_metrics     = ["GroupInServiceInstances"]
  capacity_rebalance  = var.spot
  # `apply` does not wait for machines: a worker that refuses work is a matter of the alarm on the oldest ticket.
  wait_for_capacity_timeout = "0"
  # A machine lives for a week: what a program might have left in one ends with it.
  max_instance_lifetime = 604800

  launch_template {
    id      = aws_launch_template.worker.id
    version = aws_launch_template.worker.latest_version
  }

  # A new version of the template replaces the machines one after the other: with another bundle, image, key or subnet.
  instance_refresh {
    strategy = "Rolling"
    preferences {
      min_healthy_percentage = 50
    }
  }

  tag {
    key                 = "Name"
    value               = "${var.name}-worker"
    propagate_at_launch = true
  }
}
