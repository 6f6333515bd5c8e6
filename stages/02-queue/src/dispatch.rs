//! The dispatch: hands accepted jobs to workers, first come first served.
//!
//! A worker leases a job, sends heartbeats while it runs it, and acknowledges it when the end is
//! recorded. A job whose lease expires without an acknowledgement can be leased again: that is how a
//! broker notices a worker that is gone. [`InMemoryDispatch`] is for workers in this process. They
//! cannot disappear without it, so their leases do not expire.

mod in_memory;

use std::time::Duration;

use shared::{BoxError, BoxFuture, Job, Submission};
use uuid::Uuid;

pub use in_memory::{FirstCome, InMemoryDispatch, Order};

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

    /// Reserves a worker of this process that has nothing to do, for a submission that it could run at once: its
    /// acceptance and its start are recorded together then. False when there is none. [`Dispatch::assign`] or
    /// [`Dispatch::release`] follows.
    fn reserve(&self, _submission: &Submission) -> bool {
        false
    }

    /// Leases this job to the worker that is reserved for it.
    fn assign(&self, _job: Job) {}

    /// Ends the reservation of a worker: the submission was not accepted.
    fn release(&self, _submission: &Submission) {}

    /// Jobs that workers elsewhere can run at the same time. None when those of this process lease them.
    fn places(&self) -> Option<usize> {
        None
    }

    /// Leases no more jobs.
    fn close(&self);
}
// ANCHOR_END: dispatch

#[cfg(test)]
mod tests;
