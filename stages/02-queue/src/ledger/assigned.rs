//! Accepting a submission that a worker can run at once: acceptance and start are one commit.
//!
//! Each commit of a journal with a database is a flush to disk, and the client waits for both.

use std::sync::Arc;
use std::time::Instant;

use shared::output::OutputListener;
use shared::{Evaluation, EvaluationsError, Job, RequestContext, SandboxInfo, Submission};
use uuid::Uuid;

use super::{Ledger, ReservedSlot, events, not_committed, table};
use crate::journal::{Change, Transition};

impl Ledger {
    /// Accepts a submission and records its start in the sandbox that `sandbox_for` names: when this returns, both are
    /// committed and visible. [`Ledger::start`] of its worker follows.
    ///
    /// # Errors
    ///
    /// As [`Ledger::accept`].
    pub async fn accept_assigned(
        self: &Arc<Self>,
        context: &RequestContext,
        submission: Submission,
        listener: Option<OutputListener>,
        retry_after: u64,
        sandbox_for: impl FnOnce(&Job) -> SandboxInfo + Send + 'static,
    ) -> Result<(Evaluation, Job), EvaluationsError> {
        self.table().reserve(self.parts.capacity, retry_after)?;
        let slot = ReservedSlot(Arc::clone(self));
        let (ledger, context) = (Arc::clone(self), context.clone());
        self.in_task(async move {
            let _slot = slot; // released after the entry is in the table, or at an error
            let before = Instant::now();
            let (accepted, acceptance) = ledger.acceptance(Uuid::now_v7(), &submission, &context);
            let job = Job { id: accepted.id, attempt: accepted.attempt, submission };
            let started = table::started(accepted.clone(), sandbox_for(&job), before);
            let start = Change {
                events: vec![events::started_event(&started)],
                transition: Transition::Started(Box::new(started.clone())),
            };
            let changes = [acceptance, start];
            ledger.parts.journal.commit_all(&changes).await.map_err(not_committed)?;
            let output = ledger.output(&accepted, listener);
            let mut table = ledger.table();
            table.insert_assigned(started, output);
            for change in changes {
                ledger.parts.journal.publish(change.events);
            }
            Ok((accepted, job))
        })
        .await?
    }

    /// Whether a commit takes a flush to disk, so that two in one are worth it.
    pub(crate) fn is_durable(&self) -> bool {
        self.parts.journal.is_durable()
    }
}
