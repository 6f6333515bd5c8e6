//! What this stage adds to `GET /metrics`: the subscribers of the bus, and webhooks.

use std::sync::Arc;

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::registry::Registry;
use stage_09_frontier::MoreMetrics;

use crate::bus::{EventBus, SubscriberStats};
use crate::webhooks::Webhooks;

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct SubscriberLabels {
    subscriber: &'static str,
}

/// The metrics of a bus and its webhooks, as long as there are these.
pub(crate) fn of(bus: &Arc<EventBus>, webhooks: &Arc<Webhooks>) -> MoreMetrics {
    let (bus, webhooks) = (Arc::downgrade(bus), Arc::downgrade(webhooks));
    Box::new(move |registry| {
        if let Some(bus) = bus.upgrade() {
            register_bus(registry.sub_registry_with_prefix("bus"), &bus.stats());
        }
        if let Some(webhooks) = webhooks.upgrade() {
            let help = "Attempts to deliver an event to a webhook, by their results";
            registry.register("webhook_attempts", help, webhooks.attempts().clone());
        }
    })
}

fn register_bus(registry: &mut Registry, subscribers: &[SubscriberStats]) {
    let mut add = |name: &str, help: &str, value: fn(&SubscriberStats) -> u64| {
        let family = Family::<SubscriberLabels, Counter>::default();
        for one in subscribers {
            // Subscribers of one name are counted together.
            let labels = SubscriberLabels { subscriber: one.name };
            family.get_or_create(&labels).inc_by(value(one));
        }
        registry.register(name, help, family);
    };
    add("delivered", "Events that a subscriber was sent", |one| one.delivered);
    add("dropped", "Events that a subscriber missed, because it was too slow", |one| one.dropped);
    add("failures", "Calls of a subscriber that failed, panicked or took too long", |one| {
        one.failed
    });
}
