//! The metrics: each event is counted when it can be read, in its order.

use std::sync::Arc;
use std::time::Duration;

use shared::QueueStats;
use stage_03_monitoring::{LogStats, Metrics, SubscribeError};
use tokio::sync::watch;

use crate::bus::{BusItem, BusReader, EventBus, Lag, Start, Subscribe, Topic};

/// How long a request for the metrics waits for events that are not counted yet.
const COUNT_TIMEOUT: Duration = Duration::from_secs(5);

/// What is counted of the events of one server.
pub(crate) struct Counters {
    metrics: Metrics,
    /// The number of the last event that was counted. None while nothing counts.
    counted: watch::Sender<Option<u64>>,
}

impl Counters {
    /// Counters at zero, without a subscriber.
    pub(crate) fn new() -> Arc<Self> {
        Arc::new(Self { metrics: Metrics::default(), counted: watch::Sender::new(None) })
    }

    // ANCHOR: attach
    /// Counts the events of `bus` after the one numbered `after`.
    ///
    /// # Errors
    ///
    /// When the event log cannot be read.
    pub(crate) async fn attach(
        self: &Arc<Self>,
        bus: &EventBus,
        after: u64,
    ) -> Result<(), SubscribeError> {
        let start = Start::After(after);
        let how =
            Subscribe { start, lag: Lag::Wait, ..Subscribe::to("metrics", Topic::Everything) };
        let reader = bus.subscribe(how).await?;
        self.counted.send_replace(Some(after));
        tokio::spawn(Arc::clone(self).count(reader));
        Ok(())
    }

    async fn count(self: Arc<Self>, mut reader: BusReader) {
        while let Ok(item) = reader.next().await {
            let number = match item {
                BusItem::Event(event) => {
                    self.metrics.count_stored(&event.event);
                    event.sequence
                }
                BusItem::Missed(gap) => {
                    tracing::warn!(from = gap.from, to = gap.to, "events were not counted");
                    gap.to
                }
            };
            self.counted.send_replace(Some(number));
        }
        self.counted.send_replace(None);
    }
    // ANCHOR_END: attach

    /// Returns when the event with this number is counted, if there is a subscriber that counts. One that is late is
    /// waited for [`COUNT_TIMEOUT`] at most: old numbers are better than none.
    pub(crate) async fn reached(&self, number: u64) {
        let mut counted = self.counted.subscribe();
        let is_there = counted.wait_for(|counted| counted.is_none_or(|counted| counted >= number));
        if tokio::time::timeout(COUNT_TIMEOUT, is_there).await.is_err() {
            tracing::warn!(number, "the metrics are behind the events");
        }
    }

    /// All metrics as text.
    pub(crate) fn text(&self, queue: QueueStats, log: LogStats, streams: usize) -> String {
        self.metrics.text(queue, log, streams)
    }
}
