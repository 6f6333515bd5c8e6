//! The time for which a delivery is held, by this machine's clock.
//!
//! A broker gives a ticket to another receiver when the time is over, and JetStream then accepts the
//! acknowledgement of the first receiver for the second one's delivery. So a receiver whose time is over does not
//! call the broker at all.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use super::BrokerError;

/// How long a delivery is held.
pub(crate) struct Hold {
    since: Instant,
    // Invariant: never later than what the broker was asked for, counted from before the request.
    until: Mutex<Instant>,
}

impl Hold {
    /// Received after `asked`, for that time.
    pub(crate) fn new(asked: Instant, visibility: Duration) -> Self {
        Self { since: asked, until: Mutex::new(asked + visibility) }
    }

    /// Since when it is held.
    pub(crate) fn since(&self) -> Instant {
        self.since
    }

    /// Refuses a delivery whose time is over.
    pub(crate) fn check(&self) -> Result<(), BrokerError> {
        let until = *self.until.lock().unwrap_or_else(PoisonError::into_inner);
        if Instant::now() < until { Ok(()) } else { Err(BrokerError::Stale) }
    }

    /// The broker has extended it, by a request that was sent at `asked`.
    pub(crate) fn extended(&self, asked: Instant, visibility: Duration) {
        *self.until.lock().unwrap_or_else(PoisonError::into_inner) = asked + visibility;
    }
}
