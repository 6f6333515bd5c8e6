//! The order in which a receiver looks at the queues of several environments.

use std::collections::HashSet;
use std::time::Duration;

use tokio::time::Instant;

use super::{BrokerError, Delivery};

/// How long a receiver waits at one queue while it has others.
const TURN: Duration = Duration::from_secs(1);

/// One look at each queue without waiting, then a wait at each in turn. A receiver never waits at two at once: of
/// two deliveries that come together, one would have to be given back, and be counted as delivered.
pub(super) struct Turns {
    queues: usize,
    first: usize,
    taken: usize,
    end: Instant,
}

impl Turns {
    /// For that many queues. `first` rotates, so that no queue is always the last.
    pub(super) fn new(queues: usize, first: usize, wait: Duration) -> Self {
        Self { queues, first, taken: 0, end: Instant::now() + wait }
    }

    /// The first delivery that `next` finds. It is given the number of a queue, and how long it may wait there.
    pub(super) async fn find<F>(
        self,
        next: impl Fn(usize, Duration) -> F,
    ) -> Result<Option<Delivery>, BrokerError>
    where
        F: Future<Output = Result<Option<Delivery>, BrokerError>>,
    {
        let (queues, mut failed) = (self.queues, HashSet::new());
        for (queue, wait) in self {
            if failed.contains(&queue) {
                continue;
            }
            match next(queue, wait).await {
                Ok(None) => {}
                Ok(delivery) => return Ok(delivery),
                // The queue of one environment may be forbidden to this user, and those of the others are not.
                Err(error @ BrokerError::Refused(_)) if failed.len() + 1 < queues => {
                    tracing::warn!(%error, "no ticket was received of one environment");
                    failed.insert(queue);
                }
                Err(error) => return Err(error),
            }
        }
        Ok(None)
    }
}

impl Iterator for Turns {
    type Item = (usize, Duration);

    fn next(&mut self) -> Option<(usize, Duration)> {
        let left = self.end.saturating_duration_since(Instant::now());
        let wait = match (self.queues, self.taken) {
            (0, _) => return None,
            (1, 0) => left,
            (queues, taken) if taken < queues => Duration::ZERO,
            _ if left.is_zero() => return None,
            (1, _) => left,
            _ => left.min(TURN),
        };
        let queue = self.first.wrapping_add(self.taken) % self.queues;
        self.taken += 1;
        Some((queue, wait))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_queue_that_is_forbidden_keeps_nobody_from_the_others() {
        let looks = std::cell::RefCell::new(Vec::new());
        let turns = Turns::new(2, 0, TURN);
        let found = turns.find(|queue, wait| {
            looks.borrow_mut().push(queue);
            async move {
                tokio::time::sleep(wait).await;
                if queue == 0 { Err(BrokerError::Refused("forbidden".into())) } else { Ok(None) }
            }
        });
        assert!(found.await.unwrap().is_none());
        assert_eq!(*looks.borrow(), [0, 1, 1]);
        let refused = |_, _| async { Err(BrokerError::Refused("forbidden".into())) };
        let found = Turns::new(2, 0, TURN).find(refused).await;
        assert!(matches!(found, Err(BrokerError::Refused(_))));
    }

    #[tokio::test(start_paused = true)]
    async fn each_queue_is_looked_at_before_any_is_waited_at() {
        let mut turns = Turns::new(3, 4, Duration::from_millis(1500));
        let looks: Vec<_> = turns.by_ref().take(3).collect();
        assert_eq!(looks, [1, 2, 0].map(|queue| (queue, Duration::ZERO)));
        assert_eq!(turns.next(), Some((1, TURN)));
        tokio::time::advance(TURN).await;
        assert_eq!(turns.next(), Some((2, Duration::from_millis(500))));
        tokio::time::advance(TURN).await;
        assert_eq!(turns.next(), None);
        assert_eq!(Turns::new(0, 0, TURN).next(), None);
        let wait = Duration::from_secs(20);
        assert_eq!(Turns::new(1, 7, wait).next(), Some((0, wait)), "one queue is waited at");
        assert_eq!(Turns::new(1, 0, Duration::ZERO).count(), 1);
    }
}
