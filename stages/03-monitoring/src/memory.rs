//! A monitor that keeps and streams, and nothing more.
//!
//! Everything is in memory: a restart forgets it. A reader that comes back after a restart is told
//! so, because numbers never repeat: they start at the time of the start, in microseconds, and no
//! server emits a million events a second for all of its life.

use std::sync::Arc;

use jiff::Timestamp;
use shared::component::CheckResult;
use shared::{BoxFuture, Event, EventSink, TestCase, TestableComponent};
use tokio::sync::Semaphore;
use uuid::Uuid;

use crate::checks;
use crate::log::{EventLog, EventLogLimits, LogStats};
use crate::service::{History, MonitoringService};
use crate::subscription::{Filter, SubscribeError, Subscription};

/// What can be set about a monitor.
#[derive(Debug, Clone, Copy)]
pub struct MonitorOptions {
    /// How much is kept.
    pub retention: EventLogLimits,
    /// Readers at one moment. One more is refused.
    pub max_streams: usize,
}

impl Default for MonitorOptions {
    fn default() -> Self {
        Self { retention: EventLogLimits::default(), max_streams: 256 }
    }
}

/// Keeps the newest events in memory and lets readers follow them.
pub struct InMemoryMonitor {
    log: Arc<EventLog>,
    places: Arc<Semaphore>,
    max_streams: usize,
}

impl InMemoryMonitor {
    /// An empty monitor.
    pub fn new(options: MonitorOptions) -> Self {
        let start = u64::try_from(Timestamp::now().as_microsecond()).unwrap_or(0).max(1);
        let max_streams = options.max_streams.min(Semaphore::MAX_PERMITS);
        Self {
            log: Arc::new(EventLog::new(options.retention, start)),
            places: Arc::new(Semaphore::new(max_streams)),
            max_streams,
        }
    }

    /// What is kept, and what had to be let go.
    pub fn held(&self) -> LogStats {
        self.log.held()
    }

    /// How many readers there are now.
    pub fn open_streams(&self) -> usize {
        self.max_streams - self.places.available_permits()
    }
}

impl EventSink for InMemoryMonitor {
    fn emit(&self, event: Event) {
        self.log.append(event);
    }
}

impl MonitoringService for InMemoryMonitor {
    fn history(&self, id: Uuid, after: Option<u64>) -> Option<History> {
        let (missed, events) = self.log.history(id, after.unwrap_or(0))?;
        Some(History { missed, events })
    }

    fn subscribe(
        &self,
        filter: Filter,
        after: Option<u64>,
    ) -> Result<Subscription, SubscribeError> {
        let place = Arc::clone(&self.places).try_acquire_owned();
        let place = place.map_err(|_| SubscribeError::TooMany)?;
        Subscription::new(Arc::clone(&self.log), filter, after, place)
    }
}

impl TestableComponent for InMemoryMonitor {
    fn name(&self) -> &'static str {
        "monitor"
    }

    fn self_test(&self) -> BoxFuture<'_, CheckResult> {
        Box::pin(async {
            let held = self.log.audit()?;
            Ok(format!(
                "{} events of {} evaluations in about {} bytes; {} of {} streams open",
                held.events,
                held.evaluations,
                held.bytes,
                self.open_streams(),
                self.max_streams
            ))
        })
    }

    fn test_suite(&self) -> Vec<TestCase<'_>> {
        checks::suite(self)
    }
}
