mock_provider "aws" {
  source = "./tests/mocks"
}

# What is valid. Each run replaces one value by one that has to be refused.
variables {
  region             = "eu-central-1"
  worker_ami         = "ami-12345678"
  worker_bundle      = { key = "releases/a.tar.gz", sha256 = "abababababababababababababababababababababababababababababababab" }
  worker_api_url     = "https://api.internal:8443"
  api_package        = "tests/mocks/aws.tfmock.hcl"
  authorizer_package = "tests/mocks/aws.tfmock.hcl"
  lambda_runtimes    = { api = "provided.al2", authorizer = "python3.8" }
}

run "region" {
  command = plan
  variables {
    region = "Frankfurt"
  }
  expect_failures = [var.region]
}

run "name" {
  command = plan
  variables {
    name = "Crucible_1"
  }
  expect_failures = [var.name]
}

run "access_mode" {
  command = plan
  variables {
    access_mode = "open"
  }
  expect_failures = [var.access_mode]
}

run "ssh_from_16_addresses" {
  command = plan
  variables {
    allowed_ssh_ip = "203.0.113.0/28"
  }
  expect_failures = [var.allowed_ssh_ip]
}

run "ssh_from_everywhere" {
  command = plan
  variables {
    allowed_ssh_ip = "0.0.0.0/0"
  }
  expect_failures = [var.allowed_ssh_ip]
}

run "ssh_from_no_network" {
  command = plan
  variables {
    allowed_ssh_ip = "203.0.113.7"
  }
  expect_failures = [var.allowed_ssh_ip]
}

run "ssh_from_no_address" {
  command = plan
  variables {
    allowed_ssh_ip = "203.0.113.700/32"
  }
  expect_failures = [var.allowed_ssh_ip]
}

run "rsa_key" {
  command = plan
  variables {
    ssh_public_key = "ssh-rsa AAAAB3NzaC1yc2EAAAADAQABAAABgQC7"
  }
  expect_failures = [var.ssh_public_key]
}

run "public_network" {
  command = plan
  variables {
    vpc_cidr = "8.8.0.0/16"
  }
  expect_failures = [var.vpc_cidr]
}

run "public_network_beside_a_private_one" {
  command = plan
  variables {
    vpc_cidr = "172.64.0.0/16"
  }
  expect_failures = [var.vpc_cidr]
}

run "small_network" {
  command = plan
  variables {
    vpc_cidr = "10.0.0.0/28"
  }
  expect_failures = [var.vpc_cidr]
}

run "zones" {
  command = plan
  variables {
    zones = 4
  }
  expect_failures = [var.zones]
}

run "image" {
  command = plan
  variables {
    worker_ami = "debian-12"
  }
  expect_failures = [var.worker_ami]
}

run "workers" {
  command = plan
  variables {
    worker_count = { desired = 3, max = 2 }
  }
  expect_failures = [var.worker_count]
}

run "bundle_without_hash" {
  command = plan
  variables {
    worker_bundle = { key = "releases/a.tar.gz", sha256 = "latest" }
  }
  expect_failures = [var.worker_bundle]
}

run "bundle_elsewhere" {
  command = plan
  variables {
    worker_bundle = { key = "data/a.tar.gz", sha256 = "abababababababababababababababababababababababababababababababab" }
  }
  expect_failures = [var.worker_bundle]
}

run "api_in_clear_text" {
  command = plan
  variables {
    worker_api_url = "http://api.internal"
  }
  expect_failures = [var.worker_api_url]
}

run "worker_api_in_public" {
  command = plan
  variables {
    worker_api_cidr = "192.0.2.0/24"
  }
  expect_failures = [var.worker_api_cidr]
}

run "an_api_that_is_not_in_a_private_network" {
  command = plan
  variables {
    worker_api_cidr = "0.0.0.0/0"
  }
  expect_failures = [var.worker_api_cidr]
}

run "environments_without_python" {
  command = plan
  variables {
    environments = ["shell"]
  }
  expect_failures = [var.environments]
}

run "environments" {
  command = plan
  variables {
    environments = ["python", "Python 3"]
  }
  expect_failures = [var.environments]
}

run "longer_than_sqs_hides" {
  command = plan
  variables {
    longest_evaluation_seconds = 43200
  }
  expect_failures = [var.longest_evaluation_seconds]
}

run "retention" {
  command = plan
  variables {
    retention_days = 1
  }
  expect_failures = [var.retention_days]
}

run "no_throttle" {
  command = plan
  variables {
    requests_per_second = { rate = 0, burst = 0 }
  }
  expect_failures = [var.requests_per_second]
}

run "budget" {
  command = plan
  variables {
    monthly_budget_usd = 0
  }
  expect_failures = [var.monthly_budget_usd]
}

