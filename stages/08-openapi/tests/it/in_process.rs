//! An API in this process, with the contract around it.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::request::Builder;
use http::{HeaderValue, Method, Request, StatusCode};
use http_body_util::{BodyExt, Full};
use serde_json::{Value, json};
use shared::http::{ApiService, Body, Endpoint, Response, ServerOptions, full};
use shared::{Bounds, BoxFuture, Limits};
use stage_02_queue::{ArchiveLimits, QueueOptions, SubprocessEngine, TaskQueue};
use stage_03_monitoring::{AdvancedMonitor, InMemoryMonitor, MonitorOptions};
use stage_06_advanced::{Components, InMemoryStorage, Platform, PlatformOptions};
use stage_07_advanced_v2::RestfulApi;
use stage_08_openapi::{Contract, OpenApiValidatedApi, docs_routes};
use tokio_util::sync::CancellationToken;

pub(crate) const ID: &str = "019abcde-f012-7345-8678-9abcdef01234";
pub(crate) const BOUNDS: Bounds = Bounds {
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
    max_attempts: 1,
};

/// The API of a stage with the contract around it.
pub(crate) type ValidatedApi = OpenApiValidatedApi<Arc<RestfulApi>>;

pub(crate) fn contract() -> Arc<Contract> {
    Arc::new(Contract::load(&BOUNDS).unwrap())
}

pub(crate) async fn platform() -> Arc<Platform> {
    let engine = Arc::new(SubprocessEngine::new().await.unwrap());
    let monitor = Arc::new(AdvancedMonitor::new(InMemoryMonitor::new(MonitorOptions::default())));
    let storage = Arc::new(InMemoryStorage::new(ArchiveLimits::default(), monitor.clone()));
    let options = QueueOptions { workers: 2, capacity: 10, limits: BOUNDS.default };
    let queue = TaskQueue::with_archive(engine.clone(), monitor.clone(), options, storage.clone());
    let options = PlatformOptions {
        stage: "stage-08-openapi",
        isolation: "none",
        bounds: BOUNDS,
        self_test_interval: Duration::from_hours(1),
    };
    Platform::new(Components { engine: Some(engine), queue, monitor, storage }, options)
}

/// The API as it is served, its endpoint, and its platform.
pub(crate) async fn served() -> (Arc<ValidatedApi>, Endpoint, Arc<Platform>) {
    let (platform, contract) = (platform().await, contract());
    let router = platform.router().merge(docs_routes(contract.clone()));
    let api = RestfulApi::new(&platform, router, ServerOptions::default());
    let api = OpenApiValidatedApi::registered(api, contract, true, &platform);
    (api.clone(), endpoint(api), platform)
}

pub(crate) fn endpoint(api: Arc<dyn ApiService>) -> Endpoint {
    Endpoint::new(api, ServerOptions::default(), CancellationToken::new())
}

/// An API whose every response is one that a test has chosen.
pub(crate) struct FixedApi(pub(crate) fn() -> Response);

impl ApiService for FixedApi {
    fn call(&self, _request: shared::http::Request) -> BoxFuture<'_, Response> {
        let response = self.0();
        Box::pin(async { response })
    }
}

/// The endpoint of an API with this response, checked against the contract.
pub(crate) fn fixed(response: fn() -> Response, strict: bool) -> Endpoint {
    endpoint(Arc::new(OpenApiValidatedApi::new(FixedApi(response), contract(), strict)))
}

pub(crate) fn response(status: u16, media: &'static str, body: Body) -> Response {
    let mut response = Response::new(body);
    *response.status_mut() = StatusCode::from_u16(status).unwrap();
    if !media.is_empty() {
        response.headers_mut().insert("content-type", HeaderValue::from_static(media));
    }
    response
}

pub(crate) fn json_response(status: u16, value: &Value) -> Response {
    response(status, "application/json", full(value.to_string()))
}

pub(crate) fn health(status: &str) -> Response {
    json_response(200, &json!({ "status": status }))
}

/// An evaluation that waits.
pub(crate) fn evaluation() -> Value {
    let output = json!({ "text": "", "encoding": "utf8", "bytes_total": 0, "truncated": false });
    json!({
        "id": ID, "status": "queued", "outcome": null, "exit_code": null, "signal": null,
        "stdout": output, "stderr": output, "limits": BOUNDS.default,
        "sandbox": { "engine": "gvisor" },
        "timing": { "submitted_at": "2026-11-22T10:00:00Z" }, "attempt": 1,
    })
}

pub(crate) fn accepted() -> Response {
    let mut response = json_response(202, &evaluation());
    let path = HeaderValue::from_str(&format!("/eval/{ID}")).unwrap();
    response.headers_mut().insert("location", path);
    response
}

/// A request to this machine.
pub(crate) fn request(method: Method, target: &str) -> Builder {
    Request::builder().method(method).uri(target).header("host", "localhost")
}

pub(crate) fn get(target: &str) -> (Builder, String) {
    (request(Method::GET, target), String::new())
}

pub(crate) fn post(body: &Value) -> (Builder, String) {
    let request = request(Method::POST, "/eval").header("content-type", "application/json");
    (request, body.to_string())
}

pub(crate) async fn send(
    endpoint: &Endpoint,
    (request, body): (Builder, impl Into<Bytes>),
) -> Response {
    endpoint.answer(request.body(Full::new(body.into())).unwrap()).await
}

/// The status and the JSON of a response.
pub(crate) async fn ask(endpoint: &Endpoint, request: (Builder, impl Into<Bytes>)) -> (u16, Value) {
    let response = send(endpoint, request).await;
    let status = response.status().as_u16();
    (status, serde_json::from_slice(&bytes(response).await).unwrap_or_default())
}

pub(crate) async fn bytes(response: Response) -> Bytes {
    response.into_body().collect().await.unwrap().to_bytes()
}
