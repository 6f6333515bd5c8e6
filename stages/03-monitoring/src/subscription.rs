//! Following the event log, live.
//!
//! A subscription stores no events. It has the number of the last one it delivered, sleeps until the
//! log has a newer one, and reads the next from there. So a reader that stalls for an hour costs the
//! same as one that keeps up, and neither can delay an evaluation.

use std::sync::Arc;

use tokio::sync::{OwnedSemaphorePermit, watch};

use crate::event_log::{EventLog, EventLogError, Filter, Gap, Next, SubscribeError};
use crate::sequenced::SequencedEvent;

/// What a subscription delivers.
#[derive(Debug, Clone)]
pub enum Delivery {
    /// The next event.
    Event(Arc<SequencedEvent>),
    /// The next events were dropped.
    Missed(Gap),
}

/// One reader of an event log. Dropping it releases its permit.
pub struct Subscription {
    log: Arc<dyn EventLog>,
    filter: Filter,
    /// The number up to which everything was delivered, or reported as missed.
    last: u64,
    newest: watch::Receiver<u64>,
    ended: bool,
    _permit: OwnedSemaphorePermit,
}

impl Subscription {
    /// A reader of `log` from the event after number `after`, as [`EventLog::position`] has it.
    ///
    /// # Errors
    ///
    /// When there is nothing to follow.
    pub async fn new(
        log: Arc<dyn EventLog>,
        filter: Filter,
        after: Option<u64>,
        permit: OwnedSemaphorePermit,
    ) -> Result<Self, SubscribeError> {
        let (last, newest) = log.position(filter, after).await?;
        Ok(Self { log, filter, last, newest, ended: false, _permit: permit })
    }

    /// What is followed.
    pub fn filter(&self) -> Filter {
        self.filter
    }

    /// The next event, as soon as there is one. None after the last event of an evaluation.
    ///
    /// Cancel safety: nothing is lost when the future is dropped; the next call goes on.
    ///
    /// # Errors
    ///
    /// When the log cannot be read.
    // ANCHOR: next
    pub async fn next(&mut self) -> Result<Option<Delivery>, EventLogError> {
        while !self.ended {
            // Marked as seen before the log is read: an event that is appended in between wakes
            // this reader again.
            let newest = *self.newest.borrow_and_update();
            match self.log.read_after(self.filter, self.last).await? {
                Some(Next::Event(event)) => {
                    self.last = event.sequence;
                    return Ok(Some(Delivery::Event(event)));
                }
                Some(Next::Gap(gap)) => return Ok(Some(self.missed(gap))),
                Some(Next::End) => self.ended = true,
                Some(Next::Pending) => {
                    // An error means that the ring was evicted; the log reports that as well.
                    self.newest.changed().await.ok();
                }
                None => {
                    self.ended = true;
                    if self.last < newest {
                        return Ok(Some(self.missed(Gap { from: self.last + 1, to: newest })));
                    }
                }
            }
        }
        Ok(None)
    }
    // ANCHOR_END: next

    fn missed(&mut self, gap: Gap) -> Delivery {
        self.last = gap.to;
        Delivery::Missed(gap)
    }
}

#[cfg(test)]
mod tests;
