# The cloud path: API Gateway -> Lambda -> SQS -> worker on EC2. The book's page "The cloud path" explains it.

locals {
  is_public = var.access_mode == "public_ssh"
}

module "storage" {
  source         = "./modules/storage"
  name           = var.name
  retention_days = var.retention_days
}

module "network" {
  source         = "./modules/network"
  name           = var.name
  region         = var.region
  cidr           = var.vpc_cidr
  zones          = var.zones
  nat            = var.nat
  public         = local.is_public
  kms_key_arn    = module.storage.kms_key_arn
  retention_days = var.retention_days
}

module "queue" {
  source                     = "./modules/queue"
  name                       = var.name
  environments               = var.environments
  longest_evaluation_seconds = var.longest_evaluation_seconds
  kms_key_arn                = module.storage.kms_key_arn
}

module "access" {
  source         = "./modules/access"
  name           = var.name
  mode           = var.access_mode
  allowed_ssh_ip = var.allowed_ssh_ip
  ssh_public_key = var.ssh_public_key
  kms_key_arn    = module.storage.kms_key_arn
  retention_days = var.retention_days
}

module "api" {
  source             = "./modules/api"
  name               = var.name
  region             = var.region
  package            = var.api_package
  authorizer_package = var.authorizer_package
  runtimes           = var.lambda_runtimes
  throttle           = var.requests_per_second
  queue_arns         = module.queue.arns
  dead_queue_arn     = module.queue.dead_arn
  bucket             = module.storage.bucket
  bucket_arn         = module.storage.bucket_arn
  table              = module.storage.table
  table_arn          = module.storage.table_arn
  kms_key_arn        = module.storage.kms_key_arn
  retention_days     = var.retention_days
}

module "worker" {
  source             = "./modules/worker"
  name               = var.name
  region             = var.region
  ami                = var.worker_ami
  instance_type      = var.worker_instance_type
  size               = var.worker_count
  spot               = var.worker_spot
  bundle             = var.worker_bundle
  vpc_id             = module.network.vpc_id
  subnet_ids         = local.is_public ? module.network.public_subnet_ids : module.network.private_subnet_ids
  public             = local.is_public
  internet           = local.is_public || var.nat
  endpoint_group_id  = module.network.endpoint_group_id
  prefix_list_ids    = module.network.prefix_list_ids
  ssh_cidrs          = module.access.ssh_cidrs
  ssh_key_name       = module.access.ssh_key_name
  ssm_policy         = module.access.ssm_policy
  api_url            = coalesce(var.worker_api_url, module.api.url)
  queue_arns         = module.queue.arns
  dead_queue_arn     = module.queue.dead_arn
  visibility_seconds = module.queue.visibility_seconds
  bucket             = module.storage.bucket
  bucket_arn         = module.storage.bucket_arn
  kms_key_arn        = module.storage.kms_key_arn
}

module "observability" {
  source             = "./modules/observability"
  name               = var.name
  region             = var.region
  email              = var.alarm_email
  monthly_budget_usd = var.monthly_budget_usd
  queue_names        = module.queue.names
  dead_queue_name    = module.queue.dead_name
  visibility_seconds = module.queue.visibility_seconds
  function_names     = module.api.function_names
  api_id             = module.api.id
  group_name         = module.worker.group_name
  kms_key_arn        = module.storage.kms_key_arn
}

# A warning, and no error: the API may have an address in the VPC later.
check "workers_reach_their_api" {
  assert {
    condition     = local.is_public || var.nat || var.worker_api_url != null
    error_message = "The HTTP API has a public address only, and workers in a private subnet without NAT cannot reach it: set worker_api_url to an API in the VPC, or nat to true."
  }
}
