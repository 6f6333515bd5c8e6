//! Jobs in memory. Which of them is next is decided by an [`Order`]; waiting for it, leases and the
//! close are the same for all.

use std::collections::{BTreeSet, VecDeque};
use std::pin::pin;
use std::sync::{Mutex, MutexGuard, PoisonError};

use shared::{BoxFuture, Job, Submission};
use tokio::sync::Notify;
use uuid::Uuid;

use super::{Dispatch, DispatchError, Lease};

// ANCHOR: order
/// Which of the jobs that wait is leased next. Called under a lock: it must not block.
pub trait Order: Send {
    /// Adds a job.
    fn push(&mut self, job: Job);

    /// Takes the next job out. None when none waits, or none of them may run now.
    fn next(&mut self) -> Option<Job>;

    /// Takes a job out that is not leased. False when there is none of this id.
    fn remove(&mut self, id: Uuid) -> bool;

    /// The lease of a job has ended, which may let another one run.
    fn acknowledged(&mut self, _id: Uuid) {}

    /// Whether a job of this submission would be leased before all others now. Counts it as one that runs, if so.
    fn reserve(&mut self, _submission: &Submission) -> bool {
        false
    }

    /// A job that was counted is leased.
    fn assigned(&mut self, _job: &Job) {}

    /// A submission that was counted will not run.
    fn released(&mut self, _submission: &Submission) {}
}
// ANCHOR_END: order

/// The oldest job is next.
#[derive(Debug, Default)]
pub struct FirstCome(VecDeque<Job>);

#[cfg(test)]
impl FirstCome {
    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl Order for FirstCome {
    fn push(&mut self, job: Job) {
        self.0.push_back(job);
    }

    fn next(&mut self) -> Option<Job> {
        self.0.pop_front()
    }

    fn remove(&mut self, id: Uuid) -> bool {
        let before = self.0.len();
        self.0.retain(|job| job.id != id);
        self.0.len() < before
    }
}

/// Jobs in memory, for workers in the same process.
#[derive(Default)]
pub struct InMemoryDispatch<O = FirstCome> {
    /// Ties what waits and what is leased to `closed`: a worker checks all of them before it sleeps.
    state: Mutex<State<O>>,
    /// Notified once for each pushed job and each acknowledgement, and for all workers at the close. A
    /// worker registers before it checks `state`, so a change between the check and the sleep wakes it.
    job_ready: Notify,
}

#[derive(Default)]
struct State<O> {
    order: O,
    leased: BTreeSet<Uuid>,
    /// Workers that wait for a job.
    sleeping: usize,
    /// How many of them are reserved, which leaves them no job of the order.
    reserved: usize,
    /// The jobs of reserved workers.
    assigned: VecDeque<Job>,
    closed: bool,
}

/// One worker that waits, and was counted. Dropped when it wakes, or is gone.
struct Sleeping<'a, O: Order>(&'a InMemoryDispatch<O>);

impl<O: Order> Drop for Sleeping<'_, O> {
    fn drop(&mut self) {
        self.0.state().sleeping -= 1;
    }
}

impl InMemoryDispatch {
    /// A dispatch without jobs, which leases the oldest first.
    pub fn new() -> Self {
        Self::default()
    }
}

impl<O: Order> InMemoryDispatch<O> {
    /// A dispatch that leases in this order.
    pub fn with_order(order: O) -> Self {
        let state = State {
            order,
            leased: BTreeSet::new(),
            sleeping: 0,
            reserved: 0,
            assigned: VecDeque::new(),
            closed: false,
        };
        Self { state: Mutex::new(state), job_ready: Notify::new() }
    }

    /// Reads or changes the order under the lock. It must not block.
    pub fn in_order<T>(&self, change: impl FnOnce(&mut O) -> T) -> T {
        change(&mut self.state().order)
    }

    /// Leases the job that `choose` takes out of the order, if it takes one: for a dispatch whose workers
    /// name the job that they want. None when the dispatch is closed.
    pub fn lease_chosen(&self, choose: impl FnOnce(&mut O) -> Option<Job>) -> Option<Lease> {
        let mut state = self.state();
        if state.closed {
            return None;
        }
        let job = choose(&mut state.order)?;
        state.leased.insert(job.id);
        Some(Lease { job, heartbeat_interval: None })
    }

    /// Whether no job will be leased any more.
    pub fn is_closed(&self) -> bool {
        self.state().closed
    }

    fn state(&self) -> MutexGuard<'_, State<O>> {
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
                if let Some(job) = state.lease() {
                    return Some(job);
                } else if state.closed && state.reserved == 0 {
                    return None;
                }
                state.sleeping += 1;
            }
            let _guard = Sleeping(self);
            notified.await;
        }
    }
    // ANCHOR_END: next
}

impl<O: Order> State<O> {
    /// Leases the job of a worker that is awake.
    fn lease(&mut self) -> Option<Job> {
        let job = if let Some(job) = self.assigned.pop_front() {
            self.reserved -= 1;
            job
        } else if self.closed || self.sleeping < self.reserved {
            return None; // the others have to be enough for what is reserved
        } else {
            self.order.next()?
        };
        self.leased.insert(job.id);
        Some(job)
    }

    /// Wakes a worker after a change of what is reserved; after the close all of them, which may end now.
    fn wake(&self, job_ready: &Notify) {
        if self.closed { job_ready.notify_waiters() } else { job_ready.notify_one() }
    }
}

impl<O: Order> Dispatch for InMemoryDispatch<O> {
    fn push(&self, job: Job) -> BoxFuture<'_, Result<(), DispatchError>> {
        self.state().order.push(job);
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
        let id = lease.job.id;
        let was_leased = {
            let mut state = self.state();
            let was_leased = state.leased.remove(&id);
            if was_leased {
                state.order.acknowledged(id);
            }
            was_leased
        };
        self.job_ready.notify_one();
        let result = if was_leased { Ok(()) } else { Err(DispatchError::LeaseExpired) };
        Box::pin(std::future::ready(result))
    }

    fn remove(&self, id: Uuid) -> BoxFuture<'_, Result<bool, DispatchError>> {
        let removed = self.in_order(|order| order.remove(id));
        Box::pin(std::future::ready(Ok(removed)))
    }

    fn reserve(&self, submission: &Submission) -> bool {
        let mut state = self.state();
        let is_free = !state.closed && state.reserved < state.sleeping;
        let is_reserved = is_free && state.order.reserve(submission);
        state.reserved += usize::from(is_reserved);
        is_reserved
    }

    fn assign(&self, job: Job) {
        let mut state = self.state();
        state.order.assigned(&job);
        state.assigned.push_back(job);
        state.wake(&self.job_ready);
    }

    fn release(&self, submission: &Submission) {
        let mut state = self.state();
        state.order.released(submission);
        state.reserved -= 1;
        state.wake(&self.job_ready);
    }

    fn close(&self) {
        self.state().closed = true;
        self.job_ready.notify_waiters();
    }
}
