//! A platform for one check: the live engine, and everything else of the same kinds with a state of
//! its own.
//!
//! What a check submits here takes no place of the live queue, is in no list that a client reads, and
//! evicts nothing from the storage; no reader of the live events sees it, and no metric counts it. One
//! worker beside those of the live queue runs it.

use std::sync::Arc;

use shared::{BoxFuture, Engine, EventSink};
use stage_02_queue::{Archive, ArchiveError, ScratchQueue, TaskQueue};
use stage_03_monitoring::EventLogError;

use super::{Components, Platform, Queue};

/// Evaluations of a check that may wait.
const SCRATCH_CAPACITY: usize = 8;

/// Why there is no scratch platform.
#[derive(Debug, thiserror::Error)]
pub enum ScratchError {
    /// This process has no engine.
    #[error("the programs are run by workers elsewhere")]
    NoEngine,
    /// The monitor has none.
    #[error("no scratch monitor can be created")]
    Monitor(#[from] EventLogError),
    /// The storage has none.
    #[error("no scratch storage can be created")]
    Storage(#[from] ArchiveError),
}

impl shared::Hint for ScratchError {}

/// Components for one check. The queue is closed when this is dropped, and the shutdown of the live
/// queue waits for that.
pub(super) struct ScratchComponents {
    pub(super) components: Components,
    owner: ScratchQueue,
}

/// A platform for one check, until this is dropped.
pub struct ScratchPlatform {
    platform: Arc<Platform>,
    _owner: ScratchQueue,
}

impl Queue for TaskQueue {
    fn scratch(
        &self,
        engine: Arc<dyn Engine>,
        events: Arc<dyn EventSink>,
        archive: Arc<dyn Archive>,
    ) -> ScratchQueue {
        self.scratch(engine, events, archive, SCRATCH_CAPACITY)
    }
}

impl Components {
    /// Components of the same kinds, on the same engine.
    pub(super) async fn scratch(&self) -> Result<ScratchComponents, ScratchError> {
        let engine = self.engine.clone().ok_or(ScratchError::NoEngine)?;
        let monitor = self.monitor.scratch().await?;
        let storage = self.storage.scratch(monitor.clone()).await?;
        let queue = self.queue.scratch(engine.clone(), monitor.clone(), storage.clone());
        let components = Self { engine: Some(engine), queue: queue.queue(), monitor, storage };
        Ok(ScratchComponents { components, owner: queue })
    }
}

impl Platform {
    /// A platform of the same kind for one check of what is built on top of it.
    ///
    /// # Errors
    ///
    /// [`ScratchError`] when it cannot be created.
    pub fn scratch(&self) -> BoxFuture<'_, Result<ScratchPlatform, ScratchError>> {
        Box::pin(async {
            let ScratchComponents { components, owner } = self.components.scratch().await?;
            let platform = Self::without_background(components, self.options.clone());
            Ok(ScratchPlatform { platform, _owner: owner })
        })
    }
}

impl ScratchPlatform {
    /// The platform, for as long as this exists.
    pub fn platform(&self) -> &Arc<Platform> {
        &self.platform
    }
}
