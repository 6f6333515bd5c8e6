mock_provider "aws" {
  source = "./tests/mocks"
}

variables {
  region             = "eu-central-1"
  worker_ami         = "ami-12345678"
  worker_bundle      = { key = "releases/a.tar.gz", sha256 = "abababababababababababababababababababababababababababababababab" }
  api_package        = "tests/mocks/aws.tfmock.hcl"
  authorizer_package = "tests/mocks/aws.tfmock.hcl"
  lambda_runtimes    = { api = "provided.al2", authorizer = "python3.8" }
}

run "valid" {
  command = plan
}

run "valid_ssh" {
  command = plan
  variables {
    access_mode    = "public_ssh"
    allowed_ssh_ip = "203.0.113.8/29"
    ssh_public_key = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJdD7y3aLq454yWBdwLWbieU1ebz9/cu7/QEXn9OIeZJ me@here"
  }
}

# With what is set when nothing is chosen, workers have a way to the API, and none to the internet.
run "private" {
  command = plan
  assert {
    condition     = length(module.worker_api) == 1 && !local.internet
    error_message = "R1: workers reach the API through the VPC alone"
  }
}

run "valid_api_in_the_vpc" {
  command = plan
  variables {
    worker_api_url  = "https://api.internal:8443"
    worker_api_cidr = "10.20.0.9/32"
  }
  assert {
    condition     = length(module.worker_api) == 0
    error_message = "R2: workers with another API cost no endpoint for this one"
  }
}

run "workers_that_cannot_reach_their_api" {
  command = plan
  variables {
    private_api = false
  }
  expect_failures = [check.workers_reach_their_api]
}
