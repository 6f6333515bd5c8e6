//! The event that the isolation is not in force any more.
//!
//! The platform verifies its engine again and again, and accepts no work while that fails. Here this
//! becomes an event, so that a rule can make it an alarm, and the streams and the frontend show it.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use serde_json::json;
use shared::{Event, EventType, Evidence};
use stage_06_advanced::{ComponentHealth, Platform};

use crate::bus::EventBus;

/// How often the results are looked at. Self tests are rarer.
const POLL_INTERVAL: Duration = Duration::from_secs(1);

/// The results of the self tests by the name of the component.
type Results = BTreeMap<String, Option<ComponentHealth>>;

/// Publishes an event each time that `component` of `platform` begins to fail its self test.
pub(crate) fn watch(bus: &Arc<EventBus>, platform: &Platform, component: &'static str) {
    // Neither keeps the other alive: the task ends with the bus.
    let (bus, health) = (Arc::downgrade(bus), Arc::downgrade(platform.health()));
    tokio::spawn(async move {
        let mut failing = BTreeSet::new();
        loop {
            tokio::time::sleep(POLL_INTERVAL).await;
            let (Some(bus), Some(health)) = (bus.upgrade(), health.upgrade()) else { return };
            if let Some(event) = look(&health.results(), component, &mut failing) {
                bus.publish(event);
            }
        }
    });
}

// ANCHOR: look
/// The event of a component that has passed until now, and does not any more.
fn look(results: &Results, component: &str, failing: &mut BTreeSet<String>) -> Option<Event> {
    let health = results.get(component)?.as_ref()?;
    if health.passed {
        failing.remove(component);
        return None;
    }
    if !failing.insert(component.to_owned()) {
        return None;
    }
    let evidence = Evidence::new("self_test")
        .with("detail", health.detail.as_str())
        .with("tested_at", health.tested_at.to_string());
    let data = json!({ "component": component, "evidence": evidence });
    Some(Event::now(EventType::SecurityViolation, None, data))
}
// ANCHOR_END: look

#[cfg(test)]
mod tests {
    use jiff::Timestamp;

    use super::*;

    fn results(passed: bool, detail: &str) -> Results {
        let health = ComponentHealth {
            passed,
            timed_out: false,
            detail: detail.to_owned(),
            tested_at: Timestamp::now(),
            millis: 1,
        };
        Results::from([("gvisor".to_owned(), Some(health)), ("bus".to_owned(), None)])
    }

    #[test]
    fn a_lost_isolation_is_one_event_with_its_evidence() {
        let mut failing = BTreeSet::new();
        let bad = results(false, "the network is reachable");
        assert!(look(&results(true, ""), "gvisor", &mut failing).is_none());
        let event = look(&bad, "gvisor", &mut failing).unwrap();
        assert_eq!(event.kind, EventType::SecurityViolation);
        assert_eq!(event.data["evidence"]["decided_by"], "self_test");
        assert_eq!(event.data["evidence"]["detail"], "the network is reachable");
        // Once, until it has passed again. Another component is no isolation.
        assert!(look(&bad, "gvisor", &mut failing).is_none());
        assert!(look(&results(true, ""), "gvisor", &mut failing).is_none());
        assert!(look(&bad, "gvisor", &mut failing).is_some());
        assert!(look(&bad, "bus", &mut failing).is_none());
    }
}
