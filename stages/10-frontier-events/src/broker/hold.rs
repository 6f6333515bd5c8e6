//! The time for which a delivery is held, by this machine's clock.
//!
//! A broker gives a ticket to another receiver when the time is over, and `JetStream` then accepts the
//! acknowledgement of the first receiver for the second one's delivery. So a receiver whose time is over does not
//! call the broker at all.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use super::BrokerError;

/// How long a delivery is held.
pub(crate) struct Hold {
    since: Instant,
    // Invariant: earlier than the broker's own end by what a message may take to arrive here.
    until: Mutex<Instant>,
}

/// What is left of a time that a broker counts from the moment it sends a delivery.
fn held(visibility: Duration) -> Duration {
    visibility / 10 * 9
}

impl Hold {
    /// Received now, for that time.
    pub(crate) fn new(now: Instant, visibility: Duration) -> Self {
        Self { since: now, until: Mutex::new(now + held(visibility)) }
    }

    /// What is left of the time for which a broker lets any receiver hold a delivery.
    pub(crate) fn left(&self, limit: Duration) -> Duration {
        (self.since + limit).saturating_duration_since(Instant::now())
    }

    /// Refuses a delivery whose time is over.
    pub(crate) fn check(&self) -> Result<(), BrokerError> {
        let until = *self.until.lock().unwrap_or_else(PoisonError::into_inner);
        if Instant::now() < until { Ok(()) } else { Err(BrokerError::Stale) }
    }

    /// The broker has extended it, by a request that was sent at `asked`.
    pub(crate) fn extended(&self, asked: Instant, visibility: Duration) {
        *self.until.lock().unwrap_or_else(PoisonError::into_inner) = asked + held(visibility);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_hold_ends_before_the_brokers_own_time() {
        let visibility = Duration::from_secs(30);
        let hold = Hold::new(Instant::now(), visibility);
        tokio::time::advance(Duration::from_secs(26)).await;
        hold.check().unwrap();
        hold.extended(Instant::now(), visibility);
        tokio::time::advance(Duration::from_secs(26)).await;
        hold.check().unwrap();
        tokio::time::advance(Duration::from_secs(1)).await;
        assert!(matches!(hold.check(), Err(BrokerError::Stale)));
        let day = Duration::from_hours(24);
        assert_eq!(
            hold.left(day),
            Duration::from_secs(86_400 - 53),
            "an extension does not move it"
        );
        assert_eq!(hold.left(Duration::from_secs(53)), Duration::ZERO);
    }
}
