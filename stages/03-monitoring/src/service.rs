//! The trait of every monitor.

use std::sync::Arc;

use shared::{BoxFuture, EventSink, QueueStats, TestableComponent};
use uuid::Uuid;

use crate::event_log::{EventLogError, Filter, History, SubscribeError};
use crate::subscription::Subscription;

/// Receives events, and lets readers follow them.
///
/// Events come through [`EventSink::emit`], which never blocks and never fails. Two monitors implement
/// it: [`crate::InMemoryMonitor`] stores and streams, [`crate::AdvancedMonitor`] counts as well.
// ANCHOR: service
pub trait MonitoringService: EventSink + TestableComponent {
    /// What is stored of an evaluation after the event numbered `after`. None when nothing is.
    ///
    /// # Errors
    ///
    /// When the event log cannot be read.
    fn history(
        &self,
        id: Uuid,
        after: Option<u64>,
    ) -> BoxFuture<'_, Result<Option<History>, EventLogError>>;

    /// Follows events from the one after number `after` on; 0 is the beginning of what is stored.
    /// Without a number an evaluation is followed from its beginning, and everything from now on.
    ///
    /// # Errors
    ///
    /// [`SubscribeError`] when there is nothing to follow, or the limit of readers is reached.
    fn subscribe(
        &self,
        filter: Filter,
        after: Option<u64>,
    ) -> BoxFuture<'_, Result<Subscription, SubscribeError>>;

    /// A monitor of the same kind for a check, with a log and counters of its own: nothing that it
    /// receives is seen by a reader of this one, or counted here.
    ///
    /// # Errors
    ///
    /// When no event log can be created.
    fn scratch(&self) -> BoxFuture<'_, Result<Arc<dyn MonitoringService>, EventLogError>>;

    /// Returns when everything that can be read now is counted. A monitor that counts what it is sent has counted
    /// it already; one of a later stage counts by a task of its own.
    fn counted(&self) -> BoxFuture<'_, ()> {
        Box::pin(std::future::ready(()))
    }

    /// All metrics as text, those of the queue among them. None when this monitor does not count.
    fn metrics(&self, _queue: QueueStats) -> Option<String> {
        None
    }
}
// ANCHOR_END: service
