//! The platform with components that fail: it accepts no work, and its shutdown does not wait without
//! limit.

use std::sync::Arc;
use std::time::Duration;

use harness::{FakeEngine, TEST_LIMITS, eventually_some};
use shared::component::SelfTestResult;
use shared::{
    Bounds, BoxFuture, Engine, Evaluation, Evaluations, EvaluationsError, EventType, Outcome,
    RequestContext, Submission, TestCase, TestableComponent,
};
use stage_02_queue::{ArchiveLimits, QueueOptions, SubprocessEngine, TaskQueue};
use stage_03_monitoring::{AdvancedMonitor, InMemoryMonitor, MonitorOptions};
use stage_06_advanced::{
    Components, InMemoryStorage, Platform, PlatformOptions, SelfTestRun, SelfTestStatus,
};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

/// A platform on `engine`, with the other components of this stage.
fn platform(engine: Arc<dyn Engine>, interval: Duration) -> (Arc<Platform>, Components) {
    let monitor = Arc::new(AdvancedMonitor::new(InMemoryMonitor::new(MonitorOptions::default())));
    let storage = Arc::new(InMemoryStorage::new(ArchiveLimits::default(), monitor.clone()));
    let options = QueueOptions { workers: 2, capacity: 10, limits: TEST_LIMITS };
    let queue = TaskQueue::with_archive(engine.clone(), monitor.clone(), options, storage.clone());
    let components = Components { engine: Some(engine), queue, monitor, storage };
    let bounds = Bounds {
        default: TEST_LIMITS,
        max_timeout_seconds: 20.0,
        max_memory_bytes: 256 << 20,
        max_attempts: 1,
    };
    let options =
        PlatformOptions { stage: "test", isolation: "none", bounds, self_test_interval: interval };
    (Platform::new(components.clone(), options), components)
}

async fn submit(platform: &Platform, code: &str) -> Result<Uuid, EvaluationsError> {
    let submission = Submission::new(code, TEST_LIMITS);
    platform.submit(&RequestContext::internal(), submission, None).await.map(|one| one.id)
}

async fn end_of(platform: &Platform, id: Uuid) -> Evaluation {
    platform.wait(&RequestContext::internal(), id, Duration::MAX).await.unwrap()
}

async fn self_test(platform: &Platform, suite: bool) -> SelfTestRun {
    let run = platform.health().start_self_test(suite).unwrap();
    platform.health().wait_for_self_test(run.id, Duration::MAX).await.unwrap()
}

async fn until_ready(platform: &Platform, ready: bool) {
    eventually_some("the readiness", Duration::from_secs(20), async || {
        (platform.status().await.unwrap().ready == ready).then_some(())
    })
    .await;
}

#[tokio::test]
async fn a_platform_whose_engine_fails_takes_no_work() {
    let engine = Arc::new(FakeEngine::new());
    let (platform, _) = platform(engine.clone(), Duration::from_millis(50));
    let accepted = submit(&platform, "print(1)").await.unwrap();
    engine.set_unhealthy(true);
    until_ready(&platform, false).await;
    let refused = submit(&platform, "print(2)").await.unwrap_err();
    assert!(matches!(refused, EvaluationsError::Refused(_)), "{refused}");
    let status = serde_json::to_value(platform.status().await.unwrap()).unwrap();
    let component = &status["components"][engine_name(&engine)];
    assert_eq!(component["passed"], false, "{status:#}");
    // What was accepted before can still be read.
    assert_eq!(end_of(&platform, accepted).await.outcome, Some(Outcome::Exited));
    engine.set_unhealthy(false);
    until_ready(&platform, true).await;
    submit(&platform, "print(3)").await.unwrap();
}

fn engine_name(engine: &FakeEngine) -> &'static str {
    shared::TestableComponent::name(engine)
}

#[tokio::test]
async fn every_component_verifies_itself_and_one_that_fails_is_named() {
    let engine = Arc::new(SubprocessEngine::new().await.unwrap());
    let (healthy, _) = platform(engine, Duration::from_hours(1));
    let report = self_test(&healthy, true).await;
    assert_eq!(report.passed, Some(true), "{report:#?}");
    for component in ["subprocess engine", "queue", "monitor", "storage", "platform"] {
        let own = report.checks.iter().filter(|check| check.component == component);
        assert!(own.count() > 1, "{component} has a self test and a suite");
    }
    let engine = Arc::new(FakeEngine::new().output("42\n"));
    let (platform, _) = platform(engine.clone(), Duration::from_hours(1));
    engine.set_unhealthy(true);
    let report = self_test(&platform, false).await;
    let failed = report.checks.iter().filter(|check| !check.passed);
    let failed: Vec<_> = failed.map(|check| check.component.as_str()).collect();
    assert_eq!((report.passed, failed), (Some(false), vec![engine_name(&engine)]));
    assert!(!platform.status().await.unwrap().ready);
}

/// A component whose self test hangs, or panics.
struct BadComponent {
    hangs: bool,
}

impl TestableComponent for BadComponent {
    fn name(&self) -> &'static str {
        "bad component"
    }

    fn self_test(&self) -> BoxFuture<'_, SelfTestResult> {
        Box::pin(async {
            assert!(self.hangs, "this self test panics");
            std::future::pending().await
        })
    }

    fn test_suite(&self) -> Vec<TestCase<'_>> {
        Vec::new()
    }
}

#[tokio::test(start_paused = true)]
async fn a_self_test_without_a_result_closes_nothing() {
    let (platform, _) = platform(Arc::new(FakeEngine::new()), Duration::from_hours(1));
    platform.health().register_component(Arc::new(BadComponent { hangs: true }));
    let run = self_test(&platform, false).await;
    let last = run.checks.last().unwrap();
    assert_eq!((run.passed, last.passed, last.timed_out), (Some(false), false, true), "{run:#?}");
    let status = serde_json::to_value(platform.status().await.unwrap()).unwrap();
    assert_eq!(status["ready"], true, "{status:#}");
    assert_eq!(status["components"]["bad component"]["timed_out"], true, "{status:#}");
    submit(&platform, "").await.unwrap();
}

#[tokio::test]
async fn a_run_that_panics_or_comes_too_late_leaves_no_client_waiting() {
    let (platform, _) = platform(Arc::new(FakeEngine::new()), Duration::from_hours(1));
    platform.health().register_component(Arc::new(BadComponent { hangs: false }));
    let run = self_test(&platform, false).await;
    assert_eq!((run.status, run.passed), (SelfTestStatus::Cancelled, None));
    assert_ne!(self_test(&platform, false).await.id, run.id, "the next request starts another");
    platform.shutdown(CancellationToken::new()).await;
    assert!(platform.health().start_self_test(true).is_err());
}

#[tokio::test(start_paused = true)]
async fn the_shutdown_ends_a_run_that_hangs() {
    let (platform, _) = platform(Arc::new(FakeEngine::new()), Duration::from_hours(1));
    platform.health().register_component(Arc::new(BadComponent { hangs: true }));
    let run = platform.health().start_self_test(true).unwrap();
    let started = tokio::time::Instant::now();
    platform.shutdown(CancellationToken::new()).await;
    assert!(started.elapsed() < Duration::from_secs(1), "it waited for the deadline of a check");
    let ended = platform.health().self_test_run(run.id).unwrap();
    assert_eq!(ended.status, SelfTestStatus::Cancelled);
}

/// An engine that misses every deadline: it neither returns nor ends what it is told to end.
#[tokio::test(start_paused = true)]
async fn the_shutdown_gives_up_on_what_does_not_end_and_records_it_as_lost() {
    let stubborn = FakeEngine::new().delay(Duration::MAX).ignores_cancel();
    let (platform, components) = platform(Arc::new(stubborn), Duration::from_hours(1));
    let mut ids = Vec::new();
    for _ in 0..3 {
        ids.push(submit(&platform, "").await.unwrap());
    }
    while platform.queue_stats().await.unwrap().workers_busy < 2 {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    let started = tokio::time::Instant::now();
    let now = CancellationToken::new();
    now.cancel();
    platform.shutdown(now).await;
    assert_eq!(started.elapsed().as_secs(), 8);
    let stored = async |id: Uuid| components.storage.get(id).await.unwrap().unwrap();
    assert_eq!(stored(ids[2]).await.outcome, Some(Outcome::Cancelled));
    for id in [ids[0], ids[1]] {
        let stored = stored(id).await;
        assert_eq!(stored.outcome, Some(Outcome::WorkerLost));
        assert!(stored.error.unwrap().contains("shut down"));
        let history = components.monitor.history(id, None).await.unwrap().unwrap();
        let last = history.events.last().unwrap();
        assert_eq!(last.event.kind, EventType::EvaluationFailed);
    }
    assert!(!platform.status().await.unwrap().ready);
}
