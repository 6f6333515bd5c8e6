//! The components of this stage: those of stage 6, with a database behind storage and events.

use std::sync::Arc;

use shared::cli::{BuildError, Settings};
use stage_06_advanced::Components;

use crate::args::FrontierArgs;
use crate::store::Store;

/// What this stage is made of.
pub struct Frontier {
    /// The components of the platform.
    pub components: Components,
    /// The database. With `--storage memory` it is in a temporary directory, for what has no other
    /// place.
    pub store: Arc<Store>,
}

impl Frontier {
    /// Builds the components that the flags select.
    ///
    /// # Errors
    ///
    /// When the engine does not start, or the data directory cannot be used.
    pub async fn build(settings: &Settings, args: &FrontierArgs) -> Result<Self, BuildError> {
        let store = Store::open(args.storage.lock()?)?;
        let components = Components::build(settings, &args.contract.api.platform).await?;
        Ok(Self { components, store })
    }
}
