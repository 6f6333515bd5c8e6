//! Rows of the audit log about what happens without a request: the isolation is lost, a limit has ended a program,
//! the platform starts and stops.
//!
//! The row is written in the transaction that moves the cursor, so that a crash neither loses nor doubles it.

use std::sync::Arc;

use rusqlite::Connection;
use serde::Deserialize;
use serde_json::value::RawValue;
use shared::{BoxError, BoxFuture};
use stage_03_monitoring::SequencedEvent;
use stage_09_frontier::{AuditEntry, AuditLog};

use crate::bus::{DurableHandler, Work};

/// The events with a row, by the beginning of their type.
const AUDITED: [&str; 3] = ["security.", "resource.", "platform."];

/// The durable subscriber `audit`.
pub(crate) struct AuditEvents;

/// What the row has of the data of an event that has evidence.
#[derive(Deserialize)]
struct WithEvidence<'a> {
    #[serde(borrow)]
    evidence: &'a RawValue,
}

impl DurableHandler for AuditEvents {
    fn name(&self) -> &'static str {
        "audit"
    }

    // ANCHOR: handle
    fn handle<'a>(
        &'a self,
        event: &'a Arc<SequencedEvent>,
    ) -> BoxFuture<'a, Result<Option<Work>, BoxError>> {
        let entry = entry(event);
        Box::pin(async move {
            Ok(entry.map(|entry| {
                Box::new(move |db: &Connection| AuditLog::append_in(db, &entry)) as Work
            }))
        })
    }
    // ANCHOR_END: handle
}

fn entry(event: &SequencedEvent) -> Option<AuditEntry> {
    let stored = &event.event;
    let kind = stored.kind.as_str();
    AUDITED.iter().find(|prefix| kind.starts_with(**prefix))?;
    let target = stored.subject.map(|id| id.to_string()).unwrap_or_default();
    let data = stored.data.get();
    let evidence = serde_json::from_str::<WithEvidence<'_>>(data).map(|data| data.evidence.get());
    Some(AuditEntry::of_platform(stored.time, kind, &target, evidence.unwrap_or(data)))
}

#[cfg(test)]
mod tests {
    use serde_json::json;
    use shared::{Event, EventType};
    use uuid::Uuid;

    use super::*;

    #[test]
    fn a_row_has_the_evidence_and_no_output() {
        let id = Uuid::now_v7();
        let of = |kind, data| {
            let event = Event::now(kind, Some(id), data).into();
            entry(&SequencedEvent { sequence: 1, event })
        };
        let data = json!({ "outcome": "pids_exceeded", "evidence": { "decided_by": "pids" } });
        let row = of(EventType::ResourceLimitExceeded, data).unwrap();
        assert_eq!((row.actor.as_str(), row.target), ("platform", id.to_string()));
        assert_eq!(row.detail, r#"{"decided_by":"pids"}"#);
        assert!(of(EventType::EvaluationProgress, json!({ "text": "output" })).is_none());
        assert!(of(EventType::EvaluationFailed, json!({})).is_none());
    }
}
