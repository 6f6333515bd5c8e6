//! Tests of acceptances whose worker waits.

use super::*;

async fn accept_assigned(ledger: &Arc<Ledger>) -> Result<(Evaluation, Job), EvaluationsError> {
    let context = RequestContext::internal();
    let submission = Submission::new("pass", LIMITS);
    ledger.accept_assigned(&context, submission, None, 1, |_| SandboxInfo::default()).await
}

#[tokio::test]
async fn acceptance_and_start_are_one_commit() {
    let journal = SlowJournal::new(0);
    let ledger = ledger(journal.clone(), 10);
    let accepting = tokio::spawn({
        let ledger = Arc::clone(&ledger);
        async move { accept_assigned(&ledger).await }
    });
    pause().await;
    assert!(journal.published().is_empty() && ledger.stats().running == 0, "not committed");
    journal.permits.add_permits(1);
    let (accepted, job) = accepting.await.unwrap().unwrap();
    assert_eq!(journal.published(), ["evaluation.queued", "evaluation.started"]);
    assert_eq!(accepted.status, Status::Queued, "as any submission is answered");
    assert_eq!(ledger.get(job.id).await.unwrap().status, Status::Running);
    assert_eq!((ledger.stats().queued, ledger.stats().running), (0, 1));

    // No permit is left: its worker commits nothing, and gets it once.
    assert!(ledger.start(job.id, 1, SandboxInfo::default()).await.is_some());
    assert!(ledger.start(job.id, 1, SandboxInfo::default()).await.is_none());
    journal.permits.add_permits(1);
    ledger.finish(job.id, exited()).await;
    assert_eq!(journal.commits.load(Ordering::SeqCst), 2);
    assert_eq!((ledger.stats().queued, ledger.stats().running), (0, 0));
}

#[tokio::test]
async fn what_is_not_committed_leaves_nothing() {
    let journal = SlowJournal::new(9);
    let ledger = ledger(journal.clone(), 1);
    journal.fails.store(true, Ordering::SeqCst);
    assert!(accept_assigned(&ledger).await.is_err());
    journal.fails.store(false, Ordering::SeqCst);
    assert!(journal.published().is_empty());
    assert!(accept_assigned(&ledger).await.is_ok(), "its slot is free again");
}

#[tokio::test]
async fn one_that_is_cancelled_before_its_worker_comes_is_told_to_end() {
    let ledger = ledger(SlowJournal::new(9), 10);
    let (accepted, job) = accept_assigned(&ledger).await.unwrap();
    assert!(ledger.cancel(accepted.id).await);
    let assignment = ledger.start(job.id, 1, SandboxInfo::default()).await.unwrap();
    assert!(assignment.cancel.is_cancelled());
    let (_, other) = accept_assigned(&ledger).await.unwrap();
    ledger.cancel_running();
    let assignment = ledger.start(other.id, 1, SandboxInfo::default()).await.unwrap();
    assert!(assignment.cancel.is_cancelled(), "a shutdown ends it as well");
    // The commit of this one was slower than the shutdown.
    let (_, late) = accept_assigned(&ledger).await.unwrap();
    let assignment = ledger.start(late.id, 1, SandboxInfo::default()).await.unwrap();
    assert!(assignment.cancel.is_cancelled());
}

#[tokio::test]
async fn one_whose_worker_never_comes_is_abandoned_with_those_that_run() {
    let ledger = ledger(SlowJournal::new(9), 10);
    let (accepted, job) = accept_assigned(&ledger).await.unwrap();
    ledger.abandon("test").await;
    assert_eq!(ledger.get(accepted.id).await.unwrap().outcome, Some(Outcome::WorkerLost));
    assert!(ledger.start(job.id, 1, SandboxInfo::default()).await.is_none());
    let (_, late) = accept_assigned(&ledger).await.unwrap();
    let started = ledger.start(late.id, 1, SandboxInfo::default()).await;
    assert!(started.is_none(), "no program starts after the shutdown");
}
