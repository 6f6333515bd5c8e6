mock_provider "aws" {
  source = "./tests/mocks"
}

variables {
  name           = "test"
  region         = "eu-central-1"
  cidr           = "10.20.0.0/16"
  zones          = 2
  nat            = false
  public         = false
  kms_key_arn    = "arn:aws:kms:eu-central-1:123456789012:key/1"
  retention_days = 30
}

run "private" {
  module {
    source = "./modules/network"
  }

  assert {
    condition     = length(aws_route.nat) + length(aws_nat_gateway.main) == 0
    error_message = "N1: the private subnets have no way to the internet"
  }
  assert {
    condition     = length(aws_internet_gateway.main) + length(aws_route.public) == 0
    error_message = "N2: without public workers and NAT there is no internet gateway"
  }
  assert {
    condition     = alltrue([for subnet in concat(aws_subnet.public, aws_subnet.private) : !coalesce(subnet.map_public_ip_on_launch, false)])
    error_message = "N3: no subnet gives a public address to what did not ask for one"
  }
  assert {
    condition = (
      toset([for name, endpoint in aws_vpc_endpoint.interface : name]) == toset(["sqs", "ssm", "ssmmessages", "ec2messages", "logs", "kms"])
      && toset([for name, endpoint in aws_vpc_endpoint.gateway : name]) == toset(["s3", "dynamodb"])
    )
    error_message = "N4: there is an endpoint for each service that a worker calls, and for no other"
  }
  assert {
    condition = (
      length(aws_security_group.endpoints.ingress) == 1
      && alltrue([for rule in aws_security_group.endpoints.ingress : rule.from_port == 443 && rule.to_port == 443 && rule.cidr_blocks == tolist(["10.20.0.0/16"])])
    )
    error_message = "N5: the endpoints accept HTTPS from the VPC and nothing else"
  }
  assert {
    condition     = aws_flow_log.main.traffic_type == "ALL" && aws_cloudwatch_log_group.flow.kms_key_id == var.kms_key_arn
    error_message = "N6: accepted and rejected connections are logged, encrypted"
  }
  assert {
    condition     = length(coalesce(aws_default_security_group.main.ingress, [])) + length(coalesce(aws_default_security_group.main.egress, [])) == 0
    error_message = "N7: the default security group allows nothing"
  }
  assert {
    condition     = alltrue([for endpoint in aws_vpc_endpoint.interface : endpoint.private_dns_enabled])
    error_message = "N8: the names of the services lead to the endpoints"
  }
  assert {
    condition     = length(distinct([for subnet in aws_subnet.private : subnet.availability_zone])) == 2
    error_message = "N9: the private subnets are in different zones"
  }
  assert {
    condition = alltrue([for endpoint in aws_vpc_endpoint.gateway : alltrue([for s in jsondecode(endpoint.policy).Statement :
      try(s.Condition.StringEquals["aws:ResourceAccount"], "") == "123456789012"
    ])])
    error_message = "N11: the way to buckets and tables leads to those of this account"
  }
  assert {
    condition = alltrue([for endpoint in aws_vpc_endpoint.interface : alltrue([for s in jsondecode(endpoint.policy).Statement :
      try(s.Condition.StringEquals["aws:PrincipalAccount"], "") == "123456789012"
    ])])
    error_message = "N12: credentials of another account are of no use at an endpoint"
  }
}

run "with_nat" {
  variables {
    nat = true
  }
  module {
    source = "./modules/network"
  }

  assert {
    condition     = length(aws_nat_gateway.main) == 1 && aws_route.nat[0].destination_cidr_block == "0.0.0.0/0"
    error_message = "N10: with nat there is one gateway, and the private subnets use it"
  }
}
