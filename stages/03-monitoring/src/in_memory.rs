//! A monitor that stores and streams events, and does not count them.
//!
//! Without another event log everything is in memory, and a restart forgets it. A reader that comes
//! back after a restart notices it, because numbers never repeat: they start at the time of the start,
//! in microseconds, and no server emits a million events per second over its whole lifetime.

use std::sync::Arc;

use jiff::Timestamp;
use shared::component::SelfTestResult;
use shared::{BoxFuture, Event, EventSink, TestCase, TestableComponent};
use tokio::sync::Semaphore;
use uuid::Uuid;

use crate::event_log::{
    EventLog, EventLogError, EventLogLimits, Filter, History, InMemoryEventLog, LogStats,
    SubscribeError,
};
use crate::self_test;
use crate::service::MonitoringService;
use crate::subscription::Subscription;

/// The settings of a monitor.
#[derive(Debug, Clone, Copy)]
pub struct MonitorOptions {
    /// How much the event log stores.
    pub log_limits: EventLogLimits,
    /// Readers at one moment. One more is refused.
    pub max_streams: usize,
}

impl Default for MonitorOptions {
    fn default() -> Self {
        Self { log_limits: EventLogLimits::default(), max_streams: 256 }
    }
}

/// Stores the newest events and lets readers follow them.
pub struct InMemoryMonitor {
    log: Arc<dyn EventLog>,
    /// A permit for each open stream; the subscription has it, and releases it when it is dropped.
    permits: Arc<Semaphore>,
    max_streams: usize,
}

impl InMemoryMonitor {
    /// A monitor whose log is empty and in memory.
    pub fn new(options: MonitorOptions) -> Self {
        let start = u64::try_from(Timestamp::now().as_microsecond()).unwrap_or(0).max(1);
        let log = InMemoryEventLog::new(options.log_limits, start);
        Self::with_log(Arc::new(log), options.max_streams)
    }

    /// A monitor over an event log, with at most `max_streams` readers at one moment.
    pub fn with_log(log: Arc<dyn EventLog>, max_streams: usize) -> Self {
        let max_streams = max_streams.min(Semaphore::MAX_PERMITS);
        Self { log, permits: Arc::new(Semaphore::new(max_streams)), max_streams }
    }

    /// The event log.
    pub fn log(&self) -> Arc<dyn EventLog> {
        Arc::clone(&self.log)
    }

    /// A monitor over a scratch log, with as many readers.
    pub(crate) async fn scratch_monitor(&self) -> Result<Self, EventLogError> {
        Ok(Self::with_log(self.log.scratch().await?, self.max_streams))
    }

    /// What is stored, and what was dropped.
    pub fn stats(&self) -> LogStats {
        self.log.stats()
    }

    /// The number of readers now.
    pub fn open_streams(&self) -> usize {
        self.max_streams - self.permits.available_permits()
    }
}

impl EventSink for InMemoryMonitor {
    fn emit(&self, event: Event) {
        self.log.append(event);
    }
}

impl MonitoringService for InMemoryMonitor {
    fn history(
        &self,
        id: Uuid,
        after: Option<u64>,
    ) -> BoxFuture<'_, Result<Option<History>, EventLogError>> {
        self.log.history(id, after.unwrap_or(0))
    }

    fn subscribe(
        &self,
        filter: Filter,
        after: Option<u64>,
    ) -> BoxFuture<'_, Result<Subscription, SubscribeError>> {
        Box::pin(async move {
            let permit = Arc::clone(&self.permits).try_acquire_owned();
            let permit = permit.map_err(|_| SubscribeError::TooMany)?;
            Subscription::new(Arc::clone(&self.log), filter, after, permit).await
        })
    }

    fn scratch(&self) -> BoxFuture<'_, Result<Arc<dyn MonitoringService>, EventLogError>> {
        Box::pin(async { Ok(Arc::new(self.scratch_monitor().await?) as _) })
    }
}

impl TestableComponent for InMemoryMonitor {
    fn name(&self) -> &'static str {
        "monitor"
    }

    fn self_test(&self) -> BoxFuture<'_, SelfTestResult> {
        Box::pin(async {
            let stats = self.log.check_invariants().map_err(|error| error.to_string())?;
            Ok(format!(
                "{} events of {} evaluations in about {} bytes; {} of {} streams open",
                stats.events,
                stats.evaluations,
                stats.bytes,
                self.open_streams(),
                self.max_streams
            ))
        })
    }

    fn test_suite(&self) -> Vec<TestCase<'_>> {
        self_test::suite(self)
    }
}
