//! The journal: where each change of an evaluation is made durable before any client can see it.
//!
//! Decide → persist → publish. The ledger decides a change, the journal commits it together with
//! its events, and only then are the state and the events visible. In this stage nothing is durable:
//! [`InMemoryJournal`] commits at once and passes the events on. A stage with a database implements
//! [`Journal`] and stores change and events in one transaction.

use std::sync::Arc;

use shared::{BoxError, BoxFuture, Evaluation, Event, EventSink, RequestContext, Submission};

/// One change of an evaluation, decided and not yet visible.
#[derive(Debug, Clone)]
pub struct Change {
    /// What changes.
    pub transition: Transition,
    /// The events of the change, in their order.
    pub events: Vec<Event>,
}

/// The transitions of an evaluation. Each has the evaluation as it is after it.
#[derive(Debug, Clone)]
pub enum Transition {
    /// It was accepted, and waits.
    Accepted(Box<Accepted>),
    /// A worker has taken it.
    Started(Box<Evaluation>),
    /// Its worker was lost, and it waits for its next attempt.
    Retried(Box<Retried>),
    /// It has ended. With its output.
    Ended(Box<Evaluation>),
}

/// An evaluation that is accepted, and all that is needed to run it after a restart.
#[derive(Debug, Clone)]
pub struct Accepted {
    /// The evaluation.
    pub evaluation: Evaluation,
    /// What was submitted.
    pub submission: Submission,
    /// The request that submitted it.
    pub context: RequestContext,
}

/// An evaluation that goes back into the queue.
#[derive(Debug, Clone)]
pub struct Retried {
    /// The attempt that was lost, as if the evaluation had ended with it.
    pub lost: Evaluation,
    /// The evaluation as it waits now.
    pub waiting: Evaluation,
}

/// Why a change was not committed. It is not visible then.
#[derive(Debug, thiserror::Error)]
#[error("the journal did not commit a change of an evaluation")]
pub struct JournalError(#[source] pub BoxError);

// ANCHOR: journal
/// Makes changes durable, then visible.
pub trait Journal: Send + Sync {
    /// Persists a change and its events in one step. When it returns `Ok`, a crash does not undo the
    /// change any more.
    fn commit<'a>(&'a self, change: &'a Change) -> BoxFuture<'a, Result<(), JournalError>>;

    /// Persists several changes and their events in one step: all of them or none. They are acceptances, or an
    /// acceptance and its start.
    fn commit_all<'a>(&'a self, changes: &'a [Change]) -> BoxFuture<'a, Result<(), JournalError>>;

    /// Makes the events of a committed change visible, in their order.
    ///
    /// Called while the ledger is locked, so that no later change of the same evaluation can be
    /// published first. It must neither block nor call the ledger.
    fn publish(&self, events: Vec<Event>);

    /// Whether what was committed goes on after a restart. A shutdown leaves what waits to it then.
    fn is_durable(&self) -> bool {
        false
    }
}
// ANCHOR_END: journal

/// Persists nothing, and publishes to a sink: for the stages without durable storage.
pub struct InMemoryJournal {
    events: Arc<dyn EventSink>,
}

impl InMemoryJournal {
    /// A journal that publishes to `events`.
    pub fn new(events: Arc<dyn EventSink>) -> Self {
        Self { events }
    }
}

impl Journal for InMemoryJournal {
    fn commit<'a>(&'a self, _change: &'a Change) -> BoxFuture<'a, Result<(), JournalError>> {
        Box::pin(std::future::ready(Ok(())))
    }

    fn commit_all<'a>(&'a self, _changes: &'a [Change]) -> BoxFuture<'a, Result<(), JournalError>> {
        Box::pin(std::future::ready(Ok(())))
    }

    fn publish(&self, events: Vec<Event>) {
        for event in events {
            self.events.emit(event);
        }
    }
}
