//! The events of workers on other machines: `queue.worker_started` and `queue.worker_stopped`, as of workers in the
//! process of stage 02.

use std::sync::Arc;

use serde_json::json;
use shared::{Event, EventSink, EventType, Evidence, harmless};
use uuid::Uuid;

use super::Fleet;
use super::state::{Member, State};

impl Fleet {
    /// Emits the events of workers to `events` from now on.
    pub(crate) fn emit_to(&self, events: Arc<dyn EventSink>) {
        self.events.set(events).ok(); // the first one stays
    }

    /// A worker has joined, or is seen again.
    pub(super) fn worker_started(&self, id: Uuid, member: &Member) {
        self.emit(EventType::WorkerStarted, id, member, None);
    }

    /// A worker has left, or is lost.
    pub(super) fn worker_stopped(&self, id: Uuid, member: &Member, reason: &'static str) {
        self.emit(EventType::WorkerStopped, id, member, Some(reason));
    }

    /// The engine of a worker fails its self test, as that of this process would: a rule makes it an alarm.
    pub(super) fn isolation_lost(&self, id: Uuid, member: &Member) {
        let (Some(events), Some(what)) = (self.events.get(), &member.failing) else { return };
        let evidence = Evidence::new("self_test")
            .with("detail", harmless(what))
            .with("worker", id.to_string())
            .with("name", member.announcement.name.as_str());
        let data = json!({ "component": self.options.engine, "evidence": evidence });
        events.emit(Event::now(EventType::SecurityViolation, None, data));
    }

    /// Reports the workers without a sign of life for the time of a lease, once each.
    pub(super) fn report_lost(&self) {
        let mut state = self.state();
        for (id, member) in &mut state.members {
            if !member.is_lost && member.seen.elapsed() >= self.options.lease {
                member.is_lost = true;
                self.worker_stopped(*id, member, "lost");
            }
        }
    }

    /// The data has no key and no address: every reader of all events sees it.
    fn emit(&self, kind: EventType, id: Uuid, member: &Member, reason: Option<&'static str>) {
        let Some(events) = self.events.get() else { return };
        let mut data =
            json!({ "worker": member.number, "id": id, "name": member.announcement.name });
        if let Some(reason) = reason {
            data["reason"] = reason.into();
        }
        events.emit(Event::now(kind, None, data));
    }
}

impl State {
    /// The number of a worker: the one that it has, or the next.
    pub(super) fn number_of(&mut self, worker: Uuid) -> u64 {
        if let Some(member) = self.members.get(&worker) {
            return member.number;
        }
        self.joined += 1;
        self.joined
    }
}
