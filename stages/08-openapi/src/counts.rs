//! How often the contract was not kept, and by whom.
//!
//! The counters stand beside those of the layers below: the answer to `GET /metrics` passes here, and
//! takes them along. A label is the name of an operation of the contract, so that no stranger can
//! make more of them.

use std::sync::atomic::{AtomicU64, Ordering};

use bytes::Bytes;
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::encoding::text::encode;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::registry::Registry;

use crate::operation::Operation;

/// What an `OpenMetrics` text ends with.
const END: &str = "# EOF\n";

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Refused {
    operation: String,
    status: u16,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Broken {
    operation: String,
}

/// All counters of this layer.
pub(crate) struct Counts {
    registry: Registry,
    refused: Family<Refused, Counter>,
    responses: Family<Broken, Counter>,
    events: Family<Broken, Counter>,
    /// Both of the last two, over all operations.
    total: AtomicU64,
}

impl Counts {
    // ANCHOR: new
    /// Counters for these operations, all of them zero: an alarm on a counter that is not there yet
    /// never goes off.
    pub(crate) fn new(operations: &[Operation]) -> Self {
        let (refused, responses, events) =
            (Family::default(), Family::default(), Family::default());
        let mut registry = Registry::with_prefix("crucible_contract");
        let help = "Requests that are not what the contract says, by operation and answer";
        registry.register("requests_refused", help, Family::clone(&refused));
        let help = "Responses that are not what the contract says, by operation";
        registry.register("responses_broken", help, Family::clone(&responses));
        let help = "Events that are not what the contract says, by operation";
        registry.register("events_broken", help, Family::clone(&events));
        let counts = Self { registry, refused, responses, events, total: AtomicU64::default() };
        for operation in operations {
            let broken = Broken { operation: operation.id.clone() };
            drop(counts.responses.get_or_create(&broken));
            if operation.has_stream() {
                drop(counts.events.get_or_create(&broken));
            }
        }
        counts
    }
    // ANCHOR_END: new

    pub(crate) fn refused(&self, operation: &str, status: http::StatusCode) {
        let labels = Refused { operation: operation.to_owned(), status: status.as_u16() };
        self.refused.get_or_create(&labels).inc();
    }

    pub(crate) fn broken_response(&self, operation: &str) {
        self.total.fetch_add(1, Ordering::Relaxed);
        self.responses.get_or_create(&Broken { operation: operation.to_owned() }).inc();
    }

    pub(crate) fn broken_event(&self, operation: &str) {
        self.total.fetch_add(1, Ordering::Relaxed);
        self.events.get_or_create(&Broken { operation: operation.to_owned() }).inc();
    }

    /// Responses and events that were not what the contract says, so far.
    pub(crate) fn broken(&self) -> u64 {
        self.total.load(Ordering::Relaxed)
    }

    // ANCHOR: beside
    /// These counters at the end of a text that has those of the layers below.
    pub(crate) fn beside(&self, below: &Bytes) -> Option<Bytes> {
        let below = std::str::from_utf8(below).ok()?.strip_suffix(END)?;
        let mut text = below.to_owned();
        encode(&mut text, &self.registry).ok()?;
        Some(text.into())
    }
    // ANCHOR_END: beside
}

#[cfg(test)]
mod tests {
    use http::StatusCode;

    use super::*;

    #[test]
    fn the_counters_stand_behind_those_of_the_layers_below() {
        let counts = Counts::new(&[]);
        counts.refused("submit", StatusCode::BAD_REQUEST);
        counts.broken_response("submit");
        counts.broken_response("submit");
        let text = counts.beside(&Bytes::from("# TYPE a gauge\na 1\n# EOF\n")).unwrap();
        let text = std::str::from_utf8(&text).unwrap();
        assert!(text.starts_with("# TYPE a gauge\na 1\n# HELP"), "{text}");
        for line in [
            "crucible_contract_requests_refused_total{operation=\"submit\",status=\"400\"} 1\n",
            "crucible_contract_responses_broken_total{operation=\"submit\"} 2\n",
        ] {
            assert!(text.contains(line), "{text}");
        }
        assert_eq!(text.matches(END).count(), 1);
        assert!(counts.beside(&Bytes::from("cut off")).is_none());
    }
}
