//! A queue for one check: of the live one's kind, with a state of its own.
//!
//! Its evaluations have no place in the live queue, no list shows them, and its events go where the
//! check wants them. It ends with its owner: a check that is dropped halfway, because its time is
//! over or the server shuts down, leaves no program behind.

use std::sync::Arc;

use shared::{Engine, Evaluations, EventSink};
use tokio::runtime::Handle;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::archive::Archive;
use crate::{QueueOptions, TaskQueue};

/// A queue with one worker that is closed when this is dropped.
///
/// The queue that it was made from waits for that close at its own shutdown.
pub struct ScratchQueue {
    queue: Arc<TaskQueue>,
    closings: TaskTracker,
    runtime: Handle,
}

impl TaskQueue {
    /// A queue of the same kind for a check, with one worker on `engine` and `capacity` slots.
    pub fn scratch(
        &self,
        engine: Arc<dyn Engine>,
        events: Arc<dyn EventSink>,
        archive: Arc<dyn Archive>,
        capacity: usize,
    ) -> ScratchQueue {
        let options = QueueOptions { workers: 1, capacity, limits: self.options.limits };
        let queue = Self::with_archive(engine, events, options, archive);
        let (closings, runtime) = (self.scratch_closings.clone(), Handle::current());
        ScratchQueue { queue, closings, runtime }
    }
}

impl ScratchQueue {
    /// The queue, for as long as this exists.
    pub fn queue(&self) -> Arc<TaskQueue> {
        Arc::clone(&self.queue)
    }
}

// ANCHOR: scratch
impl Drop for ScratchQueue {
    fn drop(&mut self) {
        let queue = Arc::clone(&self.queue);
        let close = async move {
            let now = CancellationToken::new();
            now.cancel();
            queue.shutdown(now).await;
        };
        self.closings.spawn_on(close, &self.runtime);
    }
}
// ANCHOR_END: scratch
