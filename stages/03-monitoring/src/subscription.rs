//! Following the history, live.
//!
//! A subscription holds no events of its own. It remembers the number of the last one it gave out,
//! sleeps until the log has a newer one, and reads the next from there. So a reader that stalls for
//! an hour costs the same as one that keeps up, and neither can hold up an evaluation.

use std::sync::Arc;

use tokio::sync::{OwnedSemaphorePermit, watch};
use uuid::Uuid;

use crate::log::EventLog;
use crate::recorded::SequencedEvent;
use crate::ring::Next;

/// Which events a subscription follows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Filter {
    /// All of them, for ever.
    Everything,
    /// Those of one evaluation, up to its last.
    Evaluation(Uuid),
}

/// What a subscription gives out.
#[derive(Debug, Clone)]
pub enum Delivery {
    /// The next event.
    Event(Arc<SequencedEvent>),
    /// The next events are not kept any more.
    Missed(Gap),
}

/// Numbers of events that a reader cannot get any more, both ends included. Those between that are
/// about other evaluations would not have been for it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize)]
pub struct Gap {
    /// The first.
    pub from: u64,
    /// The last. Reading on after this number gives the next event that is kept.
    pub to: u64,
}

/// Why there is nothing to follow.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SubscribeError {
    /// No events of this evaluation are kept.
    Unknown,
    /// The evaluation has ended, and the reader has its last event already.
    Ended,
    /// The reader has a number that was not given out yet.
    FutureId {
        /// The newest number that was.
        newest: u64,
    },
    /// Every place for a reader is taken.
    TooMany,
}

/// One reader of the history. Dropping it frees its place.
pub struct Subscription {
    log: Arc<EventLog>,
    filter: Filter,
    /// The number up to which everything was given out, or named as missed.
    last: u64,
    newest: watch::Receiver<u64>,
    ended: bool,
    _place: OwnedSemaphorePermit,
}

impl Subscription {
    pub(crate) fn new(
        log: Arc<EventLog>,
        filter: Filter,
        after: Option<u64>,
        place: OwnedSemaphorePermit,
    ) -> Result<Self, SubscribeError> {
        let (last, newest) = log.follow(filter, after)?;
        Ok(Self { log, filter, last, newest, ended: false, _place: place })
    }

    /// What is followed.
    pub fn filter(&self) -> Filter {
        self.filter
    }

    /// The next event, as soon as there is one. None after the last event of an evaluation.
    ///
    /// Cancel safety: nothing is lost when the future is dropped; the next call goes on.
    // ANCHOR: next
    pub async fn next(&mut self) -> Option<Delivery> {
        while !self.ended {
            // Looked at before the log is read: what is appended in between wakes us again.
            let newest = *self.newest.borrow_and_update();
            match self.log.after(self.filter, self.last) {
                Some(Next::Event(event)) => {
                    self.last = event.number;
                    return Some(Delivery::Event(event));
                }
                Some(Next::Gap(gap)) => return Some(self.missed(gap)),
                Some(Next::End) => self.ended = true,
                Some(Next::Pending) => {
                    // An error says that the ring was evicted; the log will say so as well.
                    let _evicted = self.newest.changed().await;
                }
                None => {
                    self.ended = true;
                    if self.last < newest {
                        return Some(self.missed(Gap { from: self.last + 1, to: newest }));
                    }
                }
            }
        }
        None
    }
    // ANCHOR_END: next

    fn missed(&mut self, gap: Gap) -> Delivery {
        self.last = gap.to;
        Delivery::Missed(gap)
    }
}

#[cfg(test)]
#[path = "subscription_tests.rs"]
mod tests;
