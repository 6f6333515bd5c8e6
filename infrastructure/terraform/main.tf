# The cloud path: API Gateway -> Lambda -> SQS -> worker on EC2. The book's page "The cloud path" explains it.

locals {
  is_public = var.access_mode == "public_ssh"
  # Workers with an API of their own need no other.
  private_api = var.private_api && var.worker_api_url == null
  # Only what calls an address in public needs a way there.
  internet = (local.is_public || var.nat) && !local.private_api && var.worker_api_cidr == null
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
  source                     = "./modules/api"
  name                       = var.name
  region                     = var.region
  package                    = var.api_package
  authorizer_package         = var.authorizer_package
  runtimes                   = var.lambda_runtimes
  throttle                   = var.requests_per_second
  longest_evaluation_seconds = var.longest_evaluation_seconds
  queue_arns                 = module.queue.arns
  max_deliveries             = module.queue.max_deliveries
  dead_queue_arn             = module.queue.dead_arn
  bucket                     = module.storage.bucket
  bucket_arn                 = module.storage.bucket_arn
  table                      = module.storage.table
  table_arn                  = module.storage.table_arn
  kms_key_arn                = module.storage.kms_key_arn
  retention_days             = var.retention_days
}

module "worker_api" {
  count             = local.private_api ? 1 : 0
  source            = "./modules/worker_api"
  name              = var.name
  region            = var.region
  vpc_id            = module.network.vpc_id
  subnet_ids        = module.network.private_subnet_ids
  endpoint_group_id = module.network.endpoint_group_id
  function_name     = module.api.workers_function_name
  invoke_arn        = module.api.invoke_arn
  throttle          = var.requests_per_second
}

module "worker" {
  source                     = "./modules/worker"
  name                       = var.name
  region                     = var.region
  ami                        = var.worker_ami
  instance_type              = var.worker_instance_type
  size                       = var.worker_count
  spot                       = var.worker_spot
  bundle                     = var.worker_bundle
  longest_evaluation_seconds = var.longest_evaluation_seconds
  vpc_id                     = module.network.vpc_id
  subnet_ids                 = local.is_public ? module.network.public_subnet_ids : module.network.private_subnet_ids
  public                     = local.is_public
  internet                   = local.internet
  endpoint_group_id          = module.network.endpoint_group_id
  prefix_list_ids            = module.network.prefix_list_ids
  ssh_cidrs                  = module.access.ssh_cidrs
  ssh_key_name               = module.access.ssh_key_name
  ssm_policy                 = module.access.ssm_policy
  api_url                    = coalesce(var.worker_api_url, local.private_api ? module.worker_api[0].url : module.api.url)
  api_network                = var.worker_api_cidr == null ? null : { cidr = var.worker_api_cidr, port = tonumber(try(regex(":([0-9]+)$", var.worker_api_url)[0], 443)) }
  queue_arns                 = module.queue.arns
  dead_queue_arn             = module.queue.dead_arn
  visibility_seconds         = module.queue.visibility_seconds
  bucket                     = module.storage.bucket
  bucket_arn                 = module.storage.bucket_arn
  kms_key_arn                = module.storage.kms_key_arn
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
  worker_api_name    = one(module.worker_api[*].name)
  group_name         = module.worker.group_name
  kms_key_arn        = module.storage.kms_key_arn
}

# A warning, and no error: the API may have an address in the VPC later.
check "workers_reach_their_api" {
  assert {
    condition     = local.private_api || local.internet || var.worker_api_cidr != null
    error_message = "Workers in a private subnet without NAT reach no address in public: leave private_api on, or set worker_api_url and worker_api_cidr to an API in the VPC, or nat to true."
  }
}
