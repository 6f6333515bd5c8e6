mock_provider "aws" {
  source = "./tests/mocks"
}

variables {
  region             = "eu-central-1"
  worker_ami         = "ami-12345678"
  worker_bundle      = { key = "releases/a.tar.gz", sha256 = "abababababababababababababababababababababababababababababababab" }
  worker_api_url     = "https://api.internal:8443"
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

run "workers_that_cannot_reach_their_api" {
  command = plan
  variables {
    worker_api_url = null
  }
  expect_failures = [check.workers_reach_their_api]
}
