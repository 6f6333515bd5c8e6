//! What every storage promises, checked on the live one.
//!
//! Each check stores evaluations that never ran, under a label of their own, and deletes them again.

use jiff::Timestamp;
use shared::component::CheckResult;
use shared::evaluation::Timing;
use shared::{
    Evaluation, Evidence, Limits, Outcome, Output, Query, SandboxInfo, Status, TestCase, Verdict,
};
use uuid::Uuid;

use crate::storage::StorageService;

/// The label that marks them.
const LABEL: &str = "crucible.self_test";

pub(crate) fn suite(storage: &dyn StorageService) -> Vec<TestCase<'_>> {
    vec![
        TestCase::new("what is kept is found again", async move { found_again(storage) }),
        TestCase::new("pages are complete and in order", async move { pages(storage) }),
        TestCase::new("filters find what was asked for", async move { filters(storage) }),
    ]
}

fn found_again(storage: &dyn StorageService) -> CheckResult {
    let sample = sample("found");
    storage.keep(sample.clone());
    let found = storage.get(sample.id);
    let deleted = storage.delete(sample.id);
    let after = storage.get(sample.id);
    match (found, deleted, after) {
        (Some(found), true, None) if found == sample => Ok("as it was, until deleted".to_owned()),
        other => Err(format!("kept {sample:?}, and got {other:?}")),
    }
}

fn pages(storage: &dyn StorageService) -> CheckResult {
    let kept: Vec<_> = (0..5).map(|_| sample("pages")).collect();
    keep(storage, &kept);
    let mut query = Query { label: Some(label("pages")), limit: 2, ..Query::default() };
    let mut seen = Vec::new();
    loop {
        let page = storage.list(&query);
        seen.extend(page.items.iter().map(|one| one.id));
        query.cursor = page.next_cursor;
        if query.cursor.is_none() || seen.len() > kept.len() {
            break;
        }
    }
    forget(storage, &kept);
    let newest_first: Vec<_> = kept.iter().rev().map(|one| one.id).collect();
    if seen == newest_first {
        Ok("five evaluations on three pages, newest first".to_owned())
    } else {
        Err(format!("kept {newest_first:?}, and the pages had {seen:?}"))
    }
}

fn filters(storage: &dyn StorageService) -> CheckResult {
    let kept = [Outcome::Exited, Outcome::PidsExceeded, Outcome::Cancelled].map(|outcome| {
        let verdict = Verdict::new(outcome, Evidence::new("self test"));
        Evaluation { outcome: Some(outcome), status: verdict.status(), ..sample("filters") }
    });
    keep(storage, &kept);
    let all = Query { label: Some(label("filters")), limit: 9, ..Query::default() };
    let by_status = Query { status: Some(Status::Failed), ..all.clone() };
    let by_outcome = Query { outcome: Some(Outcome::Cancelled), ..all.clone() };
    let counts = [all, by_status, by_outcome].map(|query| storage.list(&query).items.len());
    forget(storage, &kept);
    match counts {
        [3, 1, 1] => Ok("by status, by outcome and by label".to_owned()),
        other => Err(format!("expected [3, 1, 1] evaluations, found {other:?}")),
    }
}

fn keep(storage: &dyn StorageService, samples: &[Evaluation]) {
    for one in samples {
        storage.keep(one.clone());
    }
}

fn forget(storage: &dyn StorageService, kept: &[Evaluation]) {
    for one in kept {
        storage.delete(one.id);
    }
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
        sandbox: SandboxInfo::default(),
        timing: Timing {
            submitted_at: now,
            started_at: Some(now),
            finished_at: Some(now),
            queue_wait_ms: Some(0),
        },
        attempt: 1,
        labels: [label(mark)].into(),
        error: None,
    }
}
