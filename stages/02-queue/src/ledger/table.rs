//! The table of live evaluations: what the ledger decides and applies under its lock.

mod retry;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Instant;

use http::StatusCode;
use jiff::Timestamp;
use shared::evaluation::Timing;
use shared::{
    Evaluation, Evidence, Job, Outcome, Output, OutputBuffer, Query, Refusal, SandboxInfo, Status,
    Submission, Verdict,
};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::live::Live;
use super::{Assignment, LedgerStats};
use crate::archive::{matches, older_than};

/// Everything that has not ended.
#[derive(Default)]
pub(super) struct Table {
    entries: BTreeMap<Uuid, Entry>,
    /// Submissions that are being committed: each has a slot and no entry yet.
    reserved: usize,
    /// Entries in the phase `Queued`.
    queued: usize,
    /// Entries that a worker has.
    running: usize,
    closed: bool,
    /// Every running program was told to end, and one that starts after that is as well.
    ends_running: bool,
}

struct Entry {
    /// Without its output, which grows in `output` until the end.
    evaluation: Evaluation,
    phase: Phase,
    has_worker: bool,
    output: Arc<OutputBuffer>,
    accepted: Instant,
    /// Has the worker end the program.
    cancel: CancellationToken,
    /// Closed when the evaluation has ended and is in the archive. What waits by then gets it from here, and does not read
    /// what was just written.
    end: watch::Sender<Option<Arc<Evaluation>>>,
}

/// Which transition may come next. It is ahead of the status while a transition is being committed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    /// It waits: it can be started or cancelled.
    Queued,
    /// Its start was recorded with its acceptance, and its worker comes next: it can only end.
    Assigned,
    /// A worker has it: it can only end.
    Running,
    /// Its end is being committed: nothing can change any more.
    Ending,
}

/// What follows from a cancellation.
pub(super) enum CancelDecision {
    /// The worker was asked to end the program.
    Requested,
    /// It waited: this is its end, to be committed.
    Ended(Box<Evaluation>),
}

/// An evaluation that was accepted before a restart.
#[derive(Debug, Clone)]
pub struct Resumed {
    /// The job, with the id and the attempt that it goes on with.
    pub job: Job,
    /// The principal that submitted it.
    pub owner: Option<String>,
    /// When it was accepted.
    pub submitted_at: Timestamp,
}

impl Resumed {
    pub(super) fn into_parts(self, sandbox: Option<SandboxInfo>) -> (Evaluation, Job) {
        let Self { job, owner, submitted_at } = self;
        let mut evaluation = queued(job.id, &job.submission, owner, sandbox);
        evaluation.attempt = job.attempt;
        evaluation.timing.submitted_at = submitted_at;
        (evaluation, job)
    }
}

impl Table {
    /// Reserves a slot for a submission.
    pub(super) fn reserve(&mut self, capacity: usize, retry_after: u64) -> Result<(), Refusal> {
        if self.closed {
            return Err(Refusal::shutting_down());
        }
        if self.depth() >= capacity {
            let full =
                Refusal::new(StatusCode::SERVICE_UNAVAILABLE, "the queue is full; try again");
            return Err(full.retry_after(retry_after));
        }
        self.reserved += 1;
        Ok(())
    }

    /// Gives a reserved slot back.
    pub(super) fn release(&mut self) {
        self.reserved -= 1;
    }

    /// Evaluations that wait, the reserved slots included.
    pub(super) fn depth(&self) -> usize {
        self.queued + self.reserved
    }

    /// Adds an evaluation that waits.
    pub(super) fn insert(&mut self, evaluation: Evaluation, output: Arc<OutputBuffer>) {
        let entry = Entry {
            phase: Phase::Queued,
            has_worker: false,
            output,
            accepted: Instant::now(),
            cancel: CancellationToken::new(),
            end: watch::Sender::default(),
            evaluation,
        };
        self.queued += 1;
        self.entries.insert(entry.evaluation.id, entry);
    }

    /// Adds an evaluation whose start was recorded with its acceptance. A shutdown may have ended all that run
    /// meanwhile: then it is told to end as well.
    pub(super) fn insert_assigned(&mut self, evaluation: Evaluation, output: Arc<OutputBuffer>) {
        let id = evaluation.id;
        self.insert(evaluation, output);
        if let Some(entry) = self.entries.get_mut(&id) {
            (entry.phase, entry.has_worker) = (Phase::Assigned, true);
            if self.ends_running {
                entry.cancel.cancel();
            }
            self.queued -= 1;
            self.running += 1;
        }
    }

    /// Reserves the start of a waiting evaluation, and returns it as it will be, unless that is recorded already.
    pub(super) fn decide_start(
        &mut self,
        id: Uuid,
        attempt: u32,
        sandbox: SandboxInfo,
    ) -> Option<(Option<Evaluation>, Assignment)> {
        let entry = self.entries.get_mut(&id)?;
        let assignment =
            Assignment { output: Arc::clone(&entry.output), cancel: entry.cancel.clone() };
        if entry.phase == Phase::Assigned {
            entry.phase = Phase::Running;
            return Some((None, assignment));
        }
        if entry.phase != Phase::Queued || entry.evaluation.attempt != attempt {
            return None;
        }
        (entry.phase, entry.has_worker) = (Phase::Running, true);
        self.queued -= 1;
        self.running += 1;
        Some((Some(started(entry.evaluation.clone(), sandbox, entry.accepted)), assignment))
    }

    /// Applies a start that was committed. False when the evaluation was ended meanwhile.
    pub(super) fn apply_start(&mut self, started: Evaluation) -> bool {
        let entry = self.entries.get_mut(&started.id);
        let running = entry.filter(|entry| entry.phase == Phase::Running);
        running.map(|entry| entry.evaluation = started).is_some()
    }

    /// Reserves the end of an evaluation, and returns it as it will be, with its output.
    pub(super) fn decide_end(&mut self, id: Uuid, verdict: Verdict) -> Option<Evaluation> {
        let entry = self.entries.get_mut(&id).filter(|entry| entry.phase != Phase::Ending)?;
        if entry.phase == Phase::Queued {
            self.queued -= 1;
        }
        entry.phase = Phase::Ending;
        entry.output.close();
        Some(entry.live().ended(verdict))
    }

    /// How many clients wait for the end of an evaluation.
    pub(super) fn waiters(&self, id: Uuid) -> usize {
        self.entries.get(&id).map_or(0, |entry| entry.end.receiver_count())
    }

    /// Removes an evaluation whose end was committed, and wakes what waits for it.
    pub(super) fn remove(&mut self, id: Uuid, ended: Option<Arc<Evaluation>>) {
        if let Some(entry) = self.entries.remove(&id) {
            self.running -= usize::from(entry.has_worker);
            entry.end.send_replace(ended);
        }
    }

    /// Reserves the end of a waiting evaluation, or has the worker of a running one end it. None when
    /// there is no such evaluation.
    pub(super) fn decide_cancel(&mut self, id: Uuid) -> Option<CancelDecision> {
        let entry = self.entries.get(&id)?;
        if entry.phase != Phase::Queued {
            entry.cancel.cancel();
            return Some(CancelDecision::Requested);
        }
        let verdict = Verdict::new(Outcome::Cancelled, Evidence::new("cancelled_before_start"));
        self.decide_end(id, verdict).map(|ended| CancelDecision::Ended(Box::new(ended)))
    }

    /// Accepts nothing more, and returns what waits.
    pub(super) fn close(&mut self) -> Vec<Uuid> {
        self.closed = true;
        self.ids(Phase::Queued)
    }

    pub(super) fn running_ids(&self) -> Vec<Uuid> {
        [self.ids(Phase::Assigned), self.ids(Phase::Running)].concat()
    }

    pub(super) fn cancel_running(&mut self) {
        self.ends_running = true;
        let has_worker = |entry: &&Entry| matches!(entry.phase, Phase::Assigned | Phase::Running);
        self.entries.values().filter(has_worker).for_each(|entry| entry.cancel.cancel());
    }

    pub(super) fn get(&self, id: Uuid) -> Option<Live> {
        self.entries.get(&id).map(Entry::live)
    }

    pub(super) fn end(&self, id: Uuid) -> Option<watch::Receiver<Option<Arc<Evaluation>>>> {
        self.entries.get(&id).map(|entry| entry.end.subscribe())
    }

    /// What a page may have, newest first: one more than its limit.
    pub(super) fn candidates(&self, query: &Query) -> Vec<Live> {
        let older = self.entries.range(older_than(query)).rev().map(|(_, entry)| entry);
        let matching = older.filter(|entry| matches(query, &entry.evaluation));
        matching.take(query.limit.saturating_add(1)).map(Entry::live).collect()
    }

    pub(super) fn stats(&self) -> LedgerStats {
        // Ids rise with the time of acceptance.
        let oldest = self.entries.values().find(|entry| entry.phase == Phase::Queued);
        LedgerStats {
            queued: self.queued,
            running: self.running,
            oldest_queued: oldest.map(|entry| entry.accepted),
        }
    }

    fn ids(&self, phase: Phase) -> Vec<Uuid> {
        let in_phase = self.entries.iter().filter(|(_, entry)| entry.phase == phase);
        in_phase.map(|(id, _)| *id).collect()
    }
}

impl Entry {
    fn live(&self) -> Live {
        Live::new(self.evaluation.clone(), Arc::clone(&self.output))
    }
}

/// An evaluation that has just been accepted, and waits.
pub fn queued(
    id: Uuid,
    submission: &Submission,
    owner: Option<String>,
    sandbox: Option<SandboxInfo>,
) -> Evaluation {
    Evaluation {
        id,
        status: Status::Queued,
        outcome: None,
        exit_code: None,
        signal: None,
        stdout: Output::default(),
        stderr: Output::default(),
        usage: None,
        limits: submission.limits,
        evidence: None,
        sandbox,
        timing: Timing {
            submitted_at: Timestamp::now(),
            started_at: None,
            finished_at: None,
            queue_wait_ms: None,
        },
        attempt: 1,
        owner,
        labels: submission.labels.clone(),
        artifacts: Vec::new(),
        error: None,
    }
}

/// An evaluation that a worker takes now.
pub(super) fn started(of: Evaluation, sandbox: SandboxInfo, accepted: Instant) -> Evaluation {
    let mut started = of;
    let wait = u64::try_from(accepted.elapsed().as_millis()).unwrap_or(u64::MAX);
    started.status = Status::Running;
    started.sandbox = Some(sandbox);
    started.timing.started_at = Some(Timestamp::now());
    started.timing.queue_wait_ms = Some(wait);
    started
}
