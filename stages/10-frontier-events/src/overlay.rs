//! The contract of this stage: that of stage 09, with what the files in `overlays` add.

use shared::Bounds;
use stage_08_openapi::{Contract, ContractError};

use crate::args::EventsArgs;

/// What each part adds.
const OVERLAYS: [&str; 5] = [
    include_str!("../overlays/history.yaml"),
    include_str!("../overlays/webhooks.yaml"),
    include_str!("../overlays/rules.yaml"),
    include_str!("../overlays/violations.yaml"),
    include_str!("../overlays/workers.yaml"),
];

/// The contract with these bounds and settings.
///
/// # Errors
///
/// When an overlay does not fit the contract.
pub fn contract(bounds: &Bounds, args: &EventsArgs) -> Result<Contract, ContractError> {
    let mut overlays = stage_09_frontier::overlays(&args.frontier);
    overlays.extend(OVERLAYS.map(ToOwned::to_owned));
    Contract::with_overlays(bounds, overlays)
}
