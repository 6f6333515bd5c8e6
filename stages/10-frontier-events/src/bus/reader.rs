//! A subscriber that reads.

use std::sync::atomic::Ordering;
use std::sync::{Arc, OnceLock};

use stage_03_monitoring::{Gap, SequencedEvent};
use tokio::sync::mpsc;
use tokio_util::sync::DropGuard;

use super::{Counts, Place};

/// What a subscriber gets.
#[derive(Debug, Clone)]
pub enum BusItem {
    /// The next event.
    Event(Arc<SequencedEvent>),
    /// Events with these numbers were dropped: by [`super::Lag::Drop`], or by the log.
    Missed(Gap),
}

/// Why a subscriber gets no more.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ReadEnd {
    /// The last event of its evaluation was delivered, or the server ends.
    #[error("no event follows")]
    Ended,
    /// It was too slow, and has [`super::Lag::Disconnect`].
    #[error("the subscriber was too slow; event {next} is the first that it did not get")]
    Lagged {
        /// The number of the first event that it did not get.
        next: u64,
    },
}

/// One subscriber. Dropping it ends the subscription.
pub struct BusReader {
    pub(super) receiver: mpsc::Receiver<BusItem>,
    /// Set before the sender of the queue is dropped.
    pub(super) end: Arc<OnceLock<ReadEnd>>,
    pub(super) counts: Arc<Counts>,
    pub(super) _pump: DropGuard,
    pub(super) _place: Place,
}

impl BusReader {
    /// The next event or gap.
    ///
    /// Cancel safety: nothing is lost when the future is dropped.
    ///
    /// # Errors
    ///
    /// Why there is none.
    pub async fn next(&mut self) -> Result<BusItem, ReadEnd> {
        let item = self.receiver.recv().await;
        self.received(item)
    }

    /// The same, for a thread.
    ///
    /// # Errors
    ///
    /// Why there is none.
    pub fn next_blocking(&mut self) -> Result<BusItem, ReadEnd> {
        let item = self.receiver.blocking_recv();
        self.received(item)
    }

    pub(super) fn count_failure(&self) {
        self.counts.failed.fetch_add(1, Ordering::Relaxed);
    }

    fn received(&self, item: Option<BusItem>) -> Result<BusItem, ReadEnd> {
        item.ok_or_else(|| self.end.get().copied().unwrap_or(ReadEnd::Ended))
    }
}
