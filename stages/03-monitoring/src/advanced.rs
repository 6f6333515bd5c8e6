//! A monitor that counts as well: the one that every stage from here on uses.

use shared::component::CheckResult;
use shared::{BoxFuture, Event, EventSink, EventType, QueueStats, TestCase, TestableComponent};
use uuid::Uuid;

use crate::event_log::{EventLogError, Filter, History, SubscribeError};
use crate::in_memory::InMemoryMonitor;
use crate::metrics::Metrics;
use crate::self_test;
use crate::service::MonitoringService;
use crate::subscription::Subscription;

/// An [`InMemoryMonitor`] with [`Metrics`] in front of it.
pub struct AdvancedMonitor {
    inner: InMemoryMonitor,
    metrics: Metrics,
}

impl AdvancedMonitor {
    /// Counts what goes into `inner`.
    pub fn new(inner: InMemoryMonitor) -> Self {
        Self { inner, metrics: Metrics::default() }
    }
}

// ANCHOR: emit
impl EventSink for AdvancedMonitor {
    fn emit(&self, event: Event) {
        // Counted first, so that an event that was read is in the metrics.
        self.metrics.count(&event);
        self.inner.emit(event);
    }
}
// ANCHOR_END: emit

impl MonitoringService for AdvancedMonitor {
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

    fn metrics(&self, queue: QueueStats) -> Option<String> {
        Some(self.metrics.text(queue, self.inner.stats(), self.inner.open_streams()))
    }
}

impl TestableComponent for AdvancedMonitor {
    fn name(&self) -> &'static str {
        "monitor"
    }

    fn self_test(&self) -> BoxFuture<'_, CheckResult> {
        self.inner.self_test()
    }

    fn test_suite(&self) -> Vec<TestCase<'_>> {
        let mut suite = self_test::suite(self);
        suite.push(TestCase::new("what is emitted is counted", async { self.counts() }));
        suite
    }
}

impl AdvancedMonitor {
    fn counts(&self) -> CheckResult {
        let id = Uuid::now_v7();
        let before = self.metrics.emitted(&EventType::EvaluationQueued);
        self_test::emit(self, EventType::EvaluationQueued, id);
        self_test::emit(self, EventType::EvaluationCancelled, id);
        let after = self.metrics.emitted(&EventType::EvaluationQueued);
        if after > before {
            Ok(format!("evaluation.queued went from {before} to {after}"))
        } else {
            Err(format!("evaluation.queued was emitted, and its count stayed at {after}"))
        }
    }
}
