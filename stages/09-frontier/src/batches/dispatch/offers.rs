//! Jobs that are offered to workers on other machines.
//!
//! A job that is offered still waits: its deadline counts, and it can be removed. It counts among the
//! jobs that its owner runs, so that no more are offered than may run. A worker takes it by its id; it
//! may also take one that this process has not offered, because an offer outlives the process.

use std::sync::atomic::Ordering;

use shared::Job;
use stage_02_queue::Lease;
use uuid::Uuid;

use super::{Owner, Priorities, PriorityDispatch, Waiting};

/// A job that is offered.
pub(super) struct Offered {
    owner: Owner,
    waiting: Waiting,
}

/// What became of a claim.
pub enum Claimed {
    /// The job, which is leased now.
    Leased(Box<Lease>),
    /// It waits for another one of its owner to end.
    NotNow,
    /// No such job waits.
    Gone,
}

impl PriorityDispatch {
    /// The workers are on other machines: that none of them takes what waits is no error of this process.
    pub fn serve_elsewhere(&self) {
        self.is_elsewhere.store(true, Ordering::Relaxed);
    }

    /// Whether jobs wait for workers on other machines.
    pub fn waits_elsewhere(&self) -> bool {
        self.is_elsewhere.load(Ordering::Relaxed)
    }

    /// The next job in the order of priorities and owners that `wanted` accepts, as an offer. None when
    /// there is none.
    pub fn offer(&self, wanted: impl Fn(&Job) -> bool) -> Option<Job> {
        self.jobs.in_order(|order| {
            let (owner, waiting) = order.take_next(wanted)?;
            let job = waiting.job.clone();
            order.offered.insert(job.id, Offered { owner, waiting });
            Some(job)
        })
    }

    /// Leases the job of this id and attempt, whether or not it was offered.
    pub fn claim(&self, id: Uuid, attempt: u32) -> Claimed {
        let mut refusal = Claimed::Gone;
        let lease = self.jobs.lease_chosen(|order| match order.claim(id, attempt) {
            Ok(job) => Some(job),
            Err(refused) => {
                refusal = refused;
                None
            }
        });
        lease.map_or(refusal, |lease| Claimed::Leased(Box::new(lease)))
    }

    /// Whether a job of this id is offered, and waits.
    pub fn is_offered(&self, id: Uuid) -> bool {
        self.jobs.in_order(|order| order.offered.contains_key(&id))
    }
}

impl Priorities {
    fn claim(&mut self, id: Uuid, attempt: u32) -> Result<Job, Claimed> {
        if let Some(offered) = self.offered.get(&id) {
            if offered.waiting.job.attempt != attempt {
                return Err(Claimed::Gone);
            }
        } else {
            self.offer_waiting(id, attempt)?;
        }
        let Some(Offered { owner, waiting }) = self.offered.remove(&id) else {
            return Err(Claimed::Gone);
        };
        if let Some(deadline) = waiting.deadline {
            self.deadlines.remove(&(deadline, id));
        }
        self.leased.insert(id, owner);
        Ok(waiting.job)
    }

    /// Makes an offer of a job that waits.
    fn offer_waiting(&mut self, id: Uuid, attempt: u32) -> Result<(), Claimed> {
        let is_this = |one: &Waiting| one.job.id == id && one.job.attempt == attempt;
        let mut lines = self.waiting.values().flatten();
        let owner = lines.find(|(_, line)| line.jobs.iter().any(is_this)).map(|(owner, _)| owner);
        if !self.may_run(owner.ok_or(Claimed::Gone)?) {
            return Err(Claimed::NotNow);
        }
        let (owner, waiting) = self.take_waiting(id).ok_or(Claimed::Gone)?;
        if let Some(deadline) = waiting.deadline {
            self.deadlines.insert((deadline, id));
        }
        *self.running.entry(owner.clone()).or_default() += 1;
        self.offered.insert(id, Offered { owner, waiting });
        Ok(())
    }

    /// Removes an offer. False when there is none of this id.
    pub(super) fn withdraw(&mut self, id: Uuid) -> bool {
        let Some(Offered { owner, waiting }) = self.offered.remove(&id) else { return false };
        if let Some(deadline) = waiting.deadline {
            self.deadlines.remove(&(deadline, id));
        }
        self.stop_running(&owner);
        true
    }
}
