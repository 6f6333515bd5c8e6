//! A monitor that counts as well: the one that every stage from here on uses.

use std::sync::Arc;

use shared::component::{CheckResult, SelfTestResult};
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

    fn scratch(&self) -> BoxFuture<'_, Result<Arc<dyn MonitoringService>, EventLogError>> {
        Box::pin(async { Ok(Arc::new(Self::new(self.inner.scratch_monitor().await?)) as _) })
    }

    fn metrics(&self, queue: QueueStats) -> Option<String> {
        Some(self.metrics.text(queue, self.inner.stats(), self.inner.open_streams()))
    }
}

impl TestableComponent for AdvancedMonitor {
    fn name(&self) -> &'static str {
        "monitor"
    }

    fn self_test(&self) -> BoxFuture<'_, SelfTestResult> {
        self.inner.self_test()
    }

    fn test_suite(&self) -> Vec<TestCase<'_>> {
        let mut suite = self_test::suite(self);
        suite.push(TestCase::new("what is emitted is counted", self.counts()));
        suite
    }
}

impl AdvancedMonitor {
    async fn counts(&self) -> CheckResult {
        let inner = self.inner.scratch_monitor().await.map_err(|error| error.to_string())?;
        let (scratch, id) = (Self::new(inner), Uuid::now_v7());
        let before = scratch.metrics.emitted(&EventType::EvaluationQueued);
        self_test::emit(&scratch, EventType::EvaluationQueued, id);
        self_test::emit(&scratch, EventType::EvaluationCancelled, id);
        let after = scratch.metrics.emitted(&EventType::EvaluationQueued);
        if after == before + 1 {
            Ok(format!("evaluation.queued went from {before} to {after}"))
        } else {
            Err(format!("evaluation.queued was emitted once, and went from {before} to {after}"))
        }
    }
}
