//! A sandbox that is open: its channel, its deadlines, its executions, and how it is used.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use stage_06_advanced::SandboxChannel;
use tokio::sync::{Notify, watch};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::executions::Executions;
use super::problem::Failure;
use super::quota::Place;
use super::state::{EndReason, Record, Status};

/// A sandbox that is open, or being opened.
pub(super) struct Lease {
    pub(super) id: Uuid,
    /// Its executions.
    pub(super) executions: Executions,
    /// Cancelled when it ends: each request that uses it is answered.
    pub(super) gone: CancellationToken,
    state: Mutex<State>,
    /// Notified when a deadline has changed, or the end is requested: the task that watches looks again.
    changed: Notify,
    /// Sent once, when nothing of it is left.
    ended: watch::Sender<Option<Record>>,
}

struct State {
    record: Record,
    channel: Option<Arc<SandboxChannel>>,
    /// Why it is to end.
    requested: Option<EndReason>,
    /// Requests and executions that use it now. Idle time counts from the moment when there is none.
    uses: usize,
    idle_since: Instant,
    lifetime_until: Instant,
    /// Returned when nothing of it is left.
    place: Option<Place>,
}

/// One use of a sandbox: as long as this lives, it is not idle.
pub(super) struct Use {
    lease: Arc<Lease>,
}

impl Lease {
    pub(super) fn new(record: &Record, executions: Executions, place: Place) -> Arc<Self> {
        let now = Instant::now();
        let state = State {
            lifetime_until: now + Duration::from_secs(record.lifetime_seconds),
            channel: None,
            requested: None,
            uses: 0,
            idle_since: now,
            place: Some(place),
            record: record.clone(),
        };
        Arc::new(Self {
            id: record.id,
            executions,
            gone: CancellationToken::new(),
            state: Mutex::new(state),
            changed: Notify::new(),
            ended: watch::Sender::new(None),
        })
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Its record, and whether it is starting or ready.
    pub(super) fn record(&self) -> (Record, Status) {
        let state = self.state();
        let status = if state.channel.is_some() { Status::Ready } else { Status::Starting };
        (state.record.clone(), status)
    }

    /// It executes commands from now on.
    pub(super) fn opened(&self, channel: Arc<SandboxChannel>) {
        let mut state = self.state();
        state.channel = Some(channel);
        state.idle_since = Instant::now();
    }

    /// Uses it for a request or an execution.
    ///
    /// # Errors
    ///
    /// 410 when it ends, 409 while it starts.
    pub(super) fn use_it(self: &Arc<Self>) -> Result<(Use, Arc<SandboxChannel>), Failure> {
        let mut state = self.state();
        if state.requested.is_some() || self.gone.is_cancelled() {
            return Err(Failure::gone(state.requested));
        }
        let channel = state.channel.clone().ok_or_else(Failure::starting)?;
        state.uses += 1;
        Ok((Use { lease: Arc::clone(self) }, channel))
    }

    /// Another end of its lifetime.
    pub(super) fn renew(&self, lifetime: Duration, record: &Record) {
        let mut state = self.state();
        state.lifetime_until = Instant::now() + lifetime;
        state.record.expires_at = record.expires_at;
        state.record.lifetime_seconds = record.lifetime_seconds;
        drop(state);
        self.changed.notify_one();
    }

    /// Requests its end. The first reason counts.
    pub(super) fn end(&self, reason: EndReason) {
        self.state().requested.get_or_insert(reason);
        self.changed.notify_one();
    }

    /// Why it is to end now, or when that is to be looked at again.
    fn due(&self) -> Result<EndReason, Instant> {
        let mut state = self.state();
        let now = Instant::now();
        let idle = Duration::from_secs(state.record.fixed.idle_timeout_seconds);
        let idle_until = state.idle_since + idle;
        let is_idle = state.uses == 0;
        let reason = match state.requested {
            Some(reason) => reason,
            None if now >= state.lifetime_until => EndReason::LifetimeExceeded,
            None if is_idle && now >= idle_until => EndReason::IdleTimeout,
            None if is_idle => return Err(state.lifetime_until.min(idle_until)),
            None => return Err(state.lifetime_until),
        };
        // No request uses it from now on.
        state.requested = Some(reason);
        Ok(reason)
    }

    /// Waits until one of its deadlines is over, or its end is requested.
    pub(super) async fn deadline(&self) -> EndReason {
        loop {
            match self.due() {
                Ok(reason) => return reason,
                Err(look_at) => tokio::select! {
                    () = tokio::time::sleep_until(look_at) => {}
                    () = self.changed.notified() => {}
                },
            }
        }
    }

    /// Nothing of it is left, as `record` says.
    pub(super) fn has_ended(&self, record: Record) {
        self.gone.cancel();
        self.executions.clear();
        let mut state = self.state();
        state.channel = None;
        state.record = record.clone();
        let place = state.place.take();
        drop(state);
        drop(place);
        self.ended.send_replace(Some(record));
    }

    /// Waits until nothing of it is left. None if the server stops before.
    pub(super) async fn ended(&self) -> Option<Record> {
        let mut ended = self.ended.subscribe();
        ended.wait_for(Option::is_some).await.ok()?.clone()
    }
}

impl Use {
    /// One more use.
    pub(super) fn again(&self) -> Self {
        self.lease.state().uses += 1;
        Self { lease: Arc::clone(&self.lease) }
    }

    /// Its sandbox.
    pub(super) fn lease(&self) -> &Arc<Lease> {
        &self.lease
    }
}

impl Drop for Use {
    fn drop(&mut self) {
        let mut state = self.lease.state();
        state.uses = state.uses.saturating_sub(1);
        if state.uses == 0 {
            state.idle_since = Instant::now();
            drop(state);
            self.lease.changed.notify_one();
        }
    }
}
