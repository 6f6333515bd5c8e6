//! The event log: the one history of events that all readers read.
//!
//! Each event gets a sequence number. A reader that reads after a number gets the next event of its
//! filter, or the [`Gap`] of numbers that the log has dropped, or learns that no event is there yet.
//! [`InMemoryEventLog`] is bounded and forgets at a restart; a stage with a database implements
//! [`EventLog`] over it, and goes on with the numbers from before.

mod in_memory;
mod ring;

pub use in_memory::{EventLogLimits, InMemoryEventLog, LogMismatch};
pub use ring::{Gap, Next};

use std::sync::Arc;

use shared::{BoxError, BoxFuture, Event};
use tokio::sync::watch;
use uuid::Uuid;

use crate::sequenced::SequencedEvent;

/// Which events a reader follows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Filter {
    /// All of them, without an end.
    Everything,
    /// Those of one evaluation, up to its last.
    Evaluation(Uuid),
}

/// Why there is nothing to follow.
#[derive(Debug, thiserror::Error)]
pub enum SubscribeError {
    /// The log has no events of this evaluation.
    #[error("no events of this evaluation are stored")]
    Unknown,
    /// The evaluation has ended, and the reader has its last event already.
    #[error("the evaluation has ended, and no event follows")]
    Ended,
    /// The reader has a number that no event has yet.
    #[error("no event has this number yet; the newest is {newest}")]
    FutureId {
        /// The number of the newest event.
        newest: u64,
    },
    /// The limit of readers is reached.
    #[error("the limit of event streams is reached")]
    TooMany,
    /// The log cannot be read.
    #[error("the event log cannot be read")]
    Unavailable(#[source] BoxError),
}

impl shared::Hint for SubscribeError {
    fn hint(&self) -> Option<&'static str> {
        None
    }
}

/// Why the log could not be read.
#[derive(Debug, thiserror::Error)]
#[error("the event log cannot be read")]
pub struct EventLogError(#[source] pub BoxError);

/// What the log stores of one evaluation.
#[derive(Debug, Clone)]
pub struct History {
    /// What was requested and has been dropped.
    pub missed: Option<Gap>,
    /// What is stored, oldest first.
    pub events: Vec<Arc<SequencedEvent>>,
}

/// What the log stores, and what it has dropped.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct LogStats {
    /// Evaluations with stored events.
    pub evaluations: usize,
    /// Stored events of evaluations.
    pub events: u64,
    /// Their size in bytes, approximately.
    pub bytes: usize,
    /// Events of evaluations that were dropped since the start.
    pub evicted: u64,
    /// How often a reader got a gap.
    pub gaps: u64,
}

// ANCHOR: event_log
/// Numbers, stores and serves events.
pub trait EventLog: Send + Sync {
    /// Gives an event the next number, stores it, and wakes its readers. It never waits for a reader.
    fn append(&self, event: Event);

    /// What comes after the event numbered `last`. None when no events of the evaluation are stored.
    fn read_after(
        &self,
        filter: Filter,
        last: u64,
    ) -> BoxFuture<'_, Result<Option<Next>, EventLogError>>;

    /// The position of a reader that resumes after event `after`, and a receiver that changes with
    /// each new event. 0 is the beginning; without a number an evaluation is read from its beginning,
    /// and everything from now on.
    fn position(
        &self,
        filter: Filter,
        after: Option<u64>,
    ) -> BoxFuture<'_, Result<(u64, watch::Receiver<u64>), SubscribeError>>;

    /// What is stored of an evaluation after the event numbered `after`. None when nothing is.
    fn history(
        &self,
        id: Uuid,
        after: u64,
    ) -> BoxFuture<'_, Result<Option<History>, EventLogError>>;

    /// An empty log of the same kind for a check, which no reader of this one sees. It is gone with
    /// its owner.
    fn scratch(&self) -> BoxFuture<'_, Result<Arc<dyn EventLog>, EventLogError>>;

    /// What is stored, and what was dropped.
    fn stats(&self) -> LogStats;

    /// Checks that the log is consistent.
    ///
    /// # Errors
    ///
    /// What is inconsistent.
    fn check_invariants(&self) -> Result<LogStats, LogMismatch>;
}
// ANCHOR_END: event_log
