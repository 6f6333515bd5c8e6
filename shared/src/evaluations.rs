//! The trait between a front end (HTTP, command line) and the component that manages evaluations.
//!
//! Stage 2's queue implements it. Later stages wrap it or implement it over a database or a broker;
//! the routes and the command line do not change. Every method is asynchronous and can fail, because
//! behind it may be a disk or a network.

use std::borrow::Cow;
use std::sync::Arc;
use std::time::Duration;

use http::StatusCode;
use serde::Serialize;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::error::BoxError;
use crate::output::OutputListener;
use crate::{BoxFuture, Evaluation, Outcome, RequestContext, Status, Submission};

/// Why a call failed. Nothing was changed then.
#[derive(Debug, thiserror::Error)]
pub enum EvaluationsError {
    /// There is no evaluation with this id, or its record was deleted.
    #[error("there is no evaluation with this id, or it is too old to be kept")]
    NotFound,
    /// The evaluation has ended already.
    #[error("the evaluation has already ended")]
    AlreadyEnded(Status),
    /// The call was refused, for a reason that the client may know.
    #[error(transparent)]
    Refused(#[from] Refusal),
    /// A component failed. The source is for the log, not for the client.
    #[error("the platform failed")]
    Internal(#[source] BoxError),
}

impl crate::Hint for EvaluationsError {}

/// A refusal: a status of HTTP, a text for the client, and when to try again.
///
/// The set is open: a stage that adds a quota or a full disk makes a refusal of its own.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{detail}")]
pub struct Refusal {
    /// The status that an HTTP answer has.
    pub status: StatusCode,
    /// What the client should know or change.
    pub detail: Cow<'static, str>,
    /// Seconds after which another try is likely to succeed: the header `Retry-After`.
    pub retry_after: Option<u64>,
}

impl Refusal {
    /// A refusal without a time for another try.
    pub fn new(status: StatusCode, detail: impl Into<Cow<'static, str>>) -> Self {
        Self { status, detail: detail.into(), retry_after: None }
    }

    /// The same refusal, with a time for another try, in seconds.
    #[must_use]
    pub fn retry_after(mut self, seconds: u64) -> Self {
        self.retry_after = Some(seconds);
        self
    }

    /// The platform is shutting down.
    pub fn shutting_down() -> Self {
        let detail = "the platform is shutting down and takes no more work";
        Self::new(StatusCode::SERVICE_UNAVAILABLE, detail).retry_after(30)
    }
}

/// Which evaluations to list.
#[derive(Debug, Clone, Default)]
pub struct Query {
    /// Only those with this status.
    pub status: Option<Status>,
    /// Only those with this outcome.
    pub outcome: Option<Outcome>,
    /// Only those with this label, by its key and value.
    pub label: Option<(String, String)>,
    /// Only those that this principal submitted.
    pub owner: Option<String>,
    /// The largest number of items on the page.
    pub limit: usize,
    /// Only evaluations older than this one.
    pub cursor: Option<Uuid>,
}

/// One page of a list, newest first. It shares what is stored, because a list is long.
#[derive(Debug, Clone, Default)]
pub struct Page {
    /// The evaluations of this page.
    pub items: Vec<Arc<Evaluation>>,
    /// The cursor of the next page; absent on the last one.
    pub next_cursor: Option<Uuid>,
}

/// The state of the queue at one moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct QueueStats {
    /// Evaluations that wait for a worker.
    pub depth: usize,
    /// How many may wait.
    pub capacity: usize,
    /// Workers in all.
    pub workers: usize,
    /// Workers that run an evaluation.
    pub workers_busy: usize,
    /// How long the oldest waiting evaluation has waited, in milliseconds.
    pub oldest_wait_ms: u64,
}

/// The answer to a call, later.
pub type Answer<'a, T> = BoxFuture<'a, Result<T, EvaluationsError>>;

/// Accepts submissions and manages evaluations.
pub trait Evaluations: Send + Sync {
    /// Accepts a submission and gives it an id. `listener`, if given, receives the output while it
    /// is captured.
    ///
    /// Cancel safety: a submission whose future is dropped may still be accepted.
    ///
    /// # Errors
    ///
    /// [`EvaluationsError::Refused`] when there is no room or no work is accepted.
    fn submit<'a>(
        &'a self,
        context: &'a RequestContext,
        submission: Submission,
        listener: Option<OutputListener>,
    ) -> Answer<'a, Evaluation>;

    /// The evaluation with this id as it is now, with its output so far.
    ///
    /// # Errors
    ///
    /// [`EvaluationsError::NotFound`] when there is none.
    fn get<'a>(&'a self, context: &'a RequestContext, id: Uuid) -> Answer<'a, Evaluation>;

    /// The evaluation with this id as soon as it has ended, or as it is after `timeout`.
    ///
    /// # Errors
    ///
    /// [`EvaluationsError::NotFound`] when there is none.
    fn wait<'a>(
        &'a self,
        context: &'a RequestContext,
        id: Uuid,
        timeout: Duration,
    ) -> Answer<'a, Evaluation>;

    /// A page of evaluations, newest first.
    ///
    /// # Errors
    ///
    /// [`EvaluationsError::Internal`] when a component fails.
    fn list<'a>(&'a self, context: &'a RequestContext, query: Query) -> Answer<'a, Page>;

    /// Cancels an evaluation: removes it from the queue, or ends the running program. The answer is
    /// the evaluation as it was right after that; use [`Self::wait`] for its end.
    ///
    /// # Errors
    ///
    /// [`EvaluationsError::NotFound`] or [`EvaluationsError::AlreadyEnded`].
    fn cancel<'a>(&'a self, context: &'a RequestContext, id: Uuid) -> Answer<'a, Evaluation>;

    /// The state of the queue now.
    ///
    /// # Errors
    ///
    /// [`EvaluationsError::Internal`] when a component fails.
    fn queue_stats(&self) -> Answer<'_, QueueStats>;

    /// Accepts nothing more, cancels what waits, lets running programs continue until `now` is
    /// cancelled, then ends them. Returns when no evaluation is left.
    fn shutdown(&self, now: CancellationToken) -> BoxFuture<'_, ()>;
}
