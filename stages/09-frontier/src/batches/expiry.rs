//! Ends what no worker has taken within its `queue_timeout_seconds`.
//!
//! In the words of Temporal this is the timeout from schedule to start, of each attempt: an
//! evaluation that has started is no concern of it, and what has expired is not tried again.

use std::pin::pin;
use std::sync::Arc;

use shared::{Evidence, Outcome, Verdict};
use stage_02_queue::Ledger;

use super::dispatch::PriorityDispatch;

/// Watches the deadlines of a dispatch.
pub(crate) struct Expiry {
    dispatch: Arc<PriorityDispatch>,
    ledger: Arc<Ledger>,
}

impl Expiry {
    /// For the jobs of `dispatch`, whose evaluations are in `ledger`.
    pub(crate) fn new(dispatch: Arc<PriorityDispatch>, ledger: Arc<Ledger>) -> Self {
        Self { dispatch, ledger }
    }

    /// Ends what has expired, until the dispatch is closed.
    pub(crate) async fn run(self) {
        while !self.dispatch.is_closed() {
            // Registered before the deadline is read: a job that comes in between wakes this task.
            let mut changed = pin!(self.dispatch.deadline_changed.notified());
            changed.as_mut().enable();
            let next = self.dispatch.next_deadline();
            let due = async {
                match next {
                    Some(deadline) => tokio::time::sleep_until(deadline).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                () = changed => {}
                () = due => {}
            }
            for id in self.dispatch.take_expired() {
                // It was taken out of the dispatch, so that no worker has it or gets it.
                let evidence = Evidence::new("queue_timeout");
                let verdict = Verdict::new(Outcome::QueueTimeExceeded, evidence);
                self.ledger.finish(id, verdict).await;
                tracing::info!(%id, "evaluation expired in the queue");
            }
        }
    }
}
