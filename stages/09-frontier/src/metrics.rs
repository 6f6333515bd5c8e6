//! What this stage adds to `GET /metrics`: the database and its writer, keys and limits.
//!
//! They are appended to the metrics of the layers below, outside the contract, where requests are counted
//! that no layer below sees.

use std::sync::Arc;

use bytes::Bytes;
use http::StatusCode;
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::encoding::text::encode;
use prometheus_client::metrics::counter::{ConstCounter, Counter};
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::ConstGauge;
use prometheus_client::registry::{Registry, Unit};

use crate::accounts::Keys;
use crate::limits::Quotas;
use crate::store::Store;

/// Ends every text of this format.
const END: &str = "# EOF\n";
/// What can become of a request at the layer that knows each client. All are there from the start: an
/// alarm on a time series that does not exist yet never fires.
const RESULTS: [&str; 4] = ["allowed", "unauthorized", "forbidden", "limited"];

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ResultLabels {
    result: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct StateLabels {
    state: &'static str,
}

/// Adds the metrics of a later stage.
pub type MoreMetrics = Box<dyn Fn(&mut Registry) + Send + Sync>;

/// The metrics of one server.
pub(crate) struct FrontierMetrics {
    more: Vec<MoreMetrics>,
    store: Arc<Store>,
    keys: Arc<Keys>,
    quotas: Arc<Quotas>,
    requests: Family<ResultLabels, Counter>,
}

impl FrontierMetrics {
    pub(crate) fn new(store: Arc<Store>, keys: Arc<Keys>, quotas: Arc<Quotas>) -> Self {
        let requests = Family::default();
        for result in RESULTS {
            drop(requests.get_or_create(&ResultLabels { result }));
        }
        Self { more: Vec::new(), store, keys, quotas, requests }
    }

    /// The same, with those of a later stage.
    pub(crate) fn with(self, more: Vec<MoreMetrics>) -> Self {
        Self { more, ..self }
    }

    /// Counts a request that is allowed, or was refused with this status.
    pub(crate) fn count(&self, refused: Option<StatusCode>) {
        let result = match refused {
            None => "allowed",
            Some(StatusCode::UNAUTHORIZED) => "unauthorized",
            Some(StatusCode::FORBIDDEN) => "forbidden",
            Some(StatusCode::TOO_MANY_REQUESTS) => "limited",
            Some(_) => return, // for another reason than its client
        };
        self.requests.get_or_create(&ResultLabels { result }).inc();
    }

    /// Appends these metrics to those of the layers below. None if they are no `OpenMetrics` text.
    pub(crate) async fn append_to(&self, below: &Bytes, clients: usize) -> Option<Bytes> {
        let mut text = std::str::from_utf8(below).ok()?.strip_suffix(END)?.to_owned();
        let mut registry = Registry::with_prefix("crucible");
        self.register_storage(&mut registry);
        self.register_access(&mut registry, clients).await;
        for more in &self.more {
            more(&mut registry);
        }
        encode(&mut text, &registry).ok()?;
        Some(text.into())
    }

    fn register_storage(&self, registry: &mut Registry) {
        let registry = registry.sub_registry_with_prefix("storage");
        let (stats, (database, wal)) = (self.store.stats(), self.store.bytes());
        let bytes = |bytes| ConstGauge::new(i64::try_from(bytes).unwrap_or(i64::MAX));
        let help = "Size of the database, without its WAL";
        registry.register_with_unit("database", help, Unit::Bytes, bytes(database));
        let help = "Size of the write-ahead log; work is refused while it is too long";
        registry.register_with_unit("wal", help, Unit::Bytes, bytes(wal));
        let help = "Transactions, from their beginning to the flush to disk";
        registry.register_with_unit("commit", help, Unit::Seconds, self.store.latency().clone());
        let help = "Pieces of work that were committed; several share a transaction";
        registry.register("writes", help, ConstCounter::new(stats.jobs));
        let help = "Transactions that were not committed";
        registry.register("failed_commits", help, ConstCounter::new(stats.failures));
        let help = "Pieces of work that wait for the writer";
        let waiting = i64::try_from(stats.waiting).unwrap_or(i64::MAX);
        registry.register("writes_waiting", help, ConstGauge::new(waiting));
    }

    async fn register_access(&self, registry: &mut Registry, clients: usize) {
        let help = "Requests by what the layer that knows each client did with them";
        registry.register("access_requests", help, self.requests.clone());
        let help = "Submissions that were refused because of a quota of their key";
        registry.register("quota_refusals", help, ConstCounter::new(self.quotas.refused()));
        let help = "Clients whose requests are counted now";
        let clients = i64::try_from(clients).unwrap_or(i64::MAX);
        registry.register("rate_limited_clients", help, ConstGauge::new(clients));
        let (all, active) = match self.keys.count().await {
            Ok(counted) => counted,
            Err(error) => {
                tracing::warn!(%error, "the keys were not counted");
                return;
            }
        };
        let keys = Family::<StateLabels, prometheus_client::metrics::gauge::Gauge>::default();
        for (state, count) in [("active", active), ("inactive", all.saturating_sub(active))] {
            let count = i64::try_from(count).unwrap_or(i64::MAX);
            keys.get_or_create(&StateLabels { state }).set(count);
        }
        registry.register("keys", "Keys, and those that expired or were revoked", keys);
    }
}
