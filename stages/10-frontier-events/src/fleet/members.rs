//! Workers join, give signs of life, drain and leave.

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use tokio::sync::Notify;
use tokio::time::Instant;
use uuid::Uuid;

use super::Fleet;
use super::state::{MAX_WORKERS, Member, State};
use super::wire::{Announcement, SyncReply, SyncRequest, Welcome};

/// How long a sync is delayed while the server shuts down: it waits for the last response.
const SHUTDOWN_INTERVAL: Duration = Duration::from_millis(200);

/// The worker that a request comes from: the id in its path, and the key that it has sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Caller {
    pub(super) worker: Uuid,
    pub(super) principal: Option<String>,
}

/// Why a worker is not one of the fleet.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(super) enum MemberError {
    /// It has not announced itself to this process, or with another key.
    #[error("no worker with this id has announced itself with this key")]
    Unknown,
    /// It cannot run what this API accepts.
    #[error("{0}")]
    Unfit(String),
}

impl Fleet {
    /// Makes a worker one of the fleet, or changes what it has said about itself.
    pub(super) fn announce(
        &self,
        caller: &Caller,
        mut announcement: Announcement,
    ) -> Result<Welcome, MemberError> {
        if let Some(why) = announcement.unfit(self.options.engine, &self.options.bounds) {
            return Err(MemberError::Unfit(why));
        }
        self.keep_known_environments(&mut announcement);
        let mut state = self.state();
        state.forget(self.options.lease);
        let known = state.members.get(&caller.worker);
        let alarm = known.map(|member| member.alarm).unwrap_or_default();
        let (is_new, is_back) = (known.is_none(), known.is_some_and(|member| member.is_lost));
        if is_new && state.members.len() >= MAX_WORKERS {
            let most = format!("this API has {MAX_WORKERS} workers, and takes no more");
            return Err(MemberError::Unfit(most));
        }
        if !is_new {
            state.member(caller)?;
        }
        let (name, capacity) = (announcement.name.clone(), announcement.capacity);
        let number = state.number_of(caller.worker);
        let member = Member {
            announcement,
            principal: caller.principal.clone(),
            seen: Instant::now(),
            seen_at: Timestamp::now(),
            is_draining: false,
            drain: false,
            failing: None,
            alarm,
            number,
            is_lost: false,
            news: Arc::new(Notify::new()),
        };
        if is_new || is_back {
            self.worker_started(caller.worker, &member);
        }
        state.members.insert(caller.worker, member);
        drop(state);
        if is_new {
            tracing::info!(worker = %caller.worker, name, capacity, "worker joined");
        }
        self.offers_changed.notify_one();
        let (lease, poll) = (self.options.lease, self.poll());
        Ok(Welcome {
            lease_seconds: lease.as_secs_f64(),
            poll_seconds: poll.as_secs_f64(),
            pause_seconds: None,
        })
    }

    /// An environment of another digest is another environment.
    fn keep_known_environments(&self, announcement: &mut Announcement) {
        let profiles = &self.options.profiles;
        announcement.environments.retain(|name, digest| {
            if *name == profiles.default.name {
                return true;
            }
            let known = profiles.environment(name);
            let is_same = known.is_some_and(|known| Some(&known.digest) == digest.as_ref());
            if known.is_some() && !is_same {
                let worker = &announcement.name;
                tracing::warn!(
                    worker,
                    environment = name,
                    "built differently here; it gets no work for it"
                );
            }
            is_same
        });
    }

    /// A sign of life, which extends the leases of its sessions. Returns when there is news, or after the poll time.
    pub(super) async fn sync(
        &self,
        caller: &Caller,
        request: &SyncRequest,
    ) -> Result<SyncReply, MemberError> {
        let news = self.touch(caller, request)?;
        let end = Instant::now() + self.poll();
        loop {
            // Registered before the check: what changes after it wakes this task.
            let mut changed = std::pin::pin!(news.notified());
            changed.as_mut().enable();
            let reply = self.state().news_for(caller, request)?;
            if reply != SyncReply::default() || Instant::now() >= end {
                return Ok(reply);
            }
            tokio::select! {
                () = changed => {}
                () = tokio::time::sleep_until(end) => {}
                // The next one is answered soon as well, until the server is gone.
                () = self.closing.cancelled() => {
                    tokio::time::sleep(SHUTDOWN_INTERVAL).await;
                    return self.state().news_for(caller, request);
                }
            }
        }
    }

    fn touch(&self, caller: &Caller, request: &SyncRequest) -> Result<Arc<Notify>, MemberError> {
        let mut state = self.state();
        let now = Instant::now();
        let lease = self.options.lease;
        let member = state.member(caller)?;
        let was_open = member.is_open(lease);
        (member.seen, member.seen_at) = (now, Timestamp::now());
        member.is_draining = request.draining;
        if member.set_failing(request.failing.clone(), now) {
            self.isolation_lost(caller.worker, member);
        }
        if std::mem::take(&mut member.is_lost) {
            self.worker_started(caller.worker, member);
        }
        let (news, is_open) = (Arc::clone(&member.news), member.is_open(lease));
        for token in &request.sessions {
            let session = state.session_of(caller.worker, token);
            if let Some(session) = session.filter(|session| session.is_leased()) {
                session.renew(lease);
            }
        }
        drop(state);
        // Also after a time in which the worker was not seen.
        if is_open != was_open {
            self.offers_changed.notify_one();
        }
        Ok(news)
    }

    /// Has a worker take no more tickets. What runs goes on.
    pub(super) fn drain(&self, worker: Uuid) -> Result<(), MemberError> {
        let mut state = self.state();
        let member = state.members.get_mut(&worker).ok_or(MemberError::Unknown)?;
        member.drain = true;
        member.news.notify_one();
        Ok(())
    }

    /// Forgets a worker that says that it has nothing any more.
    pub(super) fn leave(&self, caller: &Caller) -> Result<(), MemberError> {
        let mut state = self.state();
        state.member(caller)?;
        if state.busy(caller.worker) == 0
            && let Some(member) = state.members.remove(&caller.worker)
            && !member.is_lost
        {
            self.worker_stopped(caller.worker, &member, "left");
        }
        drop(state);
        tracing::info!(worker = %caller.worker, "worker left");
        Ok(())
    }
}

impl State {
    /// The worker that a request comes from.
    ///
    /// Attack: a key of a worker reports for another worker, whose id it has seen -> the key has to be the one that
    /// has announced it. Test: `a_session_belongs_to_its_worker_and_its_key`.
    pub(super) fn member(&mut self, caller: &Caller) -> Result<&mut Member, MemberError> {
        let member = self.members.get_mut(&caller.worker);
        member.filter(|member| member.principal == caller.principal).ok_or(MemberError::Unknown)
    }

    fn news_for(
        &mut self,
        caller: &Caller,
        request: &SyncRequest,
    ) -> Result<SyncReply, MemberError> {
        let drain = self.member(caller)?.drain && !request.draining;
        // Also of sessions that the worker does not name yet: it hears of them before its next request.
        let own = self.sessions.values().filter(|session| session.worker == caller.worker);
        let cancelled = own.filter(|session| session.is_cancelled && session.is_leased());
        let cancel = cancelled.map(|session| session.token.clone());
        let cancel = cancel.filter(|token| !request.cancelled.contains(token)).collect();
        let is_lost = |token: &&String| {
            let evaluation = self.tokens.get(*token);
            let session = evaluation.and_then(|evaluation| self.sessions.get(evaluation));
            let is_own = session.is_some_and(|session| session.worker == caller.worker);
            !is_own && !self.is_recorded(caller.worker, token)
        };
        let lost = request.sessions.iter().filter(is_lost).cloned().collect();
        Ok(SyncReply { cancel, lost, drain })
    }
}
