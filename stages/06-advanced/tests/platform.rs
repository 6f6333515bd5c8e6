//! The platform with parts that fail: no work is taken, and its end does not wait for ever.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test fails by panicking"
)]

use std::future::pending;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use shared::component::CheckResult;
use shared::{
    Bounds, BoxFuture, Engine, Evaluations, EventType, Job, Limits, Outcome, OutputBuffer, Refused,
    SandboxInfo, Submission, TestCase, TestableComponent, Verdict,
};
use stage_02_queue::{ArchiveLimits, QueueOptions, SubprocessEngine, TaskQueue};
use stage_03_monitoring::{AdvancedMonitor, InMemoryMonitor, MonitorOptions};
use stage_06_advanced::{InMemoryStorage, Parts, Platform, PlatformOptions};
use tokio_util::sync::CancellationToken;

const LIMITS: Limits = Limits {
    timeout_seconds: 10.0,
    cpu_seconds: 10.0,
    memory_bytes: 256 << 20,
    pids: 64,
    output_bytes: 1 << 20,
    disk_bytes: 1 << 20,
    open_files: 64,
};

/// A platform on `engine`, all else as it is served.
fn platform(engine: Arc<dyn Engine>, self_test_every: Duration) -> (Arc<Platform>, Parts) {
    let monitor = Arc::new(AdvancedMonitor::new(InMemoryMonitor::new(MonitorOptions::default())));
    let storage = Arc::new(InMemoryStorage::new(ArchiveLimits::default(), monitor.clone()));
    let options = QueueOptions { workers: 2, capacity: 10, limits: LIMITS };
    let queue = TaskQueue::with_archive(engine.clone(), monitor.clone(), options, storage.clone());
    let parts = Parts { engine, queue, monitor, storage };
    let bounds = Bounds { default: LIMITS, max_timeout_seconds: 10.0, max_memory_bytes: 256 << 20 };
    let options = PlatformOptions { stage: "test", isolation: "none", bounds, self_test_every };
    (Platform::new(parts.clone(), options), parts)
}

/// A real engine whose self test can be made to fail, as when its walls have fallen.
struct Ailing {
    inner: SubprocessEngine,
    ill: AtomicBool,
}

impl TestableComponent for Ailing {
    fn name(&self) -> &'static str {
        "ailing engine"
    }

    fn self_test(&self) -> BoxFuture<'_, CheckResult> {
        if self.ill.load(Ordering::Relaxed) {
            return Box::pin(async { Err("the walls have fallen".to_owned()) });
        }
        self.inner.self_test()
    }

    fn test_suite(&self) -> Vec<TestCase<'_>> {
        self.inner.test_suite()
    }
}

impl Engine for Ailing {
    fn sandbox(&self) -> SandboxInfo {
        self.inner.sandbox()
    }

    fn evaluate<'a>(
        &'a self,
        job: &'a Job,
        buffer: &'a OutputBuffer,
        cancel: CancellationToken,
    ) -> BoxFuture<'a, Verdict> {
        self.inner.evaluate(job, buffer, cancel)
    }
}

async fn until(what: &str, condition: impl Fn() -> bool) {
    let started = Instant::now();
    while !condition() {
        assert!(started.elapsed() < Duration::from_secs(20), "never {what}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

#[tokio::test]
async fn a_platform_whose_engine_fails_takes_no_work() {
    let inner = SubprocessEngine::new().await.unwrap();
    let engine = Arc::new(Ailing { inner, ill: AtomicBool::new(false) });
    let (platform, _) = platform(engine.clone(), Duration::from_millis(50));
    let accepted = platform.submit(Submission::new("print(1)", LIMITS), None).unwrap();
    engine.ill.store(true, Ordering::Relaxed);
    until("found out", || !platform.status().ready).await;
    let refused = platform.submit(Submission::new("print(2)", LIMITS), None).unwrap_err();
    assert_eq!(refused, Refused::NotReady);
    let status = serde_json::to_value(platform.status()).unwrap();
    let component = &status["components"]["ailing engine"];
    assert_eq!(
        (&component["passed"], &component["detail"]),
        (&false.into(), &"the walls have fallen".into())
    );
    // What was accepted before is still there to be read.
    platform.finished(accepted.id).unwrap().cancelled().await;
    assert_eq!(platform.get(accepted.id).unwrap().outcome, Some(Outcome::Exited));
    engine.ill.store(false, Ordering::Relaxed);
    until("well again", || platform.status().ready).await;
    assert!(platform.submit(Submission::new("print(3)", LIMITS), None).is_ok());
}

#[tokio::test]
async fn every_part_verifies_itself_and_one_that_fails_is_named() {
    let inner = SubprocessEngine::new().await.unwrap();
    let engine = Arc::new(Ailing { inner, ill: AtomicBool::new(false) });
    let (platform, _) = platform(engine.clone(), Duration::from_hours(1));
    let report = platform.self_test(true).await.unwrap();
    assert!(report.passed, "{report:#?}");
    for part in ["ailing engine", "queue", "monitor", "storage", "platform"] {
        let own = report.checks.iter().filter(|check| check.component == part);
        assert!(own.count() > 1, "{part} has a self test and a suite");
    }
    engine.ill.store(true, Ordering::Relaxed);
    let report = platform.self_test(false).await.unwrap();
    let failed = report.checks.iter().filter(|check| !check.passed);
    let failed: Vec<_> = failed.map(|check| check.component.as_str()).collect();
    assert_eq!((report.passed, failed), (false, vec!["ailing engine"]));
    assert!(!platform.status().ready);
}

#[tokio::test]
async fn one_self_test_at_a_time() {
    let engine = Arc::new(SubprocessEngine::new().await.unwrap());
    let (platform, _) = platform(engine, Duration::from_hours(1));
    let (one, other) = tokio::join!(platform.self_test(false), platform.self_test(false));
    assert!(one.is_some() && other.is_none());
}

/// An engine that breaks its word: it neither answers nor ends what it is told to end.
struct Stubborn;

impl TestableComponent for Stubborn {
    fn name(&self) -> &'static str {
        "stubborn engine"
    }

    fn self_test(&self) -> BoxFuture<'_, CheckResult> {
        Box::pin(async { Ok("no".to_owned()) })
    }

    fn test_suite(&self) -> Vec<TestCase<'_>> {
        Vec::new()
    }
}

impl Engine for Stubborn {
    fn sandbox(&self) -> SandboxInfo {
        SandboxInfo::default()
    }

    fn evaluate<'a>(
        &'a self,
        _job: &'a Job,
        _capture: &'a OutputBuffer,
        _cancel: CancellationToken,
    ) -> BoxFuture<'a, Verdict> {
        Box::pin(pending())
    }
}

#[tokio::test(start_paused = true)]
async fn the_end_gives_up_on_what_does_not_end_and_marks_it() {
    let (platform, parts) = platform(Arc::new(Stubborn), Duration::from_hours(1));
    let [running, other, waiting] =
        [1, 2, 3].map(|_| platform.submit(Submission::new("", LIMITS), None).unwrap().id);
    while platform.queue_stats().workers_busy < 2 {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    let started = tokio::time::Instant::now();
    let now = CancellationToken::new();
    now.cancel();
    platform.shutdown(now).await;
    assert_eq!(started.elapsed().as_secs(), 8);
    assert_eq!(parts.storage.get(waiting).unwrap().outcome, Some(Outcome::Cancelled));
    for id in [running, other] {
        let stored = parts.storage.get(id).unwrap();
        assert_eq!(stored.outcome, Some(Outcome::WorkerLost));
        assert!(stored.error.unwrap().contains("shut down"));
        let last = parts.monitor.history(id, None).unwrap().events.pop().unwrap();
        assert_eq!(last.event.kind, EventType::EvaluationFailed);
    }
    assert!(!platform.status().ready);
}
