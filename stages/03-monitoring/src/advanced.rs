//! A monitor that counts as well: the one that stages serve with.

use shared::component::CheckResult;
use shared::{BoxFuture, Event, EventSink, EventType, QueueStats, TestCase, TestableComponent};
use uuid::Uuid;

use crate::checks;
use crate::memory::InMemoryMonitor;
use crate::metrics::Metrics;
use crate::service::{History, MonitoringService};
use crate::subscription::{Filter, SubscribeError, Subscription};

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
        // Counted first: whoever has read an event finds it in the metrics.
        self.metrics.count(&event);
        self.inner.emit(event);
    }
}
// ANCHOR_END: emit

impl MonitoringService for AdvancedMonitor {
    fn history(&self, id: Uuid, after: Option<u64>) -> Option<History> {
        self.inner.history(id, after)
    }

    fn subscribe(
        &self,
        filter: Filter,
        after: Option<u64>,
    ) -> Result<Subscription, SubscribeError> {
        self.inner.subscribe(filter, after)
    }

    fn metrics(&self, queue: QueueStats) -> Option<String> {
        Some(self.metrics.text(queue, self.inner.held(), self.inner.open_streams()))
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
        let mut suite = checks::suite(self);
        suite.push(TestCase::new("what is emitted is counted", async { self.counts() }));
        suite
    }
}

impl AdvancedMonitor {
    fn counts(&self) -> CheckResult {
        let id = Uuid::now_v7();
        let before = self.metrics.emitted(EventType::EvaluationQueued);
        checks::emit(self, EventType::EvaluationQueued, id);
        checks::emit(self, EventType::EvaluationCancelled, id);
        let after = self.metrics.emitted(EventType::EvaluationQueued);
        if after > before {
            Ok(format!("evaluation.queued went from {before} to {after}"))
        } else {
            Err(format!("evaluation.queued was emitted, and its count stayed at {after}"))
        }
    }
}
