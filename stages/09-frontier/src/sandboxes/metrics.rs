//! What is counted of sandboxes that stay.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::{ConstCounter, Counter};
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::ConstGauge;
use prometheus_client::registry::{Registry, Unit};

use super::execution::{OUTCOMES, Outcome};
use super::quota::Quotas;
use super::state::{END_REASONS, EndReason};
use crate::metrics::MoreMetrics;

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ReasonLabels {
    reason: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OutcomeLabels {
    outcome: &'static str,
}

/// The counters of one server.
pub(super) struct Counters {
    open: AtomicI64,
    running: AtomicI64,
    /// Bytes of outputs that are stored of executions that have ended.
    pub(super) stored_bytes: Arc<AtomicU64>,
    ended: Family<ReasonLabels, Counter>,
    executed: Family<OutcomeLabels, Counter>,
    quotas: Arc<Quotas>,
}

impl Counters {
    pub(super) fn new(quotas: Arc<Quotas>) -> Arc<Self> {
        let (ended, executed) = (Family::default(), Family::default());
        for reason in END_REASONS {
            drop(ended.get_or_create(&ReasonLabels { reason: reason.as_str() }));
        }
        for outcome in OUTCOMES {
            drop(executed.get_or_create(&OutcomeLabels { outcome: outcome.as_str() }));
        }
        Arc::new(Self {
            open: AtomicI64::new(0),
            running: AtomicI64::new(0),
            stored_bytes: Arc::default(),
            ended,
            executed,
            quotas,
        })
    }

    pub(super) fn opened(&self) {
        self.open.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn closed(&self) {
        self.open.fetch_sub(1, Ordering::Relaxed);
    }

    pub(super) fn ended(&self, reason: EndReason) {
        self.ended.get_or_create(&ReasonLabels { reason: reason.as_str() }).inc();
    }

    pub(super) fn started(&self) {
        self.running.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn executed(&self, outcome: Outcome) {
        self.running.fetch_sub(1, Ordering::Relaxed);
        self.executed.get_or_create(&OutcomeLabels { outcome: outcome.as_str() }).inc();
    }

    fn register(&self, registry: &mut Registry) {
        let gauge = |value: &AtomicI64| ConstGauge::new(value.load(Ordering::Relaxed));
        let help = "Sandboxes that stay and have not ended";
        registry.register("sandboxes_open", help, gauge(&self.open));
        let help = "Sandboxes that stay and have ended, by the reason";
        registry.register("sandboxes_ended", help, self.ended.clone());
        let help = "Executions that run in sandboxes that stay";
        registry.register("sandbox_execs_running", help, gauge(&self.running));
        let help = "Executions in sandboxes that stay, by how they ended";
        registry.register("sandbox_execs", help, self.executed.clone());
        let help = "Output of executions that is stored until their sandbox ends";
        let bytes = i64::try_from(self.stored_bytes.load(Ordering::Relaxed)).unwrap_or(i64::MAX);
        registry.register_with_unit("sandbox_output", help, Unit::Bytes, ConstGauge::new(bytes));
        let help = "Requests for a sandbox that were refused because of a quota of their key";
        let refused = self.quotas.refused();
        registry.register("sandbox_quota_refusals", help, ConstCounter::new(refused));
    }
}

/// The metrics, for `GET /metrics`.
pub(super) fn of(counters: &Arc<Counters>) -> MoreMetrics {
    let counters = Arc::clone(counters);
    Box::new(move |registry| counters.register(registry))
}
