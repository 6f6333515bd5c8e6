//! The contract of this stage: that of stage 08, with what the files in `overlays` add.

use shared::Bounds;
use stage_08_openapi::{Contract, ContractError};

use crate::args::FrontierArgs;

/// What accounts, idempotency and batches add.
const ACCOUNTS: &str = include_str!("../overlays/accounts.yaml");
/// What administrators read.
const ADMIN: &str = include_str!("../overlays/admin.yaml");
/// What the files that programs leave add.
const ARTIFACTS: &str = include_str!("../overlays/artifacts.yaml");
/// What environments add.
const ENVIRONMENTS: &str = include_str!("../overlays/environments.yaml");
/// What comparisons and verifications add.
const PAIRS: &str = include_str!("../overlays/pairs.yaml");
/// What sandboxes that stay add.
const SANDBOXES: &str = include_str!("../overlays/sandboxes.yaml");
/// What the security test adds.
const SECURITY_TEST: &str = include_str!("../overlays/security_test.yaml");
/// What the storage adds.
const STORAGE: &str = include_str!("../overlays/storage.yaml");
/// What the web frontend adds.
const WEB: &str = include_str!("../overlays/web.yaml");
/// The text that stands for the configured lifetime of idempotency keys.
const LIFETIME: &str = "IDEMPOTENCY_HOURS";

/// The contract with these bounds and settings.
///
/// # Errors
///
/// When an overlay does not fit the contract.
pub fn contract(bounds: &Bounds, args: &FrontierArgs) -> Result<Contract, ContractError> {
    Contract::with_overlays(bounds, overlays(args))
}

/// What this stage adds to the contract, with these settings.
#[must_use]
pub fn overlays(args: &FrontierArgs) -> Vec<String> {
    let accounts = ACCOUNTS.replace(LIFETIME, &args.access.idempotency_hours.to_string());
    let overlays =
        [STORAGE, &accounts, ARTIFACTS, ENVIRONMENTS, PAIRS, SANDBOXES, SECURITY_TEST, WEB, ADMIN];
    overlays.map(ToOwned::to_owned).into()
}
