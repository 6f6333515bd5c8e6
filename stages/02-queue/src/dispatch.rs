//! The dispatch: hands accepted jobs to workers, first come first served.
//!
//! A worker leases a job, sends heartbeats while it runs it, and acknowledges it when the end is
//! recorded. A job whose lease expires without an acknowledgement can be leased again: that is how a
//! broker notices a worker that is gone. [`InMemoryDispatch`] is for workers in this process. They
//! cannot disappear without it, so their leases do not expire.

use std::collections::{BTreeSet, VecDeque};
use std::pin::pin;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use shared::{BoxError, BoxFuture, Job};
use tokio::sync::Notify;
use uuid::Uuid;

/// Why a call to the dispatch failed.
#[derive(Debug, thiserror::Error)]
pub enum DispatchError {
    /// The lease has expired: another worker may have the job, so this one must stop.
    #[error("the lease of the job has expired")]
    LeaseExpired,
    /// The dispatch cannot be reached.
    #[error("the dispatch of jobs failed")]
    Unavailable(#[source] BoxError),
}

/// A job that a worker holds.
#[derive(Debug, Clone)]
pub struct Lease {
    /// The job.
    pub job: Job,
    /// How often the worker has to send a heartbeat. None when the lease does not expire.
    pub heartbeat_interval: Option<Duration>,
}

// ANCHOR: dispatch
/// Hands jobs to workers.
pub trait Dispatch: Send + Sync {
    /// Adds a job behind the others.
    fn push(&self, job: Job) -> BoxFuture<'_, Result<(), DispatchError>>;

    /// Leases the oldest job, as soon as there is one. None when the dispatch is closed.
    ///
    /// Cancel safety: a future that is dropped leases nothing.
    fn lease(&self) -> BoxFuture<'_, Result<Option<Lease>, DispatchError>>;

    /// Extends a lease.
    fn heartbeat<'a>(&'a self, lease: &'a Lease) -> BoxFuture<'a, Result<(), DispatchError>>;

    /// Ends a lease: the job is done.
    fn ack(&self, lease: Lease) -> BoxFuture<'_, Result<(), DispatchError>>;

    /// Removes a job that is not leased. False when there is none of this id.
    fn remove(&self, id: Uuid) -> BoxFuture<'_, Result<bool, DispatchError>>;

    /// Leases no more jobs.
    fn close(&self);
}
// ANCHOR_END: dispatch

/// Jobs in memory, for workers in the same process.
#[derive(Default)]
pub struct InMemoryDispatch {
    /// Ties `waiting` to `closed`: a worker checks both before it sleeps.
    state: Mutex<State>,
    /// Notified once for each pushed job, and for all workers at the close. A worker registers
    /// before it checks `state`, so a push between the check and the sleep wakes it.
    job_ready: Notify,
}

#[derive(Default)]
struct State {
    waiting: VecDeque<Job>,
    leased: BTreeSet<Uuid>,
    closed: bool,
}

impl InMemoryDispatch {
    /// A dispatch without jobs.
    pub fn new() -> Self {
        Self::default()
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // No code panics while it holds the lock.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    // ANCHOR: next
    /// Waits for the next job. None when the dispatch is closed.
    async fn next(&self) -> Option<Job> {
        loop {
            // Registered before the check: what is pushed after it wakes this worker. `Notify`
            // stores a single permit for workers that are not registered, however many it gave.
            let mut notified = pin!(self.job_ready.notified());
            notified.as_mut().enable();
            {
                let mut state = self.state();
                if state.closed {
                    return None;
                } else if let Some(job) = state.waiting.pop_front() {
                    state.leased.insert(job.id);
                    return Some(job);
                }
            }
            notified.await;
        }
    }
    // ANCHOR_END: next
}

impl Dispatch for InMemoryDispatch {
    fn push(&self, job: Job) -> BoxFuture<'_, Result<(), DispatchError>> {
        self.state().waiting.push_back(job);
        self.job_ready.notify_one();
        Box::pin(std::future::ready(Ok(())))
    }

    fn lease(&self) -> BoxFuture<'_, Result<Option<Lease>, DispatchError>> {
        Box::pin(async { Ok(self.next().await.map(|job| Lease { job, heartbeat_interval: None })) })
    }

    fn heartbeat<'a>(&'a self, lease: &'a Lease) -> BoxFuture<'a, Result<(), DispatchError>> {
        let is_leased = self.state().leased.contains(&lease.job.id);
        let result = if is_leased { Ok(()) } else { Err(DispatchError::LeaseExpired) };
        Box::pin(std::future::ready(result))
    }

    fn ack(&self, lease: Lease) -> BoxFuture<'_, Result<(), DispatchError>> {
        let was_leased = self.state().leased.remove(&lease.job.id);
        let result = if was_leased { Ok(()) } else { Err(DispatchError::LeaseExpired) };
        Box::pin(std::future::ready(result))
    }

    fn remove(&self, id: Uuid) -> BoxFuture<'_, Result<bool, DispatchError>> {
        let mut state = self.state();
        let before = state.waiting.len();
        state.waiting.retain(|job| job.id != id);
        let removed = state.waiting.len() < before;
        Box::pin(std::future::ready(Ok(removed)))
    }

    fn close(&self) {
        self.state().closed = true;
        self.job_ready.notify_waiters();
    }
}

#[cfg(test)]
mod tests;
