//! The properties of every storage.
//!
//! Each check stores evaluations that never ran in a scratch storage of the same kind: the live one
//! loses nothing to make room for them, and no label of a client gets into the result.

use std::sync::Arc;

use jiff::Timestamp;
use shared::component::CheckResult;
use shared::evaluation::Timing;
use shared::{
    Evaluation, Evidence, Limits, NoopSink, Outcome, Output, Query, Status, TestCase, Verdict,
};
use stage_02_queue::ArchiveError;
use uuid::Uuid;

use super::StorageService;

/// The label of the evaluations that a check stores.
const LABEL: &str = "crucible.self_test";

/// The checks of a storage that is not empty.
pub fn suite(storage: &dyn StorageService) -> Vec<TestCase<'_>> {
    vec![
        on_scratch(storage, "what is kept is found again", finds_stored),
        on_scratch(storage, "pages are complete and in order", pages),
        on_scratch(storage, "filters find what was asked for", filters),
    ]
}

/// A check on a scratch storage of the same kind as `storage`.
fn on_scratch<'a, F: Future<Output = CheckResult> + Send + 'a>(
    storage: &'a dyn StorageService,
    name: &'static str,
    check: fn(Arc<dyn StorageService>) -> F,
) -> TestCase<'a> {
    TestCase::new(name, async move {
        let scratch = storage.scratch(Arc::new(NoopSink)).await.map_err(text)?;
        check(scratch).await
    })
}

async fn finds_stored(storage: Arc<dyn StorageService>) -> CheckResult {
    let storage = storage.as_ref();
    let sample = sample("found");
    storage.insert(sample.clone());
    let found = storage.get(sample.id).await.map_err(text)?;
    let deleted = storage.delete(sample.id).await.map_err(text)?;
    let after = storage.get(sample.id).await.map_err(text)?;
    match (found, deleted, after) {
        (Some(found), true, None) if found == sample => Ok("unchanged, until deleted".to_owned()),
        other => Err(format!("stored {sample:?}, and got {other:?}")),
    }
}

async fn pages(storage: Arc<dyn StorageService>) -> CheckResult {
    let storage = storage.as_ref();
    let stored: Vec<_> = (0..5).map(|_| sample("pages")).collect();
    insert(storage, &stored);
    let mut query = Query { label: Some(label("pages")), limit: 2, ..Query::default() };
    let mut seen = Vec::new();
    loop {
        let page = storage.list(&query).await.map_err(text)?;
        seen.extend(page.items.iter().map(|one| one.id));
        query.cursor = page.next_cursor;
        if query.cursor.is_none() || seen.len() > stored.len() {
            break;
        }
    }
    let newest_first: Vec<_> = stored.iter().rev().map(|one| one.id).collect();
    if seen == newest_first {
        Ok("five evaluations on three pages, newest first".to_owned())
    } else {
        Err(format!("stored {newest_first:?}, and the pages had {seen:?}"))
    }
}

async fn filters(storage: Arc<dyn StorageService>) -> CheckResult {
    let storage = storage.as_ref();
    let stored = [Outcome::Exited, Outcome::PidsExceeded, Outcome::Cancelled].map(|outcome| {
        let verdict = Verdict::new(outcome, Evidence::new("self test"));
        Evaluation { outcome: Some(outcome), status: verdict.status(), ..sample("filters") }
    });
    insert(storage, &stored);
    let all = Query { label: Some(label("filters")), limit: 9, ..Query::default() };
    let by_status = Query { status: Some(Status::Failed), ..all.clone() };
    let by_outcome = Query { outcome: Some(Outcome::Cancelled), ..all.clone() };
    let mut counts = Vec::new();
    for query in [all, by_status, by_outcome] {
        counts.push(storage.list(&query).await.map_err(text)?.items.len());
    }
    if counts == [3, 1, 1] {
        Ok("by status, by outcome and by label".to_owned())
    } else {
        Err(format!("expected [3, 1, 1] evaluations, found {counts:?}"))
    }
}

fn insert(storage: &dyn StorageService, samples: &[Evaluation]) {
    for one in samples {
        storage.insert(one.clone());
    }
}

#[allow(clippy::needless_pass_by_value, reason = "the shape that map_err takes")]
fn text(error: ArchiveError) -> String {
    error.to_string()
}

fn label(value: &str) -> (String, String) {
    (LABEL.to_owned(), value.to_owned())
}

/// An evaluation that has ended and never ran.
pub(crate) fn sample(mark: &str) -> Evaluation {
    let none = Limits {
        timeout_seconds: 0.0,
        cpu_seconds: 0.0,
        memory_bytes: 0,
        pids: 0,
        output_bytes: 0,
        disk_bytes: 0,
        open_files: 0,
    };
    let now = Timestamp::now();
    Evaluation {
        id: Uuid::now_v7(),
        status: Status::Completed,
        outcome: Some(Outcome::Exited),
        exit_code: Some(0),
        signal: None,
        stdout: Output::new(b"42\n", 3),
        stderr: Output::default(),
        usage: None,
        limits: none,
        evidence: Some(Evidence::new("self test")),
        sandbox: None,
        owner: None,
        timing: Timing {
            submitted_at: now,
            started_at: Some(now),
            finished_at: Some(now),
            queue_wait_ms: Some(0),
        },
        attempt: 1,
        labels: [label(mark)].into(),
        artifacts: Vec::new(),
        error: None,
    }
}
