//! The trait of every monitor.

use std::sync::Arc;

use shared::{EventSink, QueueStats, TestableComponent};
use uuid::Uuid;

use crate::recorded::SequencedEvent;
use crate::subscription::{Filter, Gap, SubscribeError, Subscription};

/// Keeps what it is told of, and lets others read it.
///
/// It is told through [`EventSink::emit`], which never blocks and never fails. Two monitors
/// implement it: [`crate::InMemoryMonitor`] keeps and streams, [`crate::AdvancedMonitor`] counts
/// as well.
// ANCHOR: service
pub trait MonitoringService: EventSink + TestableComponent {
    /// What is kept about an evaluation after the event numbered `after`, oldest first. None when
    /// nothing is kept about it.
    fn history(&self, id: Uuid, after: Option<u64>) -> Option<History>;

    /// Follows events from the one after number `after` on; 0 is the beginning of what is kept.
    /// Without a number an evaluation is followed from its beginning, and everything from now on.
    ///
    /// # Errors
    ///
    /// [`SubscribeError`] when there is nothing to follow, or no place for another reader.
    fn subscribe(&self, filter: Filter, after: Option<u64>)
    -> Result<Subscription, SubscribeError>;

    /// All metrics as text, `queue` among them. None when this monitor does not count.
    fn metrics(&self, _queue: QueueStats) -> Option<String> {
        None
    }
}
// ANCHOR_END: service

/// What is kept about one evaluation.
#[derive(Debug, Clone)]
pub struct History {
    /// What was asked for and is not kept any more.
    pub missed: Option<Gap>,
    /// What is kept, oldest first.
    pub events: Vec<Arc<SequencedEvent>>,
}
