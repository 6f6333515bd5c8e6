//! Tests of the ledger: what is visible when, and which end counts.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use jiff::Timestamp;
use shared::{Event, Limits, NoopSink, Outcome, Status};
use tokio::sync::Semaphore;

use super::*;
use crate::{ArchiveLimits, InMemoryArchive};

mod assigned;

const LIMITS: Limits = Limits {
    timeout_seconds: 1.0,
    cpu_seconds: 1.0,
    memory_bytes: 1,
    pids: 1,
    output_bytes: 100,
    disk_bytes: 1,
    open_files: 1,
};

/// A journal whose commits wait for permits, and can fail.
struct SlowJournal {
    permits: Semaphore,
    fails: AtomicBool,
    commits: AtomicUsize,
    published: Mutex<Vec<Event>>,
}

impl SlowJournal {
    fn new(permits: usize) -> Arc<Self> {
        Arc::new(Self {
            permits: Semaphore::new(permits),
            fails: AtomicBool::new(false),
            commits: AtomicUsize::new(0),
            published: Mutex::default(),
        })
    }

    fn published(&self) -> Vec<String> {
        let published = self.published.lock().unwrap();
        published.iter().map(|event| event.kind.to_string()).collect()
    }
}

impl Journal for SlowJournal {
    fn commit<'a>(
        &'a self,
        _change: &'a Change,
    ) -> shared::BoxFuture<'a, Result<(), JournalError>> {
        Box::pin(async {
            self.permits.acquire().await.unwrap().forget();
            self.commits.fetch_add(1, Ordering::SeqCst);
            if self.fails.load(Ordering::SeqCst) {
                return Err(JournalError("disk full".into()));
            }
            Ok(())
        })
    }

    fn commit_all<'a>(
        &'a self,
        changes: &'a [Change],
    ) -> shared::BoxFuture<'a, Result<(), JournalError>> {
        self.commit(&changes[0])
    }

    fn publish(&self, events: Vec<Event>) {
        self.published.lock().unwrap().extend(events);
    }
}

fn ledger(journal: Arc<dyn Journal>, capacity: usize) -> Arc<Ledger> {
    Ledger::new(LedgerParts {
        journal,
        archive: Arc::new(InMemoryArchive::new(ArchiveLimits::default())),
        progress: Arc::new(NoopSink),
        sandbox: None,
        capacity,
    })
}

async fn accept(ledger: &Arc<Ledger>) -> Result<(Evaluation, Job), EvaluationsError> {
    let context = RequestContext::internal();
    ledger.accept(&context, Submission::new("pass", LIMITS), None, 1).await
}

fn exited() -> Verdict {
    Verdict::new(Outcome::Exited, shared::Evidence::new("exit_status"))
}

async fn pause() {
    tokio::time::sleep(Duration::from_millis(20)).await;
}

#[tokio::test]
async fn nothing_is_visible_before_it_is_committed() {
    let journal = SlowJournal::new(0);
    let ledger = ledger(journal.clone(), 10);
    let accepting = tokio::spawn({
        let ledger = Arc::clone(&ledger);
        async move { accept(&ledger).await }
    });
    pause().await;
    assert_eq!((ledger.stats().queued, journal.published().len()), (0, 0));
    journal.permits.add_permits(1);
    let (accepted, job) = accepting.await.unwrap().unwrap();
    assert_eq!(journal.published(), ["evaluation.queued"]);

    journal.permits.add_permits(1);
    let assignment = ledger.start(job.id, 1, SandboxInfo::default()).await.unwrap();
    assignment.output.push(shared::Stream::Stdout, b"out").unwrap();
    let finishing = tokio::spawn({
        let ledger = Arc::clone(&ledger);
        async move { ledger.finish(job.id, exited()).await }
    });
    pause().await;
    let before = ledger.get(accepted.id).await.unwrap();
    assert_eq!((before.status, journal.published().len()), (Status::Running, 2));
    journal.permits.add_permits(1);
    finishing.await.unwrap();
    let ended = ledger.get(accepted.id).await.unwrap();
    assert_eq!((ended.status, &*ended.stdout.text), (Status::Completed, "out"));
    let all = ["evaluation.queued", "evaluation.started", "evaluation.completed"];
    assert_eq!(journal.published(), all);
}

#[tokio::test]
async fn a_submission_that_is_not_committed_is_refused_and_leaves_nothing() {
    let journal = SlowJournal::new(100);
    let ledger = ledger(journal.clone(), 1);
    journal.fails.store(true, Ordering::SeqCst);
    for _ in 0..3 {
        assert!(matches!(accept(&ledger).await, Err(EvaluationsError::Internal(_))));
    }
    journal.fails.store(false, Ordering::SeqCst);
    accept(&ledger).await.expect("the slots were released");
    assert!(matches!(accept(&ledger).await, Err(EvaluationsError::Refused(_))));
}

#[tokio::test]
async fn a_client_that_disconnects_while_its_submission_is_committed_leaks_no_slot() {
    let journal = SlowJournal::new(0);
    let ledger = ledger(journal.clone(), 1);
    let disconnected = tokio::time::timeout(Duration::from_millis(20), accept(&ledger)).await;
    assert!(disconnected.is_err());
    journal.permits.add_permits(1);
    ledger.settled().await;
    assert_eq!((ledger.stats().queued, journal.published().len()), (1, 1));
}

#[tokio::test]
async fn an_end_is_committed_in_the_end() {
    let journal = SlowJournal::new(100);
    let ledger = ledger(journal.clone(), 1);
    let (_, job) = accept(&ledger).await.unwrap();
    ledger.start(job.id, 1, SandboxInfo::default()).await.unwrap();
    journal.fails.store(true, Ordering::SeqCst);
    let finishing = tokio::spawn({
        let ledger = Arc::clone(&ledger);
        async move { ledger.finish(job.id, exited()).await }
    });
    while journal.commits.load(Ordering::SeqCst) < 4 {
        pause().await;
    }
    assert_eq!(ledger.get(job.id).await.unwrap().status, Status::Running);
    journal.fails.store(false, Ordering::SeqCst);
    finishing.await.unwrap();
    assert_eq!(ledger.get(job.id).await.unwrap().status, Status::Completed);
}

#[tokio::test]
async fn only_the_first_end_counts() {
    let ledger = ledger(SlowJournal::new(100), 10);
    let (_, job) = accept(&ledger).await.unwrap();
    ledger.start(job.id, 1, SandboxInfo::default()).await.unwrap();
    ledger.abandon("shut down").await;
    ledger.finish(job.id, exited()).await;
    let ended = ledger.get(job.id).await.unwrap();
    assert_eq!(ended.outcome, Some(Outcome::WorkerLost));
    assert_eq!(ledger.stats().running, 0);
}

#[tokio::test]
async fn a_cancelled_evaluation_is_not_started() {
    let ledger = ledger(SlowJournal::new(100), 10);
    let (_, job) = accept(&ledger).await.unwrap();
    assert!(ledger.cancel(job.id).await);
    assert!(ledger.start(job.id, 1, SandboxInfo::default()).await.is_none());
    assert!(!ledger.cancel(job.id).await);
    let ended = ledger.get(job.id).await.unwrap();
    assert_eq!(ended.evidence.unwrap().decided_by, "cancelled_before_start");
    assert_eq!((ledger.stats().queued, ledger.stats().running), (0, 0));
}

#[tokio::test]
async fn a_resumed_evaluation_has_its_id_its_attempt_and_its_time() {
    let ledger = ledger(SlowJournal::new(100), 10);
    let job = Job { attempt: 2, ..Job::first(Submission::new("pass", LIMITS)) };
    let submitted_at = Timestamp::UNIX_EPOCH;
    let owner = Some("key-1".to_owned());
    let resumed = Resumed { job: job.clone(), owner: owner.clone(), submitted_at };
    assert_eq!(ledger.resume(resumed), job);
    let waiting = ledger.get(job.id).await.unwrap();
    assert_eq!((waiting.attempt, waiting.owner, waiting.status), (2, owner, Status::Queued));
    assert_eq!(waiting.timing.submitted_at, submitted_at);
    assert!(ledger.start(job.id, 1, SandboxInfo::default()).await.is_none(), "an old attempt");
    assert!(ledger.start(job.id, 2, SandboxInfo::default()).await.is_some());
}

#[tokio::test]
async fn several_submissions_are_accepted_together_or_not_at_all() {
    let journal = SlowJournal::new(2);
    let ledger = ledger(journal.clone(), 3);
    let batch = |count: usize| -> Vec<_> {
        (0..count).map(|_| (Uuid::now_v7(), Submission::new("pass", LIMITS))).collect()
    };
    let context = RequestContext::internal();
    let three = batch(3);
    let accepted = ledger.accept_all(&context, three.clone(), 1).await.unwrap();
    let ids: Vec<_> = accepted.iter().map(|(evaluation, job)| (evaluation.id, job.id)).collect();
    assert_eq!(ids, three.iter().map(|(id, _)| (*id, *id)).collect::<Vec<_>>());
    assert_eq!(journal.published(), ["evaluation.queued"; 3]);
    assert_eq!((ledger.stats().queued, journal.commits.load(Ordering::SeqCst)), (3, 1));
    for (id, _) in &three {
        ledger.cancel(*id).await;
        journal.permits.add_permits(1);
    }
    // One place too few: none is taken, and all are free again.
    let refused = ledger.accept_all(&context, batch(4), 1).await.unwrap_err();
    assert!(matches!(refused, EvaluationsError::Refused(_)), "{refused:?}");
    assert_eq!(ledger.stats().queued, 0);
    // What is not committed is not visible.
    journal.fails.store(true, Ordering::SeqCst);
    journal.permits.add_permits(1);
    let lost = batch(2);
    assert!(ledger.accept_all(&context, lost.clone(), 1).await.is_err());
    assert!(ledger.get(lost[0].0).await.is_err());
    journal.fails.store(false, Ordering::SeqCst);
    journal.permits.add_permits(1);
    assert!(ledger.accept_all(&context, batch(3), 1).await.is_ok());
}

/// An archive whose pages have one evaluation, however many are asked for: a limit of bytes.
struct ShortPages(InMemoryArchive);

impl Archive for ShortPages {
    fn insert(&self, ended: Evaluation) {
        self.0.insert(ended);
    }

    fn get(
        &self,
        id: Uuid,
    ) -> shared::BoxFuture<'_, Result<Option<Evaluation>, crate::ArchiveError>> {
        self.0.get(id)
    }

    fn list<'a>(
        &'a self,
        query: &'a shared::Query,
    ) -> shared::BoxFuture<'a, Result<shared::Page, crate::ArchiveError>> {
        let page = self.0.page(&shared::Query { limit: 1, ..query.clone() });
        Box::pin(std::future::ready(Ok(page)))
    }
}

#[tokio::test]
async fn a_page_that_the_archive_has_cut_skips_nothing() {
    let ledger = Ledger::new(LedgerParts {
        journal: SlowJournal::new(100),
        archive: Arc::new(ShortPages(InMemoryArchive::new(ArchiveLimits::default()))),
        progress: Arc::new(NoopSink),
        sandbox: None,
        capacity: 10,
    });
    let mut all = Vec::new();
    for number in 0..5 {
        let (accepted, job) = accept(&ledger).await.unwrap();
        all.push(accepted.id);
        if number > 1 {
            ledger.finish(job.id, exited()).await; // the two oldest stay live
        }
    }
    all.reverse();
    let mut query = shared::Query { limit: 3, ..shared::Query::default() };
    let mut seen = Vec::new();
    loop {
        let page = ledger.list(&query).await.unwrap();
        seen.extend(page.items.iter().map(|one| one.id));
        query.cursor = page.next_cursor;
        if query.cursor.is_none() || seen.len() > all.len() {
            break;
        }
    }
    assert_eq!(seen, all);
}

/// An archive that stores nothing.
struct Nothing;

impl Archive for Nothing {
    fn insert(&self, _ended: Evaluation) {}

    fn get(
        &self,
        _id: Uuid,
    ) -> shared::BoxFuture<'_, Result<Option<Evaluation>, crate::ArchiveError>> {
        Box::pin(std::future::ready(Ok(None)))
    }

    fn list<'a>(
        &'a self,
        _query: &'a shared::Query,
    ) -> shared::BoxFuture<'a, Result<shared::Page, crate::ArchiveError>> {
        Box::pin(std::future::ready(Ok(shared::Page::default())))
    }
}

#[tokio::test]
async fn an_end_reaches_what_waits_for_it_without_the_archive() {
    let ledger = Ledger::new(LedgerParts {
        journal: SlowJournal::new(100),
        archive: Arc::new(Nothing),
        progress: Arc::new(NoopSink),
        sandbox: None,
        capacity: 10,
    });
    let (accepted, job) = accept(&ledger).await.unwrap();
    let waits = |timeout| {
        let ledger = Arc::clone(&ledger);
        tokio::spawn(async move { ledger.wait(accepted.id, timeout).await })
    };
    let waiting = [waits(Duration::MAX), waits(Duration::MAX)];
    let brief = waits(Duration::ZERO).await.unwrap().unwrap();
    assert_eq!(brief.status, Status::Queued, "it has not ended, and is returned as it is");
    while ledger.table().waiters(accepted.id) < waiting.len() {
        tokio::task::yield_now().await;
    }
    ledger.finish(job.id, exited()).await;
    for one in waiting {
        assert_eq!(one.await.unwrap().unwrap().outcome, Some(Outcome::Exited));
    }
    let late = ledger.wait(accepted.id, Duration::MAX).await;
    assert!(matches!(late, Err(EvaluationsError::NotFound)), "the archive has it not");
}
