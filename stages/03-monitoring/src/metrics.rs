//! What is counted, and how each event changes it.
//!
//! The names follow the rules of Prometheus: base units, the unit in the name, `_total` on what
//! only rises. No label has a value that a submitter can choose, so the number of series is fixed.

use std::collections::HashMap;
use std::sync::atomic::Ordering;
use std::sync::{Mutex, MutexGuard, PoisonError};

use jiff::Timestamp;
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::encoding::text::encode;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::{Registry, Unit};
use serde::Deserialize;
use shared::{Event, EventType, Outcome, QueueStats};
use uuid::Uuid;

use crate::event_log::LogStats;
use crate::sequenced::StoredEvent;

/// From a queue that is idle to one that is minutes behind, in seconds.
const WAIT_BUCKETS_SECONDS: [f64; 13] =
    [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.5, 1.0, 5.0, 15.0, 60.0, 300.0];
/// From a bare interpreter (10 ms) over a cold gVisor sandbox (300 ms) to the longest time-out.
const DURATION_BUCKETS_SECONDS: [f64; 14] =
    [0.005, 0.01, 0.025, 0.05, 0.1, 0.2, 0.3, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 300.0];

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Ended {
    outcome: &'static str,
    engine: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Limit {
    outcome: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Kind {
    r#type: String,
}

/// What metrics need of the data of an event.
#[derive(Deserialize)]
struct EndData {
    outcome: Outcome,
    #[serde(default)]
    engine: Option<String>,
}

/// An evaluation that has not ended.
#[derive(Clone, Copy)]
enum InFlight {
    Queued(Timestamp),
    Started(Timestamp),
}

/// All metrics of a stage. Nothing is global: two of these never see each other.
pub struct Metrics {
    registry: Registry,
    events: Family<Kind, Counter>,
    evaluations: Family<Ended, Counter>,
    durations: Family<Ended, Histogram>,
    waits: Histogram,
    limits: Family<Limit, Counter>,
    gauges: Gauges,
    evicted: Counter,
    gaps: Counter,
    /// By evaluation; an entry is removed at the end, so the queue's capacity bounds their number. Ties
    /// the start of an evaluation to its end, which are separate events.
    in_flight: Mutex<HashMap<Uuid, InFlight>>,
}

/// What is read when metrics are requested, instead of being counted.
#[derive(Default)]
struct Gauges {
    depth: Gauge,
    capacity: Gauge,
    oldest_wait: Gauge<f64, std::sync::atomic::AtomicU64>,
    workers: Gauge,
    busy: Gauge,
    running: Gauge,
    streams: Gauge,
    kept: Gauge,
    kept_bytes: Gauge,
}

impl Default for Metrics {
    fn default() -> Self {
        let mut metrics = Self {
            registry: Registry::with_prefix("crucible"),
            events: Family::default(),
            evaluations: Family::default(),
            durations: Family::new_with_constructor(|| Histogram::new(DURATION_BUCKETS_SECONDS)),
            waits: Histogram::new(WAIT_BUCKETS_SECONDS),
            limits: Family::default(),
            gauges: Gauges::default(),
            evicted: Counter::default(),
            gaps: Counter::default(),
            in_flight: Mutex::default(),
        };
        metrics.register_counters();
        metrics.register_gauges();
        metrics
    }
}

impl Metrics {
    // ANCHOR: register
    fn register_counters(&mut self) {
        let registry = &mut self.registry;
        let help = "Evaluations that have ended, by outcome and engine";
        registry.register("evaluations", help, self.evaluations.clone());
        let help = "Time from the start of an evaluation to its end, by outcome and engine";
        let durations = self.durations.clone();
        registry.register_with_unit("evaluation_duration", help, Unit::Seconds, durations);
        let help = "Time that an evaluation waited for a worker";
        registry.register_with_unit("queue_wait", help, Unit::Seconds, self.waits.clone());
        let help = "Evaluations that a limit has ended, by outcome";
        registry.register("limits_exceeded", help, self.limits.clone());
        let help = "Events that were emitted, by type";
        registry.register("events", help, self.events.clone());
        let help = "Events of evaluations that are not kept any more";
        registry.register("events_evicted", help, self.evicted.clone());
        let help = "Times that a reader was told it missed events";
        registry.register("event_stream_gaps", help, self.gaps.clone());
    }
    // ANCHOR_END: register

    fn register_gauges(&mut self) {
        let (registry, gauges) = (&mut self.registry, &self.gauges);
        for (name, help, gauge) in [
            ("queue_depth", "Evaluations that wait for a worker", &gauges.depth),
            ("queue_capacity", "Evaluations that may wait for a worker", &gauges.capacity),
            ("workers", "Workers", &gauges.workers),
            ("workers_busy", "Workers that have an evaluation", &gauges.busy),
            ("evaluations_running", "Evaluations that have started and not ended", &gauges.running),
            ("event_streams_open", "Readers that follow events", &gauges.streams),
            ("events_kept", "Events of evaluations that are kept", &gauges.kept),
        ] {
            registry.register(name, help, gauge.clone());
        }
        let help = "Memory that kept events take, about";
        registry.register_with_unit("events_kept", help, Unit::Bytes, gauges.kept_bytes.clone());
        let (help, wait) = ("Time the oldest waiting evaluation has waited", &gauges.oldest_wait);
        registry.register_with_unit("queue_oldest_wait", help, Unit::Seconds, wait.clone());
    }

    /// Counts one event. Called for each, in the order of emission; it never waits.
    pub fn count(&self, event: &Event) {
        let data = || event.data_as().ok();
        self.count_event(&event.kind, event.subject, event.time, data);
    }

    /// The same, for an event of the log. For each either this is called or [`Self::count`].
    pub fn count_stored(&self, event: &StoredEvent) {
        let data = || serde_json::from_str(event.data.get()).ok();
        self.count_event(&event.kind, event.subject, event.time, data);
    }

    // ANCHOR: count
    fn count_event(
        &self,
        kind: &EventType,
        subject: Option<Uuid>,
        time: Timestamp,
        data: impl FnOnce() -> Option<EndData>,
    ) {
        self.events.get_or_create(&Kind { r#type: kind.to_string() }).inc();
        let Some(id) = subject else { return };
        match kind {
            EventType::EvaluationQueued => {
                self.in_flight().insert(id, InFlight::Queued(time));
            }
            EventType::EvaluationStarted => {
                let before = self.in_flight().insert(id, InFlight::Started(time));
                if let Some(InFlight::Queued(queued)) = before {
                    self.waits.observe(seconds(queued, time));
                }
            }
            EventType::ResourceLimitExceeded => {
                if let Some(EndData { outcome, .. }) = data() {
                    self.limits.get_or_create(&Limit { outcome: outcome.as_str() }).inc();
                }
            }
            kind if kind.is_final() => self.count_end(id, time, data()),
            _ => {}
        }
    }
    // ANCHOR_END: count

    fn count_end(&self, id: Uuid, time: Timestamp, end: Option<EndData>) {
        let before = self.in_flight().remove(&id);
        // Without an outcome it is no evaluation, but a self test of the monitor.
        let Some(end) = end else { return };
        let engine = end.engine.unwrap_or_else(|| "none".to_owned());
        let ended = Ended { outcome: end.outcome.as_str(), engine };
        self.evaluations.get_or_create(&ended).inc();
        if let Some(InFlight::Started(started)) = before {
            self.durations.get_or_create(&ended).observe(seconds(started, time));
        }
    }

    /// How many events of this type were emitted.
    pub(crate) fn emitted(&self, kind: &EventType) -> u64 {
        self.events.get_or_create(&Kind { r#type: kind.to_string() }).get()
    }

    /// Everything in the `OpenMetrics` text format.
    pub fn text(&self, queue: QueueStats, log: LogStats, streams: usize) -> String {
        let gauges = &self.gauges;
        let running = self.in_flight().values().filter(|one| one.is_running()).count();
        for (gauge, value) in [
            (&gauges.depth, queue.depth),
            (&gauges.capacity, queue.capacity),
            (&gauges.workers, queue.workers),
            (&gauges.busy, queue.workers_busy),
            (&gauges.running, running),
            (&gauges.streams, streams),
            (&gauges.kept, usize::try_from(log.events).unwrap_or(usize::MAX)),
            (&gauges.kept_bytes, log.bytes),
        ] {
            gauge.set(i64::try_from(value).unwrap_or(i64::MAX));
        }
        gauges
            .oldest_wait
            .set(std::time::Duration::from_millis(queue.oldest_wait_ms).as_secs_f64());
        // Two requests at once may come here in the other order; a counter must not go back.
        self.evicted.inner().fetch_max(log.evicted, Ordering::Relaxed);
        self.gaps.inner().fetch_max(log.gaps, Ordering::Relaxed);
        let mut text = String::new();
        encode(&mut text, &self.registry).ok(); // writing to a String cannot fail
        text
    }

    fn in_flight(&self) -> MutexGuard<'_, HashMap<Uuid, InFlight>> {
        self.in_flight.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl InFlight {
    fn is_running(self) -> bool {
        matches!(self, Self::Started(_))
    }
}

/// The time between two events; 0 when the clock was set back in between.
fn seconds(from: Timestamp, to: Timestamp) -> f64 {
    to.duration_since(from).as_secs_f64().max(0.0)
}

#[cfg(test)]
mod tests;
