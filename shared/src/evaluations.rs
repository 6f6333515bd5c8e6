//! The trait that stands between the outside (HTTP, command line) and whatever keeps evaluations.
//!
//! Stage 2's queue implements it. Later stages wrap it, and the routes and the command line above
//! it never notice.

use serde::Serialize;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::output::OutputListener;
use crate::{BoxFuture, Evaluation, Outcome, Status, Submission};

/// Why a submission was not accepted. Nothing of it is kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Refused {
    /// Every place in the queue is taken; try again after so many seconds.
    QueueFull {
        /// Seconds after which a place is likely to be free.
        retry_after: u64,
    },
    /// A part of the platform fails its own test, so that nothing is run until it passes again.
    NotReady,
    /// The platform is shutting down.
    ShuttingDown,
}

/// Why an evaluation was not cancelled.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NotCancelled {
    /// There is no evaluation of this id.
    Unknown,
    /// It had already ended, as given.
    Ended(Status),
}

/// Which evaluations to list.
#[derive(Debug, Clone, Default)]
pub struct Query {
    /// Only those with this status.
    pub status: Option<Status>,
    /// Only those that ended so.
    pub outcome: Option<Outcome>,
    /// Only those with this label, by its key and value.
    pub label: Option<(String, String)>,
    /// At most so many.
    pub limit: usize,
    /// Only those older than this one.
    pub cursor: Option<Uuid>,
}

impl Query {
    /// Whether an evaluation has all that is asked for. The limit and the cursor are not looked at.
    pub fn wants(&self, evaluation: &Evaluation) -> bool {
        self.status.is_none_or(|status| status == evaluation.status)
            && self.outcome.is_none_or(|outcome| Some(outcome) == evaluation.outcome)
            && self
                .label
                .as_ref()
                .is_none_or(|(key, value)| evaluation.labels.get(key) == Some(value))
    }
}

/// One page of a list, newest first.
#[derive(Debug, Clone, Serialize)]
pub struct Page {
    /// The evaluations of this page.
    pub items: Vec<Evaluation>,
    /// What to ask with for the next page; absent on the last one.
    pub next_cursor: Option<Uuid>,
}

/// What the queue looks like at one moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct QueueStats {
    /// Evaluations that wait for a worker.
    pub depth: usize,
    /// How many may wait.
    pub capacity: usize,
    /// Workers in all.
    pub workers: usize,
    /// Workers that have an evaluation.
    pub workers_busy: usize,
    /// How long the oldest waiting evaluation has waited, in milliseconds.
    pub oldest_wait_ms: u64,
}

/// Takes submissions, keeps evaluations.
pub trait Evaluations: Send + Sync {
    /// Accepts a submission and gives it an id. `listener`, if given, sees the output as it is kept.
    ///
    /// # Errors
    ///
    /// [`Refused`], and then nothing of the submission is kept.
    fn submit(
        &self,
        submission: Submission,
        listener: Option<OutputListener>,
    ) -> Result<Evaluation, Refused>;

    /// The evaluation with this id as it is now, its output so far included.
    fn get(&self, id: Uuid) -> Option<Evaluation>;

    /// Fires when the evaluation has ended. None when there is no such evaluation.
    fn finished(&self, id: Uuid) -> Option<CancellationToken>;

    /// A page of evaluations, newest first.
    fn list(&self, query: Query) -> Page;

    /// Cancels an evaluation: takes it out of the queue, or ends what runs.
    ///
    /// # Errors
    ///
    /// [`NotCancelled`] when there is nothing to cancel.
    fn cancel(&self, id: Uuid) -> Result<Evaluation, NotCancelled>;

    /// What the queue looks like now.
    fn queue_stats(&self) -> QueueStats;

    /// Accepts nothing more, lets what runs go on until `now` fires, then ends it, and returns when
    /// nothing is left.
    fn shutdown(&self, now: CancellationToken) -> BoxFuture<'_, ()>;
}
