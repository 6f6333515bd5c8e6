//! The end of an attempt: that of the evaluation, or the way back into the queue.

use std::sync::Arc;

use shared::{Job, Outcome, Verdict};

use super::{Ledger, events, log};
use crate::journal::{Change, Retried, Transition};

impl Ledger {
    // ANCHOR: finish_attempt
    /// Records the end of an attempt. When its worker is lost and the submission allows another
    /// attempt, the evaluation waits again, and this returns the job to dispatch.
    pub async fn finish_attempt(self: &Arc<Self>, job: &Job, verdict: Verdict) -> Option<Job> {
        let is_lost = verdict.outcome == Outcome::WorkerLost;
        let retried = if is_lost && job.attempt < job.submission.max_attempts {
            self.table().decide_retry(job.id, verdict.clone())
        } else {
            None
        };
        let Some(retried) = retried else {
            self.finish(job.id, verdict).await;
            return None;
        };
        let next = Job { attempt: retried.waiting.attempt, ..job.clone() };
        self.record_retry(retried).await.then_some(next)
    }
    // ANCHOR_END: finish_attempt

    /// Records that an attempt was lost and that its evaluation waits. False when it does not.
    async fn record_retry(self: &Arc<Self>, retried: Retried) -> bool {
        let ledger = Arc::clone(self);
        let recorded = self.in_task(async move {
            let (id, depth) = (retried.waiting.id, ledger.table().depth() + 1);
            let change = Change {
                events: vec![events::queued_event(&retried.waiting, depth)],
                transition: Transition::Retried(Box::new(retried.clone())),
            };
            if ledger.commit_until_done(&change).await.is_err() {
                return false;
            }
            log::end(&retried.lost);
            let output = ledger.output(&retried.waiting, None);
            let attempt = retried.waiting.attempt;
            let is_cancelled = {
                let mut table = ledger.table();
                let is_cancelled = table.apply_retry(retried.waiting, output);
                ledger.parts.journal.publish(change.events);
                is_cancelled
            };
            if is_cancelled {
                ledger.cancel(id).await;
                return false;
            }
            tracing::info!(%id, attempt, "evaluation resumed");
            true
        });
        recorded.await.unwrap_or(false) // an error is a panic, which `in_task` has logged
    }
}
