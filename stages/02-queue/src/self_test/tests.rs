//! A self test of a queue judges it by its counters, and its suite leaves no trace in it.

use std::sync::Mutex;

use harness::{FakeEngine, TEST_LIMITS};
use shared::{Event, EventSink, Job};
use tokio_util::sync::CancellationToken;

use super::*;
use crate::component_check::{check, self_test};
use crate::journal::InMemoryJournal;
use crate::{Dispatch, DispatchError, Lease, Ledger, LedgerParts, QueueOptions, QueueParts};

#[derive(Default)]
struct Recorder(Mutex<Vec<Event>>);

impl EventSink for Recorder {
    fn emit(&self, event: Event) {
        self.0.lock().unwrap().push(event);
    }
}

const OPTIONS: QueueOptions = QueueOptions { workers: 2, capacity: 10, limits: TEST_LIMITS };

async fn submit(queue: &TaskQueue, code: &str) -> Uuid {
    let submission = Submission::new(code, TEST_LIMITS);
    queue.submit(&RequestContext::internal(), submission, None).await.unwrap().id
}

async fn shut_down(queue: &TaskQueue) {
    let now = CancellationToken::new();
    now.cancel();
    queue.shutdown(now).await;
}

#[tokio::test]
async fn a_busy_queue_passes_and_its_suite_leaves_no_trace_in_it() {
    let events = Arc::new(Recorder::default());
    let queue = TaskQueue::start(Arc::new(ScriptedEngine), events.clone(), OPTIONS);
    for _ in 0..5 {
        submit(&queue, ENDLESS).await;
    }
    while queue.queue_stats().await.unwrap().workers_busy < 2 {
        tokio::task::yield_now().await;
    }
    let (before, emitted) = (queue.parts.ledger.stats(), events.0.lock().unwrap().len());
    let own = self_test(queue.as_ref()).await;
    assert!(own.passed && own.detail.contains("3 evaluations wait"), "{own:?}");
    for case in queue.test_suite() {
        let checked = check(queue.as_ref(), case).await;
        assert!(checked.passed, "{checked:?}");
    }
    assert_eq!(queue.parts.ledger.stats(), before);
    assert_eq!(events.0.lock().unwrap().len(), emitted, "an event of a scratch queue was seen");
    shut_down(&queue).await;
    let after = self_test(queue.as_ref()).await;
    assert!(after.passed, "a queue that is shut down is not broken: {after:?}");
}

/// A dispatch that gives out no job: its workers wait, or they panic.
struct BadDispatch {
    panics: bool,
}

impl Dispatch for BadDispatch {
    fn push(&self, _job: Job) -> BoxFuture<'_, Result<(), DispatchError>> {
        Box::pin(async { Ok(()) })
    }

    fn lease(&self) -> BoxFuture<'_, Result<Option<Lease>, DispatchError>> {
        assert!(!self.panics, "a worker dies");
        Box::pin(std::future::pending())
    }

    fn heartbeat<'a>(&'a self, _lease: &'a Lease) -> BoxFuture<'a, Result<(), DispatchError>> {
        Box::pin(async { Ok(()) })
    }

    fn ack(&self, _lease: Lease) -> BoxFuture<'_, Result<(), DispatchError>> {
        Box::pin(async { Ok(()) })
    }

    fn remove(&self, _id: Uuid) -> BoxFuture<'_, Result<bool, DispatchError>> {
        Box::pin(async { Ok(false) })
    }

    fn close(&self) {}
}

fn queue_over(dispatch: BadDispatch) -> Arc<TaskQueue> {
    let ledger = Ledger::new(LedgerParts {
        journal: Arc::new(InMemoryJournal::new(Arc::new(NoopSink))),
        archive: Arc::new(InMemoryArchive::new(ArchiveLimits::default())),
        progress: Arc::new(NoopSink),
        sandbox: None,
        capacity: 10,
    });
    let engine = Some(Arc::new(FakeEngine::new()) as _);
    let (dispatch, events) = (Arc::new(dispatch), Arc::new(NoopSink));
    TaskQueue::new(QueueParts { ledger, dispatch, engine, events }, OPTIONS)
}

#[tokio::test]
async fn a_queue_whose_workers_died_is_broken() {
    let queue = queue_over(BadDispatch { panics: true });
    while !queue.workers.is_empty() {
        tokio::task::yield_now().await;
    }
    let error = TestableComponent::self_test(queue.as_ref()).await.unwrap_err();
    assert!(matches!(&error, SelfTestError::Broken(what) if what == "0 of 2 workers are left"));
}

#[tokio::test(start_paused = true)]
async fn a_job_that_no_idle_worker_takes_is_reported_and_proves_nothing() {
    let queue = queue_over(BadDispatch { panics: false });
    assert!(self_test(queue.as_ref()).await.passed, "nothing waits");
    submit(&queue, "1").await;
    let own = self_test(queue.as_ref()).await;
    assert!(!own.passed && own.timed_out, "{own:?}");
}

#[tokio::test]
async fn a_scratch_queue_that_is_dropped_ends_its_program() {
    let engine = Arc::new(FakeEngine::new().delay(Duration::MAX));
    let queue = TaskQueue::start(engine.clone(), Arc::new(NoopSink), OPTIONS);
    let archive = Arc::new(InMemoryArchive::new(ArchiveLimits::default()));
    let scratch = queue.scratch(engine.clone(), Arc::new(NoopSink), archive, 2);
    let weak = Arc::downgrade(&scratch.queue());
    submit(&scratch.queue(), "").await;
    while engine.runs() == 0 {
        tokio::task::yield_now().await;
    }
    drop(scratch);
    // The shutdown of the live queue waits for it.
    shut_down(&queue).await;
    assert!(weak.upgrade().is_none(), "its worker is left, and so is its program");
}
