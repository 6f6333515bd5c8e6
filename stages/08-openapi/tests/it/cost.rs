//! What it costs to check a message against the contract.

use std::hint::black_box;
use std::sync::Arc;
use std::time::{Duration, Instant};

use base64::Engine as _;
use http::Method;
use serde_json::{Value, json};
use shared::http::Endpoint;

use crate::in_process::{FixedApi, accepted, endpoint, fixed, request, send};

/// The size of the request, in bytes.
const SIZE: usize = 64 << 10;
/// Requests that are measured.
const TIMES: usize = 200;
/// The most that the median may be. Without optimization everything takes some twenty times as long.
const BUDGET: Duration = Duration::from_millis(if cfg!(debug_assertions) { 30 } else { 1 });

/// A submission of [`SIZE`] bytes that uses everything a submission can have.
fn submission() -> String {
    let line = "print('a line of a program', 6 * 7)  # and what it says\n";
    let binary = base64::engine::general_purpose::STANDARD.encode([7_u8; 1 << 10]);
    let file = |at: usize| (format!("data/part-{at}.bin"), json!({ "base64": binary }));
    let files: serde_json::Map<_, _> = (0..16).map(file).collect();
    let labels: serde_json::Map<_, _> =
        (0..16).map(|at| (format!("label-{at}"), json!("v".repeat(200)))).collect();
    let mut body = json!({
        "code": "", "stdin": "in".repeat(1 << 10), "files": Value::Object(files),
        "labels": Value::Object(labels), "timeout_seconds": 2.5, "memory_bytes": 67_108_864,
    });
    let rest = SIZE - body.to_string().len();
    // Each line break is two characters in JSON.
    body["code"] = line.repeat(rest / (line.len() + 1)).into();
    body.to_string()
}

async fn median(api: &Endpoint, body: &str) -> Duration {
    let mut times = Vec::with_capacity(TIMES);
    for _ in 0..TIMES {
        let request = request(Method::POST, "/eval").header("prefer", "wait=10");
        let request = request.header("content-type", "application/json");
        let body = body.to_owned();
        let started = Instant::now();
        let response = black_box(send(api, (request, body)).await);
        times.push(started.elapsed());
        assert_eq!(response.status(), 202);
    }
    times.sort_unstable();
    times[TIMES / 2]
}

#[tokio::test]
async fn alone_a_large_request_costs_less_than_a_millisecond() {
    let body = submission();
    assert!((SIZE - 200..=SIZE).contains(&body.len()), "{} bytes", body.len());
    let bare = median(&endpoint(Arc::new(FixedApi(accepted))), &body).await;
    let checked = median(&fixed(accepted, true), &body).await;
    let cost = checked.saturating_sub(bare);
    println!(
        "{} bytes, checked against the contract: {cost:?} at the median of {TIMES}",
        body.len()
    );
    assert!(cost <= BUDGET, "{cost:?}");
}
