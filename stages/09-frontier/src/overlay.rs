//! The contract of this stage: that of stage 08, with what `overlay.yaml` adds.

use shared::Bounds;
use stage_08_openapi::{Contract, ContractError};

use crate::accounts::AccessArgs;

/// What this stage adds.
const OVERLAY: &str = include_str!("../overlay.yaml");
/// The text in it that stands for the configured lifetime of idempotency keys.
const LIFETIME: &str = "IDEMPOTENCY_HOURS";

/// The contract with these bounds and settings.
///
/// # Errors
///
/// When the overlay does not fit the contract.
pub fn contract(bounds: &Bounds, access: &AccessArgs) -> Result<Contract, ContractError> {
    let overlay = OVERLAY.replace(LIFETIME, &access.idempotency_hours.to_string());
    Contract::load(bounds)?.with_overlay(&overlay)
}
