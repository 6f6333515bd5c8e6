//! What is one transaction: an acceptance, its events, and its row in the audit log.

use std::sync::Arc;

use harness::FakeEngine;
use shared::{
    Artifact, Evaluation, Evaluations as _, Event, EventType, NoopSink, RequestContext, Status,
    Submission,
};
use stage_02_queue::{
    Accepted, ArchiveLimits, Change, InMemoryArchive, Journal as _, Ledger, LedgerParts,
    QueueOptions, QueueParts, TaskQueue, Transition,
};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::*;
use crate::PriorityDispatch;
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

/// The end of an evaluation whose program has left these files.
fn ended(evaluation: &Evaluation, contents: impl Iterator<Item = String>) -> Change {
    let mut ended = evaluation.clone();
    let artifacts = (0..).zip(contents);
    ended.artifacts = artifacts
        .map(|(n, text)| Artifact::new(format!("f{n:02}").as_bytes(), text.into()))
        .collect();
    ended.status = shared::Status::Completed;
    ended.outcome = Some(shared::Outcome::Exited);
    ended.timing.finished_at = Some(ended.timing.submitted_at);
    Change {
        events: vec![Event::now(EventType::EvaluationCompleted, Some(ended.id), json!({}))],
        transition: Transition::Ended(Box::new(ended)),
    }
}

async fn accept(journal: &SqliteJournal) -> Evaluation {
    let change = accepted(None);
    let Transition::Accepted(accepted) = &change.transition else { panic!() };
    journal.commit(&change).await.unwrap();
    accepted.evaluation.clone()
}

#[tokio::test]
async fn sixty_four_files_cost_the_flushes_of_one() {
    let journal = journal().await;
    let flushes = async |files: usize| {
        let evaluation = accept(&journal).await;
        let before = journal.files.flushes();
        let contents = (0..files).map(|n| format!("{n} of {}", evaluation.id));
        journal.commit(&ended(&evaluation, contents)).await.unwrap();
        (journal.files.flushes() - before, evaluation.id)
    };
    let (without, _) = flushes(0).await;
    let (of_one, _) = flushes(1).await;
    let (of_many, id) = flushes(64).await;
    assert_eq!((without, of_one, of_many), (0, 3, 3), "a file, its directory, and the one above");
    // Each is found by its own hash, and all of them go with their evaluation.
    let rows = journal.store.read(move |db| {
        let sql = "SELECT count(DISTINCT digest), count(DISTINCT pack) FROM artifacts
                   WHERE evaluation = ?1";
        Ok(db.query_row(sql, [id.into_bytes()], |row| Ok((row.get::<_, i64>(0)?, row.get(1)?)))?)
    });
    assert_eq!(rows.await.unwrap(), (64, 1_i64));
    let deleted = journal.store.write(move |db| rows::delete(db, id)).await.unwrap().unwrap();
    assert_eq!(deleted.len(), 1, "one file: {deleted:?}");
    let left = journal.store.read(|db| {
        Ok(db.query_row("SELECT count(*), sum(uses) FROM files", [], |row| {
            Ok((row.get::<_, i64>(0)?, row.get::<_, i64>(1)?))
        })?)
    });
    assert_eq!(left.await.unwrap(), (1, 1), "that of the evaluation with one file");
}

/// An evaluation of schema 3, whose files were a file each.
#[tokio::test]
async fn files_of_before_are_found_and_deleted() {
    let journal = journal().await;
    let evaluation = accept(&journal).await;
    let id = evaluation.id;
    let contents = ["first", "second"].map(str::to_owned);
    journal.commit(&ended(&evaluation, contents.into_iter())).await.unwrap();
    let files = ["first", "second"].map(|text| journal.files.put(&[text.as_bytes()]).unwrap());
    let digests = files.map(|file| file.digest().to_owned());
    let before = digests.clone();
    let write = move |db: &Connection| {
        db.execute("DELETE FROM files", [])?;
        db.execute("UPDATE artifacts SET pack = NULL", [])?;
        for digest in before {
            db.execute("INSERT INTO files VALUES (?1, 6, 1)", [digest])?;
        }
        Ok(())
    };
    journal.store.write(write).await.unwrap();
    let limits = stage_02_queue::ArchiveLimits { entries: 10, bytes: 1 << 20 };
    let retention = crate::storage::Retention { days: None };
    let storage = crate::storage::SqliteStorage::open(&journal, limits, retention);
    stage_02_queue::Archive::insert(&*storage, evaluation);
    let found = storage.artifacts(id).await.unwrap().unwrap();
    let parts: Vec<_> = found.iter().map(|found| (&found.part.file, found.part.offset)).collect();
    assert_eq!(parts, [(&digests[0], 0), (&digests[1], 0)]);
    for found in &found {
        storage.files().open_checked(&found.part).unwrap();
    }
    let deleted = journal.store.write(move |db| rows::delete(db, id)).await.unwrap().unwrap();
    assert_eq!(deleted, digests);
}

/// A file that cannot be written, renamed or flushed: no row names it, and the next try succeeds.
#[cfg(debug_assertions)] // failpoints are there then
#[tokio::test]
async fn files_that_fail_midway_leave_no_row() {
    let scenario = fail::FailScenario::setup();
    for place in crate::failpoint::FAILPOINTS.iter().filter(|place| place.starts_with("files.")) {
        let journal = journal().await;
        let evaluation = accept(&journal).await;
        let contents = ["first", "second"].map(str::to_owned);
        let change = ended(&evaluation, contents.into_iter());
        fail::cfg(*place, "return(error)").unwrap();
        assert!(journal.commit(&change).await.is_err(), "{place}");
        fail::remove(*place);
        let rows = async || {
            let rows = journal.store.read(|db| {
                let sql = "SELECT DISTINCT pack FROM artifacts JOIN files ON files.digest = pack";
                let mut packs = db.prepare(sql)?;
                let packs = packs.query_map([], |row| row.get(0))?;
                Ok(packs.collect::<Result<Vec<String>, _>>()?)
            });
            rows.await.unwrap()
        };
        assert_eq!(rows().await.len(), 0, "{place}");
        let before = journal.files.flushes();
        journal.commit(&change).await.unwrap();
        if *place == "files.after_rename" {
            assert_eq!(journal.files.flushes() - before, 2, "its name may not be on disk yet");
        }
        let packs = rows().await;
        assert_eq!(packs.len(), 1, "{place}");
        assert_eq!(journal.files.get(&packs[0]).unwrap(), b"firstsecond", "{place}");
    }
    scenario.teardown();
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

/// The types of all events, by their numbers.
async fn kinds(store: &Store) -> Vec<String> {
    let kinds = store.read(|db| {
        let mut kinds = db.prepare("SELECT kind FROM events ORDER BY number")?;
        let kinds = kinds.query_map([], |row| row.get(0))?;
        Ok(kinds.collect::<Result<Vec<_>, _>>()?)
    });
    kinds.await.unwrap()
}

#[tokio::test]
async fn an_acceptance_and_a_start_are_one_transaction() {
    let journal = journal().await;
    let acceptance = accepted(Some("a key"));
    let Transition::Accepted(record) = &acceptance.transition else { panic!() };
    let (id, evaluation) = (record.evaluation.id, record.evaluation.clone());
    let started = Evaluation { status: Status::Running, ..evaluation };
    let start = Change {
        events: vec![Event::now(EventType::EvaluationStarted, Some(id), json!({ "attempt": 1 }))],
        transition: Transition::Started(Box::new(started)),
    };
    let before = journal.store.stats().commits;
    journal.commit_all(&[acceptance, start]).await.unwrap();
    assert_eq!(journal.store.stats().commits - before, 1);
    assert_eq!(counts(&journal).await, [1, 2, 1]);
    let status = journal.store.read(|db| {
        Ok(db.query_row("SELECT status FROM evaluations", [], |row| row.get::<_, String>(0))?)
    });
    assert_eq!(status.await.unwrap(), "running");
}

fn queue(journal: SqliteJournal, workers: usize) -> Arc<TaskQueue> {
    let ledger = Ledger::new(LedgerParts {
        journal: Arc::new(journal),
        archive: Arc::new(InMemoryArchive::new(ArchiveLimits::default())),
        progress: Arc::new(NoopSink),
        sandbox: None,
        capacity: 9,
    });
    let parts = QueueParts {
        ledger,
        dispatch: Arc::new(PriorityDispatch::new(9, CancellationToken::new())),
        engine: Some(Arc::new(FakeEngine::new().output(""))),
        events: Arc::new(NoopSink),
    };
    TaskQueue::new(parts, QueueOptions { workers, capacity: 9, limits: limits() })
}

#[tokio::test]
async fn an_evaluation_for_a_worker_that_waits_is_two_commits() {
    let context = RequestContext::internal();
    for (workers, commits, status) in [(1, 2, Status::Completed), (0, 1, Status::Queued)] {
        let journal = journal().await;
        let store = Arc::clone(&journal.store);
        let queue = queue(journal, workers);
        tokio::task::yield_now().await; // so that a worker waits
        let before = store.stats().commits;
        let submission = Submission::new("pass", limits());
        let accepted = queue.submit(&context, submission, None).await.unwrap();
        assert_eq!(accepted.status, Status::Queued);
        let timeout = std::time::Duration::from_secs(if workers == 0 { 0 } else { 60 });
        let evaluation = queue.wait(&context, accepted.id, timeout).await.unwrap();
        assert_eq!((evaluation.status, store.stats().commits - before), (status, commits));
        let events = kinds(&store).await;
        let started = events.iter().any(|kind| kind == "evaluation.started");
        assert_eq!((events[0].as_str(), started), ("evaluation.queued", workers == 1));
    }
}

/// The write of the output is under way when the evaluation ends, and fails then.
#[tokio::test]
async fn an_end_waits_for_output_that_met_a_full_disk() {
    let journal = journal().await;
    let acceptance = accepted(None);
    let Transition::Accepted(record) = &acceptance.transition else { panic!() };
    let evaluation = record.evaluation.clone();
    let id = evaluation.id;
    journal.commit(&acceptance).await.unwrap();
    let end = Change {
        events: vec![Event::now(EventType::EvaluationCompleted, Some(id), json!({}))],
        transition: Transition::Ended(Box::new(Evaluation {
            status: Status::Completed,
            outcome: Some(shared::Outcome::Exited),
            ..evaluation
        })),
    };
    let (release, is_released) = std::sync::mpsc::channel();
    let writing = journal.store.write(move |_| {
        is_released.recv().unwrap();
        Ok(())
    });
    let output = json!({ "stream": "stdout", "offset": 0, "text": "x", "encoding": "utf8" });
    let output = Event::now(EventType::EvaluationProgress, Some(id), output);
    let fails = async {
        journal.log.meet_a_full_disk(output);
        release.send(()).unwrap();
    };
    // The end is in the queue of the writer before the output is back in the buffer.
    let (written, ended, ()) = tokio::join!(biased; writing, journal.commit(&end), fails);
    written.unwrap();
    let refused = ended.unwrap_err();
    assert!(refused.0.to_string().contains("output"), "{refused:?}");
    journal.commit(&end).await.unwrap();
    let expected =
        ["evaluation.queued", "evaluation.progress", "evaluation.completed", "storage.saved"];
    assert_eq!(kinds(&journal.store).await, expected);
}
