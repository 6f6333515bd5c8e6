//! The places of kept sandboxes, and how each has ended, for those that wait and for those that come late.
//!
//! Invariants, under one lock:
//!
//! * `places` has one for each sandbox that is being opened, is open, or is being removed. It is removed last, when
//!   nothing is left on the machine, so that their number is never below that of the sandboxes.
//! * `place.end` is set once, in the moment in which the place is removed. What waits has a receiver of its own; what
//!   comes later finds the reason in `past`, which is bounded.

use std::collections::{HashMap, VecDeque};
use std::sync::{Mutex, MutexGuard, PoisonError};

use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::{EndReason, OpenError};

/// Ends that are remembered for what comes late.
const MAX_PAST_ENDS: usize = 1024;

/// The places of all sandboxes of one engine.
#[derive(Default)]
pub(crate) struct Ends(Mutex<State>);

#[derive(Default)]
struct State {
    is_closed: bool,
    places: HashMap<Uuid, Place>,
    past: VecDeque<(Uuid, EndReason)>,
}

struct Place {
    /// Cancelled when the sandbox should be removed.
    remove: CancellationToken,
    end: watch::Sender<Option<EndReason>>,
}

impl State {
    fn past_end(&self, id: Uuid) -> Option<EndReason> {
        self.past.iter().find(|(past, _)| *past == id).map(|(_, reason)| *reason)
    }

    fn finish(&mut self, id: Uuid, reason: EndReason) {
        let Some(place) = self.places.remove(&id) else { return };
        if self.past.len() == MAX_PAST_ENDS {
            self.past.pop_front();
        }
        self.past.push_back((id, reason));
        place.end.send_replace(Some(reason));
    }
}

impl Ends {
    fn state(&self) -> MutexGuard<'_, State> {
        // No code panics while it holds the lock.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A place among `max`, and what is cancelled when its sandbox should be removed.
    pub(crate) fn reserve(&self, id: Uuid, max: usize) -> Result<CancellationToken, OpenError> {
        let mut state = self.state();
        if state.is_closed {
            return Err(OpenError::Closed {});
        }
        if state.places.contains_key(&id) || state.past_end(id).is_some() {
            return Err(OpenError::IdInUse {});
        }
        if state.places.len() >= max {
            return Err(OpenError::Full { max });
        }
        let (remove, end) = (CancellationToken::new(), watch::Sender::new(None));
        state.places.insert(id, Place { remove: remove.clone(), end });
        Ok(remove)
    }

    /// Nothing of this sandbox is left. The first reason counts.
    pub(crate) fn finish(&self, id: Uuid, reason: EndReason) {
        self.state().finish(id, reason);
    }

    /// Requests the removal of a sandbox. False if there is none.
    pub(crate) fn request_removal(&self, id: Uuid) -> bool {
        let state = self.state();
        let place = state.places.get(&id);
        if let Some(place) = place {
            place.remove.cancel();
        }
        place.is_some()
    }

    /// Waits for the end of a sandbox.
    pub(crate) async fn wait(&self, id: Uuid) -> EndReason {
        let mut end = {
            let state = self.state();
            match state.places.get(&id) {
                Some(place) => place.end.subscribe(),
                None => return state.past_end(id).unwrap_or(EndReason::Removed),
            }
        };
        // The sender is dropped after it has sent.
        let reason = end.wait_for(Option::is_some).await.ok().and_then(|reason| *reason);
        reason.unwrap_or(EndReason::Removed)
    }

    /// No place is reserved from here on.
    pub(crate) fn close(&self) {
        self.state().is_closed = true;
    }

    /// All that are left end for this reason.
    pub(crate) fn finish_all(&self, reason: EndReason) {
        let mut state = self.state();
        let ids: Vec<_> = state.places.keys().copied().collect();
        for id in ids {
            state.finish(id, reason);
        }
    }
}
