# Valid for Terraform and for OpenTofu. The tests use provider 3.39.0, the only one that a package registry
# has (infrastructure/setup/cloud.sh), and compare the names of all arguments with those of version 6.
terraform {
  required_version = ">= 1.8"

  required_providers {
    aws = {
      source  = "hashicorp/aws"
      version = ">= 3.39.0, < 7.0.0"
    }
  }
}

provider "aws" {
  region = var.region

  default_tags {
    tags = {
      Project   = "crucible"
      ManagedBy = "terraform"
    }
  }
}
