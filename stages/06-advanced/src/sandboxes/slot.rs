//! How the rest of a server reaches the engine of kept sandboxes, which is started with the engine of evaluations.

use std::fmt;
use std::sync::{Arc, OnceLock};

use super::{SandboxBounds, SandboxEngine, SharedSandboxEngine};

/// Whether sandboxes are kept, and the engine of those, once it has started. All clones are of one engine.
#[derive(Clone, Default)]
pub struct KeptSandboxes {
    /// What the operator allows. None keeps no sandboxes.
    pub bounds: Option<SandboxBounds>,
    engine: Arc<OnceLock<SharedSandboxEngine>>,
}

impl KeptSandboxes {
    /// Sandboxes within `bounds`.
    pub fn within(bounds: SandboxBounds) -> Self {
        Self { bounds: Some(bounds), engine: Arc::default() }
    }

    /// The engine. None before it has started, and when the engine that was selected keeps no sandboxes.
    pub fn engine(&self) -> Option<Arc<dyn SandboxEngine>> {
        self.engine.get().cloned()
    }

    /// The engine has started.
    pub(crate) fn set(&self, engine: SharedSandboxEngine) {
        // A second engine of the same options is for a check of its own, and keeps none.
        self.engine.set(engine).ok();
    }
}

impl fmt::Debug for KeptSandboxes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("KeptSandboxes").field("bounds", &self.bounds).finish_non_exhaustive()
    }
}
