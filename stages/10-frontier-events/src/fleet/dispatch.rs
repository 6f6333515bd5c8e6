//! The fleet as the dispatch of the queue: what is leased is what workers have claimed.

use std::pin::pin;
use std::sync::Arc;

use shared::{BoxFuture, Job};
use stage_02_queue::{Dispatch, DispatchError, Lease};
use stage_09_frontier::PriorityDispatch;
use uuid::Uuid;

use super::Fleet;
use super::session::Phase;

/// Hands jobs to workers on other machines. Their order, their deadlines and the fairness among keys are those of
/// the dispatch below.
pub(super) struct BrokerDispatch {
    fleet: Arc<Fleet>,
    jobs: Arc<PriorityDispatch>,
}

impl BrokerDispatch {
    /// Publishes the jobs of `jobs` to the workers of `fleet` from now on.
    pub(super) fn start(fleet: &Arc<Fleet>, jobs: &Arc<PriorityDispatch>) -> Arc<Self> {
        jobs.serve_elsewhere();
        fleet.jobs.get_or_init(|| Arc::clone(jobs));
        tokio::spawn(super::publisher::run(Arc::clone(fleet), Arc::clone(jobs)));
        Arc::new(Self { fleet: Arc::clone(fleet), jobs: Arc::clone(jobs) })
    }

    /// The next claim. None when the dispatch is closed.
    async fn next(&self) -> Option<Lease> {
        loop {
            // Registered before the check: a claim that comes after it wakes this worker.
            let mut claimed = pin!(self.fleet.claimed.notified());
            claimed.as_mut().enable();
            if self.fleet.closing.is_cancelled() {
                return None;
            }
            let (lease, more) = {
                let mut state = self.fleet.state();
                (state.leases.pop_front(), !state.leases.is_empty())
            };
            if more {
                // `Notify` stores a single permit, however many claims there were.
                self.fleet.claimed.notify_one();
            }
            if lease.is_some() {
                return lease;
            }
            tokio::select! {
                () = claimed => {}
                () = self.fleet.closing.cancelled() => return None,
            }
        }
    }

    async fn end(&self, lease: Lease) -> Result<(), DispatchError> {
        let id = lease.job.id;
        {
            let mut state = self.fleet.state();
            // One that never started was cancelled before.
            let last = match state.sessions.get(&id).map(super::session::Session::phase) {
                Some(Phase::Claimed) => Phase::Refused,
                Some(Phase::Reported) => Phase::Recorded,
                _ => Phase::Lost,
            };
            state.end_session(id, last);
        }
        let acknowledged = self.jobs.ack(lease).await;
        self.fleet.offers_changed.notify_one();
        acknowledged
    }
}

impl Dispatch for BrokerDispatch {
    fn push(&self, job: Job) -> BoxFuture<'_, Result<(), DispatchError>> {
        Box::pin(async {
            self.jobs.push(job).await?;
            self.fleet.offers_changed.notify_one();
            Ok(())
        })
    }

    fn lease(&self) -> BoxFuture<'_, Result<Option<Lease>, DispatchError>> {
        Box::pin(async { Ok(self.next().await) })
    }

    fn heartbeat<'a>(&'a self, lease: &'a Lease) -> BoxFuture<'a, Result<(), DispatchError>> {
        self.jobs.heartbeat(lease)
    }

    fn ack(&self, lease: Lease) -> BoxFuture<'_, Result<(), DispatchError>> {
        Box::pin(self.end(lease))
    }

    /// Also of one that was published: a later claim is refused.
    fn remove(&self, id: Uuid) -> BoxFuture<'_, Result<bool, DispatchError>> {
        self.jobs.remove(id)
    }

    fn places(&self) -> Option<usize> {
        Some(self.fleet.places())
    }

    fn close(&self) {
        self.jobs.close();
        self.fleet.closing.cancel();
        self.fleet.offers_changed.notify_one();
    }
}
