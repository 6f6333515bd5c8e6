//! What is one transaction: an acceptance, its events, and its row in the audit log.

use std::sync::Arc;

use shared::{Event, EventType, NoopSink, RequestContext, Submission};
use stage_02_queue::{Accepted, Change, Journal as _, Transition};
use uuid::Uuid;

use super::*;
use crate::store::Connection;
use crate::store::DataDir;

async fn journal() -> SqliteJournal {
    let store = Store::open(DataDir::scratch().unwrap()).unwrap();
    let files = FileStorage::open(store.directory().files()).unwrap();
    let log = SqliteEventLog::open(Arc::clone(&store)).await.unwrap();
    let (unpublished, monitor) = (Arc::default(), Arc::new(NoopSink));
    SqliteJournal { store, log, files, unpublished, monitor }
}

fn accepted(principal: Option<&str>) -> Change {
    let (id, limits) = (Uuid::now_v7(), limits());
    let evaluation = serde_json::json!({
        "id": id, "status": "queued", "outcome": null, "exit_code": null, "signal": null,
        "stdout": { "text": "", "encoding": "utf8", "bytes_total": 0, "truncated": false },
        "stderr": { "text": "", "encoding": "utf8", "bytes_total": 0, "truncated": false },
        "limits": limits, "timing": { "submitted_at": "2026-01-01T00:00:00Z" }, "attempt": 1,
    });
    let submission = Submission::new("print('a secret')", limits);
    let principal = principal.map(str::to_owned);
    let context = RequestContext { principal, ..RequestContext::internal() };
    let evaluation = serde_json::from_value(evaluation).unwrap();
    Change {
        events: vec![Event::now(EventType::EvaluationQueued, Some(id), json!({ "depth": 0 }))],
        transition: Transition::Accepted(Box::new(Accepted { evaluation, submission, context })),
    }
}

fn limits() -> shared::Limits {
    shared::Limits {
        timeout_seconds: 1.0,
        cpu_seconds: 1.0,
        memory_bytes: 1 << 26,
        pids: 8,
        output_bytes: 1 << 10,
        disk_bytes: 1 << 20,
        open_files: 16,
    }
}

/// Rows of evaluations, of events and of the audit log.
async fn counts(journal: &SqliteJournal) -> [i64; 3] {
    let counts = journal.store.read(|db| {
        let count = |table: &str| {
            db.query_row(&format!("SELECT count(*) FROM {table}"), [], |row| row.get(0))
        };
        Ok([count("evaluations")?, count("events")?, count("audit")?])
    });
    counts.await.unwrap()
}

#[tokio::test]
async fn an_acceptance_and_its_row_in_the_audit_log_are_one_transaction() {
    let journal = journal().await;
    journal.commit(&accepted(Some("a key"))).await.unwrap();
    journal.commit_all(&[accepted(Some("a key")), accepted(Some("a key"))]).await.unwrap();
    assert_eq!(counts(&journal).await, [3, 3, 3]);
    // What the platform does by itself is not in the log.
    journal.commit(&accepted(None)).await.unwrap();
    assert_eq!(counts(&journal).await, [4, 4, 3]);
    let rows = journal.store.read(|db| {
        let sql = "SELECT group_concat(actor || action || target || detail) FROM audit";
        Ok(db.query_row(sql, [], |row| row.get::<_, String>(0))?)
    });
    let rows = rows.await.unwrap();
    assert!(rows.contains("evaluation.submit") && !rows.contains("a secret"), "{rows}");
    // A log that cannot be written: nothing is accepted.
    let broken = |db: &Connection| {
        Ok(db.execute_batch(
            "CREATE TRIGGER full BEFORE INSERT ON audit BEGIN SELECT raise(ABORT, 'full'); END",
        )?)
    };
    journal.store.write(broken).await.unwrap();
    assert!(journal.commit(&accepted(Some("a key"))).await.is_err());
    assert!(journal.commit_all(&[accepted(None), accepted(Some("a key"))]).await.is_err());
    assert_eq!(counts(&journal).await, [4, 4, 3]);
}
