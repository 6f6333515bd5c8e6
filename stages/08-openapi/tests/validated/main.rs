//! An API held to the contract: what is refused, what is not sent, and what is told of both.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "in a test, a panic is the report of a failure"
)]

mod cost;
mod requests;
mod responses;

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use http::{HeaderMap, HeaderValue, Method, StatusCode};
use serde_json::{Value, json};
use shared::http::ServerOptions;
use shared::{Bounds, BoxFuture, Limits, TestableComponent};
use stage_02_queue::{ArchiveLimits, QueueOptions, SubprocessEngine, TaskQueue};
use stage_03_monitoring::{AdvancedMonitor, InMemoryMonitor, MonitorOptions};
use stage_06_advanced::{InMemoryStorage, Parts, Platform, PlatformOptions};
use stage_07_advanced_v2::{ApiBody, ApiRequest, ApiResponse, ApiService, RestfulApi};
use stage_08_openapi::{Contract, DocumentedApi, OpenApiValidatedApi, PATHS};

const ID: &str = "019abcde-f012-7345-8678-9abcdef01234";
const BOUNDS: Bounds = Bounds {
    default: Limits {
        timeout_seconds: 10.0,
        cpu_seconds: 10.0,
        memory_bytes: 256 << 20,
        pids: 64,
        output_bytes: 1 << 20,
        disk_bytes: 1 << 20,
        open_files: 64,
    },
    max_timeout_seconds: 300.0,
    max_memory_bytes: 1 << 30,
};

fn contract() -> Arc<Contract> {
    Arc::new(Contract::of_the_platform(&BOUNDS).unwrap())
}

async fn platform() -> Arc<Platform> {
    let engine = Arc::new(SubprocessEngine::new().await.unwrap());
    let monitor = Arc::new(AdvancedMonitor::new(InMemoryMonitor::new(MonitorOptions::default())));
    let storage = Arc::new(InMemoryStorage::new(ArchiveLimits::default(), monitor.clone()));
    let options = QueueOptions { workers: 2, capacity: 10, limits: BOUNDS.default };
    let queue = TaskQueue::with_archive(engine.clone(), monitor.clone(), options, storage.clone());
    let options = PlatformOptions {
        stage: "stage-08-openapi",
        isolation: "none",
        bounds: BOUNDS,
        self_test_every: Duration::from_hours(1),
    };
    Platform::new(Parts { engine, queue, monitor, storage }, options)
}

/// The API as it is served, and its platform.
async fn served() -> (Arc<OpenApiValidatedApi<DocumentedApi<Arc<RestfulApi>>>>, Arc<Platform>) {
    let platform = platform().await;
    let api = RestfulApi::new(&platform, ServerOptions::default());
    let api = DocumentedApi::new(api, contract());
    (OpenApiValidatedApi::verified(api, contract(), true, &platform), platform)
}

/// An API whose every answer is one that a test has chosen.
struct Says(fn() -> ApiResponse);

impl ApiService for Says {
    fn handle(&self, _request: ApiRequest) -> BoxFuture<'_, ApiResponse> {
        Box::pin(async { self.0() })
    }
}

fn says(answer: fn() -> ApiResponse, strict: bool) -> OpenApiValidatedApi<Says> {
    OpenApiValidatedApi::new(Says(answer), contract(), strict)
}

fn answer(status: u16, media: &'static str, body: ApiBody) -> ApiResponse {
    let mut headers = HeaderMap::new();
    if !media.is_empty() {
        headers.insert("content-type", HeaderValue::from_static(media));
    }
    ApiResponse { status: StatusCode::from_u16(status).unwrap(), headers, body }
}

fn with_json(status: u16, value: &Value) -> ApiResponse {
    answer(status, "application/json", ApiBody::Bytes(value.to_string().into()))
}

fn health(status: &str) -> ApiResponse {
    with_json(200, &json!({ "status": status }))
}

fn answer_to_a_submission() -> ApiResponse {
    let output = json!({ "text": "", "encoding": "utf8", "bytes_total": 0, "truncated": false });
    let mut response = with_json(
        202,
        &json!({
            "id": ID, "status": "queued", "outcome": null, "exit_code": null, "signal": null,
            "stdout": output, "stderr": output, "limits": BOUNDS.default,
            "sandbox": { "engine": "gvisor" },
            "timing": { "submitted_at": "2026-11-22T10:00:00Z" }, "attempt": 1,
        }),
    );
    let path = HeaderValue::from_str(&format!("/eval/{ID}")).unwrap();
    response.headers.insert("location", path);
    response
}

async fn ask(api: &impl ApiService, request: ApiRequest) -> (u16, Value) {
    let response = api.handle(request).await;
    let status = response.status.as_u16();
    let body = response.body.collect().await;
    (status, serde_json::from_slice(&body).unwrap_or_default())
}

fn get(target: &str) -> ApiRequest {
    ApiRequest::new(Method::GET, target)
}

#[tokio::test]
async fn the_contract_has_every_route_of_the_platform_and_no_other() {
    let platform = platform().await;
    let router = platform.router();
    let documents = PATHS.map(|path| ("GET".to_owned(), path.to_owned()));
    let served = router.routes().map(|(method, path)| (method.to_string(), path.to_owned()));
    let served: BTreeSet<_> = served.chain(documents).collect();
    let contract = contract();
    let operations = contract.operations().iter();
    let named: BTreeSet<_> =
        operations.map(|it| (it.method.to_string(), it.path.clone())).collect();
    assert_eq!(served, named);
    assert!(served.len() > 15, "{served:?}");
    let api = DocumentedApi::new(RestfulApi::new(&platform, ServerOptions::default()), contract);
    for path in PATHS {
        let (status, _) = ask(&api, get(&path.replace("{file}", "docs.js"))).await;
        assert_eq!(status, 200, "{path}");
    }
}

#[tokio::test]
async fn what_the_contract_does_not_name_does_not_exist() {
    let api = says(|| health("alive"), true);
    for path in ["/debug", "/health/", "/eval/x/y", "/docs/other.js", "/%68ealth"] {
        let (status, problem) = ask(&api, get(path)).await;
        assert_eq!((status, &problem["status"]), (404, &json!(404)), "{path}");
    }
    for (method, path, allowed) in [
        (Method::PUT, "/eval", "GET, POST"),
        (Method::OPTIONS, "/eval", "GET, POST"),
        (Method::TRACE, "/health", "GET"),
        (Method::PATCH, "/eval/1", "GET, DELETE"),
    ] {
        let response = api.handle(ApiRequest::new(method, path)).await;
        assert_eq!(response.status, 405);
        assert_eq!(response.headers["allow"], allowed, "{path}");
    }
}

#[tokio::test]
async fn head_is_get_without_a_body_also_where_it_is_refused() {
    let (api, _platform) = served().await;
    for (path, status) in
        [("/health", 200), ("/openapi.json", 200), ("/nowhere", 404), ("/docs", 200)]
    {
        let head = api.handle(ApiRequest::new(Method::HEAD, path)).await;
        let get = api.handle(get(path)).await;
        assert_eq!((head.status, get.status.as_u16()), (get.status, status), "{path}");
        let whole = get.body.collect().await;
        assert_eq!(head.headers["content-length"], whole.len().to_string(), "{path}");
        assert!(head.body.collect().await.is_empty());
    }
}

#[tokio::test]
async fn the_contract_verifies_itself_with_the_platform() {
    let (api, platform) = served().await;
    for case in api.test_suite() {
        let name = case.name;
        let finding = case.run.await;
        assert!(finding.is_ok(), "{name}: {finding:?}");
    }
    let report = platform.self_test(false).await.unwrap();
    assert!(report.passed, "{report:#?}");
    assert!(report.checks.iter().any(|check| check.component == "contract"), "{report:#?}");
    // One that answers something else finds out.
    let broken = says(|| health("dead"), true);
    assert!(broken.self_test().await.is_err());
}
