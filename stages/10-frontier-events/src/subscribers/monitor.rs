//! The monitor of this stage: what it receives goes into the log, and nothing else is called.
//!
//! That of stage 03 counts an event while it is emitted, in the path of every evaluation. Here a subscriber counts.

use std::sync::Arc;

use serde_json::json;
use shared::component::{CheckResult, SelfTestResult};
use shared::{BoxFuture, Event, EventSink, EventType, QueueStats, TestCase, TestableComponent};
use stage_03_monitoring::{
    EventLogError, Filter, History, InMemoryMonitor, MonitoringService, SubscribeError,
    Subscription,
};
use stage_09_frontier::Store;
use uuid::Uuid;

use super::counters::Counters;
use crate::bus::EventBus;

/// Appends to the log, lets readers follow it, and shows what its subscriber has counted.
pub(crate) struct EventMonitor {
    inner: InMemoryMonitor,
    counters: Arc<Counters>,
}

impl EventMonitor {
    /// The monitor over the log of `inner`.
    pub(crate) fn new(inner: InMemoryMonitor, counters: Arc<Counters>) -> Self {
        Self { inner, counters }
    }

    /// A bus over a log of the same kind, and what a subscriber of it counts.
    async fn counts(&self) -> CheckResult {
        let log = self.inner.log().scratch().await.map_err(|error| error.to_string())?;
        let monitor = InMemoryMonitor::with_log(Arc::clone(&log), 1);
        let scratch = Arc::new(Self::new(monitor, Counters::new()));
        let store = Store::scratch().map_err(|error| error.to_string())?;
        let bus = EventBus::start(log, scratch.clone(), store).await;
        let bus = bus.map_err(|error| error.to_string())?;
        let attached = scratch.counters.attach(&bus, 0).await;
        attached.map_err(|error| error.to_string())?;
        for kind in [EventType::EvaluationQueued, EventType::EvaluationCancelled] {
            bus.publish(Event::now(kind, Some(Uuid::now_v7()), json!({})));
        }
        scratch.counted().await;
        let queue =
            QueueStats { depth: 0, capacity: 1, workers: 1, workers_busy: 0, oldest_wait_ms: 0 };
        let text = scratch.metrics(queue).unwrap_or_default();
        let line = "crucible_events_total{type=\"evaluation.queued\"} 1";
        let is_counted = text.lines().any(|one| one == line);
        if is_counted { Ok(line.to_owned()) } else { Err(format!("it has no line {line}")) }
    }
}

// ANCHOR: emit
impl EventSink for EventMonitor {
    fn emit(&self, event: Event) {
        self.inner.emit(event);
    }
}
// ANCHOR_END: emit

impl MonitoringService for EventMonitor {
    fn history(
        &self,
        id: Uuid,
        after: Option<u64>,
    ) -> BoxFuture<'_, Result<Option<History>, EventLogError>> {
        self.inner.history(id, after)
    }

    fn subscribe(
        &self,
        filter: Filter,
        after: Option<u64>,
    ) -> BoxFuture<'_, Result<Subscription, SubscribeError>> {
        self.inner.subscribe(filter, after)
    }

    /// One that does not count: a check has no subscribers.
    fn scratch(&self) -> BoxFuture<'_, Result<Arc<dyn MonitoringService>, EventLogError>> {
        self.inner.scratch()
    }

    /// An event that was read is in the metrics, as where the monitor itself counts.
    fn counted(&self) -> BoxFuture<'_, ()> {
        Box::pin(async {
            if let Ok((newest, _)) = self.inner.log().position(Filter::Everything, None).await {
                self.counters.reached(newest).await;
            }
        })
    }

    fn metrics(&self, queue: QueueStats) -> Option<String> {
        Some(self.counters.text(queue, self.inner.stats(), self.inner.open_streams()))
    }
}

impl TestableComponent for EventMonitor {
    fn name(&self) -> &'static str {
        "monitor"
    }

    fn self_test(&self) -> BoxFuture<'_, SelfTestResult> {
        self.inner.self_test()
    }

    fn test_suite(&self) -> Vec<TestCase<'_>> {
        let mut suite = self.inner.test_suite();
        suite.push(TestCase::new("what is emitted is counted", self.counts()));
        suite
    }
}
