//! The ledger: the state machine of every evaluation that has not ended, and the only writer of its
//! state.
//!
//! ```text
//!            accept              start              finish
//! submission ─────▶ queued ──────────────▶ running ──────────▶ ended ─▶ archive
//!                ▲    └──── cancel, finish ──│────────────────▶
//!                └───── finish_attempt ──────┘ worker lost, and another attempt is allowed
//! ```
//!
//! Each transition has three steps: it is decided under the lock, committed to the [`Journal`]
//! without the lock, and then applied and published under the lock. The phase of an entry reserves
//! the transition meanwhile: only one of a finished run, a cancellation and a lost worker can end an
//! evaluation, whichever comes first. A transition runs in a task of its own, so that a client that
//! disconnects does not stop it halfway.

mod assigned;
mod batch;
mod events;
mod live;
mod log;
mod lookup;
mod retry;
mod table;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use shared::output::OutputListener;
use shared::{
    Evaluation, EvaluationsError, EventSink, Job, OutputBuffer, Refusal, RequestContext,
    SandboxInfo, Submission, Verdict,
};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::Instrument as _;
use uuid::Uuid;

use crate::archive::Archive;
use crate::journal::{Accepted, Change, Journal, JournalError, Transition};
#[cfg(test)]
pub(crate) use lookup::merge;
use table::{CancelDecision, Table};
pub use table::{Resumed, queued};

/// The pauses between attempts to commit a change that has happened already: the first, doubled up
/// to the last.
const COMMIT_RETRY_INTERVALS: (Duration, Duration) =
    (Duration::from_millis(100), Duration::from_secs(5));

/// What a ledger is connected to.
pub struct LedgerParts {
    /// Makes changes durable.
    pub journal: Arc<dyn Journal>,
    /// Stores what has ended.
    pub archive: Arc<dyn Archive>,
    /// Receives the output of programs while it is captured.
    pub progress: Arc<dyn EventSink>,
    /// Where evaluations are expected to run, until the engine stamps where they do.
    pub sandbox: Option<SandboxInfo>,
    /// Evaluations that may wait.
    pub capacity: usize,
}

/// Everything that is known about evaluations that have not ended.
pub struct Ledger {
    parts: LedgerParts,
    /// Ties the entries, their phases and the counters of the table to the events that are published
    /// while it is locked. It is never locked across an await.
    table: Mutex<Table>,
    /// Cancelled when the shutdown gives up: a change that cannot be committed is left to the next
    /// start then.
    abandoned: CancellationToken,
    tasks: TaskTracker,
}

/// A slot of the queue for a submission that is being committed. Released when it is dropped.
struct ReservedSlot(Arc<Ledger>);

impl Drop for ReservedSlot {
    fn drop(&mut self) {
        self.0.table().release();
    }
}

/// What a worker needs to run an evaluation that has started.
pub struct Assignment {
    /// Where the output goes.
    pub output: Arc<OutputBuffer>,
    /// Cancelled when the program has to end.
    pub cancel: CancellationToken,
}

/// How many evaluations there are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LedgerStats {
    /// Waiting for a worker.
    pub queued: usize,
    /// Running.
    pub running: usize,
    /// When the oldest waiting one was accepted.
    pub oldest_queued: Option<Instant>,
}

impl Ledger {
    /// A ledger without evaluations.
    pub fn new(parts: LedgerParts) -> Arc<Self> {
        let (table, abandoned) = (Mutex::default(), CancellationToken::new());
        Arc::new(Self { parts, table, abandoned, tasks: TaskTracker::new() })
    }

    // ANCHOR: accept
    /// Accepts a submission: when this returns, the evaluation is committed and visible.
    ///
    /// # Errors
    ///
    /// Refused when there is no room or the ledger is closed, with `retry_after` seconds for another
    /// try; internal when the journal does not commit.
    pub async fn accept(
        self: &Arc<Self>,
        context: &RequestContext,
        submission: Submission,
        listener: Option<OutputListener>,
        retry_after: u64,
    ) -> Result<(Evaluation, Job), EvaluationsError> {
        self.table().reserve(self.parts.capacity, retry_after)?;
        let slot = ReservedSlot(Arc::clone(self));
        let (ledger, context) = (Arc::clone(self), context.clone());
        self.in_task(async move {
            let _slot = slot; // released after the entry is in the table, or at an error
            let (accepted, change) = ledger.acceptance(Uuid::now_v7(), &submission, &context);
            ledger.parts.journal.commit(&change).await.map_err(not_committed)?;
            let output = ledger.output(&accepted, listener);
            let mut table = ledger.table();
            table.insert(accepted.clone(), output);
            ledger.parts.journal.publish(change.events);
            let job = Job { id: accepted.id, attempt: accepted.attempt, submission };
            Ok((accepted, job))
        })
        .await?
    }

    /// An evaluation that is about to be accepted, and the change that has to be committed first.
    fn acceptance(
        &self,
        id: Uuid,
        submission: &Submission,
        context: &RequestContext,
    ) -> (Evaluation, Change) {
        let (owner, sandbox) = (context.principal.clone(), self.parts.sandbox.clone());
        let accepted = queued(id, submission, owner, sandbox);
        let change = Change {
            events: vec![events::queued_event(&accepted, self.table().depth())],
            transition: Transition::Accepted(Box::new(Accepted {
                evaluation: accepted.clone(),
                submission: submission.clone(),
                context: context.clone(),
            })),
        };
        (accepted, change)
    }
    // ANCHOR_END: accept

    /// Takes over an evaluation that was accepted before a restart, with its id and attempt. Its
    /// acceptance is in the journal already.
    pub fn resume(&self, resumed: Resumed) -> Job {
        let (evaluation, job) = resumed.into_parts(self.parts.sandbox.clone());
        let output = self.output(&evaluation, None);
        self.table().insert(evaluation, output);
        job
    }

    // ANCHOR: start
    /// Records that a worker runs a job in `sandbox`, unless that is recorded already. None when the evaluation was
    /// cancelled before, or has another attempt.
    pub async fn start(
        self: &Arc<Self>,
        id: Uuid,
        attempt: u32,
        sandbox: SandboxInfo,
    ) -> Option<Assignment> {
        let (started, assignment) = self.table().decide_start(id, attempt, sandbox)?;
        let Some(started) = started else {
            // Its acceptance was committed after the shutdown had given up: the next start decides about it.
            return (!self.abandoned.is_cancelled()).then_some(assignment);
        };
        let ledger = Arc::clone(self);
        let recorded = self.in_task(async move {
            let change = Change {
                events: vec![events::started_event(&started)],
                transition: Transition::Started(Box::new(started.clone())),
            };
            ledger.commit_until_done(&change).await.ok()?;
            let mut table = ledger.table();
            if table.apply_start(started) {
                ledger.parts.journal.publish(change.events);
            }
            Some(())
        });
        recorded.await.ok()??;
        Some(assignment)
    }
    // ANCHOR_END: start

    // ANCHOR: finish
    /// Records the end of an evaluation. Only the first end counts: a late one has no effect.
    pub async fn finish(self: &Arc<Self>, id: Uuid, verdict: Verdict) {
        let decided = self.table().decide_end(id, verdict);
        if let Some(ended) = decided {
            self.record_end(ended).await;
        }
    }

    async fn record_end(self: &Arc<Self>, ended: Evaluation) {
        let ledger = Arc::clone(self);
        let recorded = self.in_task(async move {
            let change = Change {
                events: events::ended_events(&ended),
                transition: Transition::Ended(Box::new(ended.clone())),
            };
            if ledger.commit_until_done(&change).await.is_err() {
                return;
            }
            log::end(&ended);
            let id = ended.id;
            let waiters = ledger.table().waiters(id);
            let copy = (waiters > 0).then(|| Arc::new(ended.clone()));
            let mut table = ledger.table();
            ledger.parts.journal.publish(change.events);
            ledger.parts.archive.insert(ended);
            table.remove(id, copy);
        });
        recorded.await.ok(); // an error is a panic, which `in_task` has logged
    }
    // ANCHOR_END: finish

    // ANCHOR: cancel
    /// Ends a waiting evaluation, or has the worker of a running one end it. False when no
    /// evaluation of this id is live.
    pub async fn cancel(self: &Arc<Self>, id: Uuid) -> bool {
        let decided = self.table().decide_cancel(id);
        match decided {
            None => false,
            Some(CancelDecision::Requested) => true,
            Some(CancelDecision::Ended(ended)) => {
                self.record_end(*ended).await;
                true
            }
        }
    }
    // ANCHOR_END: cancel

    /// Accepts nothing more, and cancels what waits, unless it goes on after a restart.
    pub async fn close(self: &Arc<Self>) {
        let waiting = self.table().close();
        if self.parts.journal.is_durable() {
            return;
        }
        for id in waiting {
            self.cancel(id).await;
        }
    }

    /// Has every running program end.
    pub fn cancel_running(&self) {
        self.table().cancel_running();
    }

    /// Records what still runs as lost, for this reason, and gives up on changes that cannot be
    /// committed.
    pub async fn abandon(self: &Arc<Self>, reason: &str) {
        let running = self.table().running_ids();
        self.abandoned.cancel();
        for id in running {
            self.finish(id, Verdict::worker_lost("shutdown", reason)).await;
        }
    }

    /// Returns when no transition is under way.
    pub async fn settled(&self) {
        self.tasks.close();
        self.tasks.wait().await;
        self.tasks.reopen();
    }

    fn output(&self, of: &Evaluation, listener: Option<OutputListener>) -> Arc<OutputBuffer> {
        let listener = events::progress_listener(Arc::clone(&self.parts.progress), of.id, listener);
        Arc::new(OutputBuffer::new(of.limits.output_bytes, listener))
    }

    /// Runs a transition in a task of its own.
    async fn in_task<T: Send + 'static>(
        &self,
        transition: impl Future<Output = T> + Send + 'static,
    ) -> Result<T, EvaluationsError> {
        let task = self.tasks.spawn(transition.in_current_span());
        task.await.map_err(|error| {
            tracing::error!(%error, "a transition of an evaluation panicked");
            EvaluationsError::Internal(error.into())
        })
    }

    /// Commits a change that has happened: a failure is retried until the ledger is abandoned.
    async fn commit_until_done(&self, change: &Change) -> Result<(), JournalError> {
        let (mut pause, longest) = COMMIT_RETRY_INTERVALS;
        loop {
            let Err(error) = self.parts.journal.commit(change).await else { return Ok(()) };
            tracing::error!(error = %error.0, "a change was not committed; it is tried again");
            tokio::select! {
                () = tokio::time::sleep(pause) => pause = (pause * 2).min(longest),
                () = self.abandoned.cancelled() => return Err(error),
            }
        }
    }

    fn table(&self) -> MutexGuard<'_, Table> {
        // No code panics while it holds the lock; if it did, the table would still be whole.
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A journal that has no room refuses a submission; other errors are of the platform.
fn not_committed(error: JournalError) -> EvaluationsError {
    match error.0.downcast::<Refusal>() {
        Ok(refusal) => EvaluationsError::Refused(*refusal),
        Err(source) => internal(JournalError(source)),
    }
}

fn internal(error: impl std::error::Error + Send + Sync + 'static) -> EvaluationsError {
    EvaluationsError::Internal(Box::new(error))
}

#[cfg(test)]
mod tests;
