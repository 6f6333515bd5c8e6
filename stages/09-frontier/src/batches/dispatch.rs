//! Hands jobs to workers by priority.
//!
//! Of seven jobs four are `high`, two `normal` and one `low`, as long as each has one that can run: a
//! priority gets more of the workers, and never all of them. Within a priority the keys take turns,
//! and the jobs of one key run in the order in which they came. A key that runs as many as it may
//! is passed over until one of them has ended.

mod offers;

use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use jiff::Timestamp;
use shared::{BoxFuture, Job, Submission};
use stage_02_queue::{Dispatch, DispatchError, InMemoryDispatch, Lease, Order};
use tokio::sync::Notify;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::options::{Priority, SubmitOptions};
pub use offers::Claimed;
use offers::Offered;

/// Which priority comes first at each turn. Each is in it, so that none starves.
const TURNS: [Priority; 7] = {
    use Priority::{High, Low, Normal};
    [High, Normal, High, High, Normal, High, Low]
};
/// All priorities, the highest first.
const PRIORITIES: [Priority; 3] = [Priority::High, Priority::Normal, Priority::Low];

/// Jobs in memory, for workers in the same process.
pub struct PriorityDispatch {
    jobs: InMemoryDispatch<Priorities>,
    /// Notified when the earliest deadline may have changed.
    pub(super) deadline_changed: Notify,
    /// Whether the workers are on other machines.
    is_elsewhere: AtomicBool,
}

/// Jobs without an owner are those of one owner.
type Owner = Option<String>;

/// Which job is next.
struct Priorities {
    /// Published to workers on other machines, and not claimed by one yet.
    offered: HashMap<Uuid, Offered>,
    /// Jobs of one owner that are leased at one moment.
    running_per_owner: usize,
    /// Cancelled when no engine is there any more: a job that was leased then would be lost.
    engine_gone: CancellationToken,
    waiting: BTreeMap<Priority, HashMap<Owner, Line>>,
    leased: HashMap<Uuid, Owner>,
    running: HashMap<Owner, usize>,
    deadlines: BTreeSet<(Instant, Uuid)>,
    turn: usize,
    /// Rises with each lease: the time of the turns of owners.
    now: u64,
}

/// The jobs of one owner with one priority.
struct Line {
    jobs: VecDeque<Waiting>,
    /// When the owner had its turn last.
    served: u64,
}

struct Waiting {
    job: Job,
    deadline: Option<Instant>,
}

impl PriorityDispatch {
    /// A dispatch without jobs. Of each owner at most so many run at once, and none at all from
    /// `engine_gone` on: what waits then is left to the next start.
    pub fn new(running_per_owner: u32, engine_gone: CancellationToken) -> Self {
        let jobs = InMemoryDispatch::with_order(Priorities {
            running_per_owner: usize::try_from(running_per_owner).unwrap_or(usize::MAX),
            engine_gone,
            offered: HashMap::new(),
            waiting: BTreeMap::new(),
            leased: HashMap::new(),
            running: HashMap::new(),
            deadlines: BTreeSet::new(),
            turn: 0,
            now: 0,
        });
        Self { jobs, deadline_changed: Notify::new(), is_elsewhere: AtomicBool::new(false) }
    }

    /// Removes the jobs whose deadline has passed: no worker can get them any more.
    pub(super) fn take_expired(&self) -> Vec<Uuid> {
        self.jobs.in_order(|order| {
            let now = Instant::now();
            let due = order.deadlines.range(..=(now, Uuid::max())).map(|(_, id)| *id);
            let due: Vec<_> = due.collect();
            for id in &due {
                order.remove(*id);
            }
            due
        })
    }

    /// Whether jobs wait, and each of them for another one of its owner to end.
    pub fn waits_for_its_keys(&self) -> bool {
        self.jobs.in_order(|order| {
            let mut owners = order.waiting.values().flat_map(HashMap::keys).peekable();
            owners.peek().is_some() && owners.all(|owner| !order.may_run(owner))
        })
    }

    /// The earliest deadline of a waiting job.
    pub(super) fn next_deadline(&self) -> Option<Instant> {
        self.jobs.in_order(|order| order.deadlines.first().map(|(deadline, _)| *deadline))
    }

    /// Whether no job is leased any more, and none will be.
    pub(super) fn is_closed(&self) -> bool {
        self.jobs.is_closed()
    }
}

impl Priorities {
    /// Whether one more job of `owner` may run.
    fn may_run(&self, owner: &Owner) -> bool {
        owner.is_none() || self.running.get(owner).copied().unwrap_or(0) < self.running_per_owner
    }

    /// Takes the next of the `wanted` jobs out, and counts it as one that its owner runs.
    fn take_next(&mut self, wanted: impl Fn(&Job) -> bool) -> Option<(Owner, Waiting)> {
        if self.engine_gone.is_cancelled() {
            return None;
        }
        let first = TURNS[self.turn % TURNS.len()];
        let order = std::iter::once(first).chain(PRIORITIES);
        let (priority, owner, at) = order.into_iter().find_map(|priority| {
            let lines = self.waiting.get(&priority)?.iter();
            let ready =
                lines.filter(|(owner, _)| self.may_run(owner)).filter_map(|(owner, line)| {
                    let at = line.jobs.iter().position(|waiting| wanted(&waiting.job))?;
                    Some(((line.served, line.jobs.get(at)?.job.id), owner, at))
                });
            let (_, owner, at) = ready.min_by_key(|(turn, ..)| *turn)?;
            Some((priority, owner.clone(), at))
        })?;
        self.turn = (self.turn + 1) % TURNS.len();
        self.now += 1;
        let lines = self.waiting.get_mut(&priority)?;
        let line = lines.get_mut(&owner)?;
        line.served = self.now;
        let taken = line.jobs.remove(at)?;
        if line.jobs.is_empty() {
            lines.remove(&owner);
        }
        *self.running.entry(owner.clone()).or_default() += 1;
        Some((owner, taken))
    }

    /// Takes the job of this id out of those that wait. None when there is none.
    fn take_waiting(&mut self, id: Uuid) -> Option<(Owner, Waiting)> {
        for lines in self.waiting.values_mut() {
            let mut lines_of = lines.iter_mut();
            let found = lines_of.find_map(|(owner, line)| {
                let at = line.jobs.iter().position(|waiting| waiting.job.id == id)?;
                Some((owner.clone(), line.jobs.remove(at)?, line.jobs.is_empty()))
            });
            let Some((owner, taken, is_empty)) = found else { continue };
            if is_empty {
                lines.remove(&owner);
            }
            if let Some(deadline) = taken.deadline {
                self.deadlines.remove(&(deadline, id));
            }
            return Some((owner, taken));
        }
        None
    }

    /// One job less of `owner` runs.
    fn stop_running(&mut self, owner: &Owner) {
        if let Some(count) = self.running.get_mut(owner) {
            *count -= 1;
            if *count == 0 {
                self.running.remove(owner);
            }
        }
    }
}

impl Order for Priorities {
    fn push(&mut self, job: Job) {
        let options = SubmitOptions::of(&job.submission);
        let deadline = options.queue_timeout_seconds.and_then(|seconds| deadline(&job, seconds));
        if let Some(deadline) = deadline {
            self.deadlines.insert((deadline, job.id));
        }
        let (lines, now) = (self.waiting.entry(options.priority).or_default(), self.now);
        let line = lines.entry(options.owner);
        let line = line.or_insert_with(|| Line { jobs: VecDeque::new(), served: now });
        line.jobs.push_back(Waiting { job, deadline });
    }

    fn next(&mut self) -> Option<Job> {
        let (owner, Waiting { job, deadline }) = self.take_next(|_| true)?;
        if let Some(deadline) = deadline {
            self.deadlines.remove(&(deadline, job.id));
        }
        self.leased.insert(job.id, owner);
        Some(job)
    }

    fn remove(&mut self, id: Uuid) -> bool {
        self.withdraw(id) || self.take_waiting(id).is_some()
    }

    fn acknowledged(&mut self, id: Uuid) {
        if let Some(owner) = self.leased.remove(&id) {
            self.stop_running(&owner);
        }
    }

    /// Where jobs wait, the next one is decided by turns, and nothing passes them.
    fn reserve(&mut self, submission: &Submission) -> bool {
        let owner = SubmitOptions::of(submission).owner;
        let waits = self.waiting.values().any(|lines| !lines.is_empty());
        if waits || self.engine_gone.is_cancelled() || !self.may_run(&owner) {
            return false;
        }
        *self.running.entry(owner).or_default() += 1;
        true
    }

    fn assigned(&mut self, job: &Job) {
        self.leased.insert(job.id, SubmitOptions::of(&job.submission).owner);
    }

    fn released(&mut self, submission: &Submission) {
        self.stop_running(&SubmitOptions::of(submission).owner);
    }
}

/// When a job has waited long enough. The first attempt waits from its acceptance on, which is in its
/// id, also over a restart; a later attempt from now on.
fn deadline(job: &Job, seconds: f64) -> Option<Instant> {
    let timeout = Duration::try_from_secs_f64(seconds).ok()?;
    let waited = if job.attempt == 1 { age(job.id) } else { Duration::ZERO };
    Instant::now().checked_add(timeout.saturating_sub(waited))
}

/// How long ago an id was made. A clock that went back makes it zero.
fn age(id: Uuid) -> Duration {
    let Some(made) = id.get_timestamp() else { return Duration::ZERO };
    let (seconds, nanos) = made.to_unix();
    let now = Timestamp::now().as_duration();
    let now = Duration::try_from(now).unwrap_or_default();
    now.saturating_sub(Duration::new(seconds, nanos))
}

impl Dispatch for PriorityDispatch {
    fn push(&self, job: Job) -> BoxFuture<'_, Result<(), DispatchError>> {
        let pushed = self.jobs.push(job);
        self.deadline_changed.notify_one();
        pushed
    }

    fn lease(&self) -> BoxFuture<'_, Result<Option<Lease>, DispatchError>> {
        self.jobs.lease()
    }

    fn heartbeat<'a>(&'a self, lease: &'a Lease) -> BoxFuture<'a, Result<(), DispatchError>> {
        self.jobs.heartbeat(lease)
    }

    fn ack(&self, lease: Lease) -> BoxFuture<'_, Result<(), DispatchError>> {
        self.jobs.ack(lease)
    }

    fn remove(&self, id: Uuid) -> BoxFuture<'_, Result<bool, DispatchError>> {
        self.jobs.remove(id)
    }

    fn reserve(&self, submission: &Submission) -> bool {
        self.jobs.reserve(submission)
    }

    fn assign(&self, job: Job) {
        self.jobs.assign(job);
    }

    fn release(&self, submission: &Submission) {
        self.jobs.release(submission);
    }

    fn close(&self) {
        self.jobs.close();
        self.deadline_changed.notify_one();
    }
}

#[cfg(test)]
mod tests;
