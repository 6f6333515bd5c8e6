//! Contract violations by side: requests of clients, responses and events of the server.
//!
//! They are appended to the response to `GET /metrics`, which passes here. A label is the id of an
//! operation of the contract, so that no client can create more time series.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use bytes::Bytes;
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::encoding::text::encode;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::registry::Registry;

use crate::operation::Operation;

/// The last line of an `OpenMetrics` text.
const END: &str = "# EOF\n";

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct RejectionLabels {
    operation: String,
    status: u16,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ViolationLabels {
    operation: String,
}

/// The metrics of this layer.
pub(crate) struct ContractMetrics {
    registry: Registry,
    refused: Family<RejectionLabels, Counter>,
    responses: Family<ViolationLabels, Counter>,
    events: Family<ViolationLabels, Counter>,
    /// The sum of the last two over all operations.
    total: AtomicU64,
}

impl ContractMetrics {
    // ANCHOR: new
    /// Metrics of these operations, all of them zero: an alarm on a time series that does not exist
    /// yet never fires.
    pub(crate) fn new(operations: &[Arc<Operation>]) -> Self {
        let (refused, responses, events) =
            (Family::default(), Family::default(), Family::default());
        let mut registry = Registry::with_prefix("crucible_contract");
        let help = "Requests that are not what the contract says, by operation and answer";
        registry.register("requests_refused", help, Family::clone(&refused));
        let help = "Responses that are not what the contract says, by operation";
        registry.register("responses_broken", help, Family::clone(&responses));
        let help = "Events that are not what the contract says, by operation";
        registry.register("events_broken", help, Family::clone(&events));
        let metrics = Self { registry, refused, responses, events, total: AtomicU64::default() };
        for operation in operations {
            let labels = ViolationLabels { operation: operation.id.clone() };
            drop(metrics.responses.get_or_create(&labels));
            if operation.has_events() {
                drop(metrics.events.get_or_create(&labels));
            }
        }
        metrics
    }
    // ANCHOR_END: new

    pub(crate) fn rejected(&self, operation: &str, status: http::StatusCode) {
        let labels = RejectionLabels { operation: operation.to_owned(), status: status.as_u16() };
        self.refused.get_or_create(&labels).inc();
    }

    pub(crate) fn response_violation(&self, operation: &str) {
        self.total.fetch_add(1, Ordering::Relaxed);
        self.responses.get_or_create(&ViolationLabels { operation: operation.to_owned() }).inc();
    }

    pub(crate) fn event_violation(&self, operation: &str) {
        self.total.fetch_add(1, Ordering::Relaxed);
        self.events.get_or_create(&ViolationLabels { operation: operation.to_owned() }).inc();
    }

    /// Responses and events that violated the contract so far.
    pub(crate) fn violations(&self) -> u64 {
        self.total.load(Ordering::Relaxed)
    }

    // ANCHOR: append_to
    /// Appends these metrics to those of the inner service. None if they are no `OpenMetrics` text.
    pub(crate) fn append_to(&self, below: &Bytes) -> Option<Bytes> {
        let below = std::str::from_utf8(below).ok()?.strip_suffix(END)?;
        let mut text = below.to_owned();
        encode(&mut text, &self.registry).ok()?;
        Some(text.into())
    }
    // ANCHOR_END: append_to
}

#[cfg(test)]
mod tests {
    use http::StatusCode;

    use super::*;

    #[test]
    fn they_are_appended_to_the_metrics_of_the_layers_below() {
        let metrics = ContractMetrics::new(&[]);
        metrics.rejected("submit", StatusCode::BAD_REQUEST);
        metrics.response_violation("submit");
        metrics.response_violation("submit");
        let text = metrics.append_to(&Bytes::from("# TYPE a gauge\na 1\n# EOF\n")).unwrap();
        let text = std::str::from_utf8(&text).unwrap();
        assert!(text.starts_with("# TYPE a gauge\na 1\n# HELP"), "{text}");
        for line in [
            "crucible_contract_requests_refused_total{operation=\"submit\",status=\"400\"} 1\n",
            "crucible_contract_responses_broken_total{operation=\"submit\"} 2\n",
        ] {
            assert!(text.contains(line), "{text}");
        }
        assert_eq!(text.matches(END).count(), 1);
        assert!(metrics.append_to(&Bytes::from("cut off")).is_none());
    }
}
