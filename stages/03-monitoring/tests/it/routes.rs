//! The routes over a monitor that is set up as no command line can: almost no room, or no metrics.

use std::sync::Arc;
use std::time::Duration;

use harness::TEST_LIMITS;
use http::{Request, StatusCode};
use http_body_util::BodyExt;
use shared::http::{ApiService, Router};
use shared::{Evaluations, RequestContext, Submission};
use stage_02_queue::{QueueOptions, SubprocessEngine, TaskQueue};
use stage_03_monitoring::{EventLogLimits, InMemoryMonitor, MonitorOptions, StageInfo, routes};

async fn stage(log_limits: EventLogLimits) -> (Router, Arc<TaskQueue>) {
    let engine = Arc::new(SubprocessEngine::new().await.unwrap());
    let monitor =
        Arc::new(InMemoryMonitor::new(MonitorOptions { log_limits, ..MonitorOptions::default() }));
    let options = QueueOptions { workers: 1, capacity: 10, limits: TEST_LIMITS };
    let queue = TaskQueue::start(engine, monitor.clone(), options);
    let stage = StageInfo { name: "stage-under-test", isolation: "stands alone" };
    (routes(monitor, queue.clone(), stage), queue)
}

async fn get(router: &Router, path: &str) -> (StatusCode, String) {
    let request = Request::get(path).body(bytes::Bytes::new()).unwrap();
    let response = router.call(request).await;
    let status = response.status();
    let body = response.into_body().collect().await.unwrap().to_bytes();
    (status, String::from_utf8(body.into()).unwrap())
}

#[tokio::test]
async fn events_that_are_gone_are_told_from_an_evaluation_that_never_was() {
    let room_for_one = EventLogLimits { ended_evaluations: 1, ..EventLogLimits::default() };
    let (router, queue) = stage(room_for_one).await;
    let (mut ids, context) = (Vec::new(), RequestContext::internal());
    for _ in 0..3 {
        let submission = Submission::new("print(1)", TEST_LIMITS);
        let id = queue.submit(&context, submission, None).await.unwrap().id;
        queue.wait(&context, id, Duration::MAX).await.unwrap();
        ids.push(id);
    }
    let (status, body) = get(&router, &format!("/eval/{}/events", ids[0])).await;
    assert_eq!(status, StatusCode::GONE, "{body}");
    assert!(body.contains("not kept any more"), "{body}");
    let (status, body) = get(&router, &format!("/eval/{}/events", ids[2])).await;
    assert_eq!(status, StatusCode::OK, "{body}");
    assert!(body.contains("event: evaluation.completed\n"), "{body}");
    let (status, _) = get(&router, "/eval/018f0000-0000-7000-8000-000000000000/events").await;
    assert_eq!(status, StatusCode::NOT_FOUND);
}

#[tokio::test]
async fn a_monitor_that_does_not_count_has_no_metrics_and_says_so() {
    let (router, _queue) = stage(EventLogLimits::default()).await;
    let (status, body) = get(&router, "/metrics").await;
    assert_eq!(status, StatusCode::NOT_FOUND);
    assert!(body.contains("does not count"), "{body}");
}

#[tokio::test]
async fn the_page_has_the_name_of_its_stage() {
    let (router, _queue) = stage(EventLogLimits::default()).await;
    let (status, body) = get(&router, "/").await;
    assert_eq!(status, StatusCode::OK);
    assert!(body.contains("<h1>stage-under-test</h1>\n  <p>stands alone</p>"), "{body}");
}
