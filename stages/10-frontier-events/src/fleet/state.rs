//! What the API knows of its fleet.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;

use jiff::Timestamp;
use shared::{Bounds, EventSink};
use stage_02_queue::Lease;
use stage_06_advanced::Profiles;
use stage_09_frontier::PriorityDispatch;
use tokio::sync::Notify;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::session::{Phase, Session};
use super::wire::Announcement;
use crate::broker::{Broker, Ticket};
use crate::bugs::{self, has_bug};

/// Evaluations that run at the same time, over all workers.
pub(super) const MAX_SESSIONS: usize = 4096;
/// Workers at one moment.
pub(super) const MAX_WORKERS: usize = 1024;
/// Tokens of ended sessions that are remembered, so that a result whose answer was lost is confirmed again.
const MAX_RECORDED: usize = 4096;
/// After so many leases without a sign of life a worker is forgotten.
const FORGET_LEASES: u32 = 10;

/// Between two reports that the engine of one worker fails.
const REPORT_INTERVAL: Duration = Duration::from_mins(1);

/// The settings of a fleet.
#[derive(Debug, Clone)]
pub struct FleetOptions {
    /// How long a session is its worker's own after the last sign of life.
    pub lease: Duration,
    /// A ticket is published again that no worker has claimed for so long although one is idle.
    pub republish: Duration,
    /// The engine that every worker has to have.
    pub engine: &'static str,
    /// The bounds of submissions, which every worker has to allow.
    pub bounds: Bounds,
    /// The environments that a submission may name, with their digests.
    pub profiles: Profiles,
    /// The name of the worker in the process of the API. None where all of them are processes of their own.
    pub local_worker: Option<String>,
}

/// The workers of one API.
pub struct Fleet {
    pub(super) broker: Arc<dyn Broker>,
    pub(super) options: FleetOptions,
    /// Set when the queue is built.
    pub(super) jobs: OnceLock<Arc<PriorityDispatch>>,
    /// Ties sessions, tokens and leases together. The lock of the jobs is taken inside of this one, never the other
    /// way round.
    state: Mutex<State>,
    /// Notified when there is a lease for the queue.
    pub(super) claimed: Notify,
    /// Notified when more, or less, may be offered.
    pub(super) offers_changed: Notify,
    pub(super) closing: CancellationToken,
    /// Where the events of workers go. Set when the log is there.
    pub(super) events: OnceLock<Arc<dyn EventSink>>,
}

#[derive(Default)]
pub(super) struct State {
    pub(super) members: BTreeMap<Uuid, Member>,
    /// Workers that have joined.
    pub(super) joined: u64,
    /// By their evaluation.
    pub(super) sessions: HashMap<Uuid, Session>,
    /// The evaluation of each token.
    pub(super) tokens: HashMap<String, Uuid>,
    /// The worker of each token whose session has ended with a commit, and these tokens in their order.
    recorded: (HashMap<String, Uuid>, VecDeque<String>),
    /// What was claimed, for the queue.
    pub(super) leases: VecDeque<Lease>,
    /// What is offered.
    pub(super) offers: HashMap<Uuid, Offer>,
    /// Why the last ticket was not published.
    pub(super) broker_error: Option<String>,
}

/// One worker.
pub(super) struct Member {
    pub(super) announcement: Announcement,
    /// The key that it has announced itself with.
    pub(super) principal: Option<String>,
    pub(super) seen: Instant,
    pub(super) seen_at: Timestamp,
    /// As the worker says.
    pub(super) is_draining: bool,
    /// As the operator has asked for.
    pub(super) drain: bool,
    pub(super) failing: Option<String>,
    pub(super) alarm: Alarm,
    /// Its number among the workers of this API, from 1.
    pub(super) number: u64,
    /// Whether it was reported as lost, and not seen since.
    pub(super) is_lost: bool,
    /// Wakes its sync.
    pub(super) news: Arc<Notify>,
}

/// The report that the engine of a worker fails.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Alarm {
    /// It is still to be made.
    is_pending: bool,
    /// When there was one last.
    reported: Option<Instant>,
}

/// An evaluation for which there is a ticket, or should be.
pub(super) struct Offer {
    pub(super) ticket: Ticket,
    /// When the broker has confirmed it. None when it was not published.
    pub(super) published: Option<Instant>,
}

impl Fleet {
    /// A fleet without workers.
    pub fn new(broker: Arc<dyn Broker>, options: FleetOptions) -> Arc<Self> {
        Arc::new(Self {
            broker,
            options,
            jobs: OnceLock::new(),
            state: Mutex::default(),
            claimed: Notify::new(),
            offers_changed: Notify::new(),
            closing: CancellationToken::new(),
            events: OnceLock::new(),
        })
    }

    pub(super) fn state(&self) -> MutexGuard<'_, State> {
        // No code panics while it holds the lock.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Programs that the workers that take work can run at the same time.
    pub(super) fn places(&self) -> usize {
        let state = self.state();
        let open = state.members.values().filter(|member| member.is_open(self.options.lease));
        let capacity: u32 = open.map(|member| member.announcement.capacity).sum();
        usize::try_from(capacity).unwrap_or(usize::MAX)
    }

    /// How long a sync is delayed: several fit into a lease.
    pub(super) fn poll(&self) -> Duration {
        self.options.lease / 4
    }
}

impl Member {
    /// Whether it takes tickets.
    pub(super) fn is_open(&self, lease: Duration) -> bool {
        self.is_open_at(Instant::now(), lease)
    }

    /// The same at that moment, for a look at all of them.
    pub(super) fn is_open_at(&self, now: Instant, lease: Duration) -> bool {
        let is_alive = now.duration_since(self.seen) < lease;
        is_alive && !self.is_draining && !self.drain && self.failing.is_none()
    }

    /// Takes what its self tests say. Returns whether that is to be reported now: a worker that changes its mind all the
    /// time fills no log, and one that fails again soon is reported later.
    pub(super) fn set_failing(&mut self, failing: Option<String>, now: Instant) -> bool {
        let Alarm { is_pending, reported } = self.alarm;
        let is_pending = failing.is_some() && (self.failing.is_none() || is_pending);
        self.failing = failing;
        let is_due = reported.is_none_or(|at| now.duration_since(at) >= REPORT_INTERVAL);
        let reports = is_pending && is_due;
        let reported = if reports { Some(now) } else { reported };
        self.alarm = Alarm { is_pending: is_pending && !reports, reported };
        reports
    }

    /// Evaluations that it runs at the same time.
    pub(super) fn places(&self) -> usize {
        usize::try_from(self.announcement.capacity).unwrap_or(usize::MAX)
    }
}

impl State {
    /// The number of sessions of a worker.
    pub(super) fn busy(&self, worker: Uuid) -> usize {
        self.sessions.values().filter(|session| session.worker == worker).count()
    }

    /// The number of sessions of each worker that has any.
    pub(super) fn busy_workers(&self) -> HashMap<Uuid, usize> {
        let mut busy = HashMap::new();
        for session in self.sessions.values() {
            *busy.entry(session.worker).or_default() += 1;
        }
        busy
    }

    /// The evaluation of a session of this worker. None when the token is refused.
    pub(super) fn session_of(&mut self, worker: Uuid, token: &str) -> Option<&mut Session> {
        let evaluation = self.tokens.get(token)?;
        let is_own = |session: &&mut Session| session.worker == worker || has_bug(bugs::NO_FENCING);
        self.sessions.get_mut(evaluation).filter(is_own)
    }

    pub(super) fn is_recorded(&self, worker: Uuid, token: &str) -> bool {
        self.recorded.0.get(token) == Some(&worker)
    }

    /// Ends a session: its token is refused from now on, unless its end is recorded.
    pub(super) fn end_session(&mut self, evaluation: Uuid, last: Phase) {
        let Some(session) = self.sessions.remove(&evaluation) else { return };
        if !has_bug(bugs::NO_FENCING) {
            self.tokens.remove(&session.token);
        }
        if let Some(member) = self.members.get(&session.worker) {
            member.news.notify_one();
        }
        session.phase.send_replace(last);
        if last == Phase::Recorded {
            let (workers, order) = &mut self.recorded;
            workers.insert(session.token.clone(), session.worker);
            order.push_back(session.token);
            if order.len() > MAX_RECORDED
                && let Some(oldest) = order.pop_front()
            {
                workers.remove(&oldest);
            }
        }
    }

    /// Forgets workers that have not been seen for long.
    pub(super) fn forget(&mut self, lease: Duration) {
        let now = Instant::now();
        let is_gone = |member: &Member| now.duration_since(member.seen) >= lease * FORGET_LEASES;
        if self.members.values().any(is_gone) {
            let busy = self.busy_workers();
            self.members.retain(|id, member| !is_gone(member) || busy.contains_key(id));
        }
    }
}
