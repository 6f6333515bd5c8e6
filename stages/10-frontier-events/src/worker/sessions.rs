//! What this worker runs, and until when it may.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::{Instant, sleep_until};
use tokio_util::sync::CancellationToken;

use crate::bugs::{self, has_bug};
use crate::fleet::wire::{SyncReply, SyncRequest};

/// Cancellations of sessions that this worker does not know yet, at most.
const MAX_EARLY: usize = 256;

/// The sessions of a worker.
#[derive(Default)]
pub(super) struct Sessions {
    // Ties the two together: a cancellation that comes before its session is found by it.
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    sessions: HashMap<String, Arc<Session>>,
    /// Tokens whose cancellation has arrived before the response to their claim.
    early: HashSet<String>,
}

/// One session.
pub(super) struct Session {
    pub(super) token: String,
    /// Ends the program.
    pub(super) cancel: CancellationToken,
    /// The session is not this worker's any more: what it does is dropped.
    pub(super) lost: CancellationToken,
    lease: Duration,
    /// From when on the lease counts.
    renewed: Mutex<Instant>,
}

impl Session {
    /// Whether a cancellation was asked for.
    fn is_cancelled(&self) -> bool {
        self.cancel.is_cancelled()
    }

    fn until(&self) -> Instant {
        *self.renewed.lock().unwrap_or_else(PoisonError::into_inner) + self.lease
    }

    fn renew(&self, at: Instant) {
        *self.renewed.lock().unwrap_or_else(PoisonError::into_inner) = at;
    }

    fn lose(&self) {
        if has_bug(bugs::NO_FENCING) {
            return;
        }
        self.lost.cancel();
        self.cancel.cancel();
    }

    /// Ends the program when the lease has expired, as the API does with the session. The clock also counts the
    /// time in which this process was stopped.
    async fn watch(self: Arc<Self>) {
        loop {
            let until = self.until();
            if Instant::now() >= until {
                tracing::warn!("the lease has expired; the program is ended");
                self.lose();
                return;
            }
            sleep_until(until).await;
        }
    }
}

/// Ends the watch over a session, and forgets it.
pub(super) struct Registered<'a> {
    sessions: &'a Sessions,
    pub(super) session: Arc<Session>,
    watch: tokio::task::AbortHandle,
}

impl Drop for Registered<'_> {
    fn drop(&mut self) {
        self.watch.abort();
        self.sessions.state().sessions.remove(&self.session.token);
    }
}

impl Sessions {
    fn state(&self) -> MutexGuard<'_, State> {
        // No code panics while it holds the lock.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Adds a session whose claim was sent at `claimed`.
    pub(super) fn register(
        &self,
        token: String,
        claimed: Instant,
        lease: Duration,
    ) -> Registered<'_> {
        let session = Arc::new(Session {
            token: token.clone(),
            cancel: CancellationToken::new(),
            lost: CancellationToken::new(),
            lease,
            renewed: Mutex::new(claimed),
        });
        let mut state = self.state();
        if state.early.remove(&token) {
            session.cancel.cancel();
        }
        state.sessions.insert(token, Arc::clone(&session));
        drop(state);
        let watch = tokio::spawn(Arc::clone(&session).watch()).abort_handle();
        Registered { sessions: self, session, watch }
    }

    /// What the API has to know.
    pub(super) fn request(&self) -> SyncRequest {
        let state = self.state();
        let cancelled = state.sessions.values().filter(|session| session.is_cancelled());
        let cancelled = cancelled.map(|session| &session.token).chain(&state.early);
        // What is lost is said once: named again it would be answered at once, for as long as its program takes to end.
        let held = state.sessions.values().filter(|session| !session.lost.is_cancelled());
        SyncRequest {
            sessions: held.map(|session| session.token.clone()).collect(),
            cancelled: cancelled.cloned().collect(),
            ..SyncRequest::default()
        }
    }

    /// What the API has replied to a request that was sent at `sent`.
    pub(super) fn apply(&self, request: &SyncRequest, sent: Instant, reply: &SyncReply) {
        let mut state = self.state();
        for token in &reply.lost {
            if let Some(session) = state.sessions.get(token) {
                tracing::warn!("the API has given the session up; the program is ended");
                session.lose();
            }
        }
        for token in request.sessions.iter().filter(|token| !reply.lost.contains(token)) {
            if let Some(session) = state.sessions.get(token) {
                session.renew(sent);
            }
        }
        for token in &reply.cancel {
            if let Some(session) = state.sessions.get(token) {
                session.cancel.cancel();
            } else if state.early.len() < MAX_EARLY && !request.sessions.contains(token) {
                state.early.insert(token.clone());
            }
        }
    }

    /// The API has restarted, and knows none of them.
    pub(super) fn lose_all(&self) {
        for session in self.state().sessions.values() {
            session.lose();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn what_is_lost_is_not_named_again() {
        let sessions = Sessions::default();
        let register = |token: &str| {
            sessions.register(token.to_owned(), Instant::now(), Duration::from_mins(1))
        };
        let (_held, _lost) = (register("held"), register("lost"));
        let request = sessions.request();
        assert_eq!(request.sessions.len(), 2);
        let reply = SyncReply { lost: vec!["lost".to_owned()], ..SyncReply::default() };
        sessions.apply(&request, Instant::now(), &reply);
        assert_eq!(sessions.request().sessions, ["held"]);
    }
}
