//! Requests outside the contract: rejected, with all violations at once and no value repeated.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use bytes::Bytes;
use futures_util::stream;
use http::Method;
use http_body::Frame;
use http_body_util::StreamBody;
use serde_json::{Value, json};

use crate::in_process::{ID, ask, bytes, get, post, request, send, served};

fn with_header(
    (request, body): (http::request::Builder, String),
    name: &str,
    value: &str,
) -> (http::request::Builder, String) {
    (request.header(name, value), body)
}

/// Where the violations of a problem are: `body/code`, `query/limit`.
fn places(problem: &Value) -> Vec<String> {
    let errors = problem["errors"].as_array().cloned().unwrap_or_default();
    let place = |error: &Value| {
        let part = error["in"].as_str().unwrap();
        format!("{part}{}", error["pointer"].as_str().unwrap())
    };
    errors.iter().map(place).collect()
}

#[tokio::test]
async fn all_violations_of_a_request_come_at_once_each_with_its_pointer() {
    let (_, api, _platform) = served().await;
    let file = |path: &str| json!({ "code": "", "files": { path: "" } });
    for (request, status, expected) in [
        (post(&json!({})), 400, vec!["body/code"]),
        (post(&json!([])), 400, vec!["body"]),
        (post(&json!({ "code": 7, "imag": 1 })), 400, vec!["body/code", "body/imag"]),
        (post(&json!({ "code": "\0" })), 422, vec!["body/code"]),
        (
            post(&json!({ "code": "", "timeout_seconds": 0, "memory_bytes": 7.5 })),
            400,
            vec!["body/timeout_seconds", "body/memory_bytes"],
        ),
        (post(&json!({ "code": "", "stdin": { "base64": "!" } })), 422, vec!["body/stdin/base64"]),
        (post(&file("../x")), 422, vec!["body/files/..~1x"]),
        (post(&file("main.py")), 422, vec!["body/files/main.py"]),
        (post(&json!({ "code": "", "labels": { "a": "\n" } })), 422, vec!["body/labels/a"]),
        (
            with_header(post(&json!({ "code": "" })), "prefer", "wait=1e3"),
            400,
            vec!["header/Prefer"],
        ),
        (
            get("/eval?limit=0&status=ended&limt=1&cursor=x&label=a&label=b"),
            400,
            vec![
                "query/limt",
                "query/label",
                "query/status",
                "query/label",
                "query/limit",
                "query/cursor",
            ],
        ),
        (get("/eval/not-an-id?x=1"), 404, vec!["path/id", "query/x"]),
        (
            with_header(get(&format!("/eval/{ID}/events")), "last-event-id", "-1"),
            400,
            vec!["header/Last-Event-ID"],
        ),
        (get("/health?ready=True"), 400, vec!["query/ready"]),
        (get("/health?ready"), 400, vec!["query/ready"]),
    ] {
        let sent = format!("{:?} {}", request.0.uri_ref(), request.1);
        let (answered, problem) = ask(&api, request).await;
        assert_eq!(answered, status, "{sent}: {problem}");
        let (found, expected): (BTreeSet<_>, BTreeSet<_>) = (
            places(&problem).into_iter().collect(),
            expected.iter().map(ToString::to_string).collect(),
        );
        assert_eq!(found, expected, "{sent}: {problem}");
    }
}

#[tokio::test]
async fn a_body_of_another_media_type_is_told_apart_from_an_invalid_one() {
    let (_, api, _platform) = served().await;
    let body = |media: &'static str, body: &'static str| {
        let request = (request(Method::POST, "/eval"), body.to_owned());
        if media.is_empty() { request } else { with_header(request, "content-type", media) }
    };
    for (request, status) in [
        (body("", r#"{"code": ""}"#), 415),
        (body("text/plain", r#"{"code": ""}"#), 415),
        (body("application/x-www-form-urlencoded", "code=1"), 415),
        (body("application/json", ""), 400),
        (body("application/json", "{\"code\": \"\", "), 400),
        (body("application/json", "{\"code\": \"\"} x"), 400),
        (body("application/json", r#"{"code": "1", "code": "2"}"#), 400),
        (body("application/json", r#"{"code": "", "files": {"a": "1", "a": "2"}}"#), 400),
        (body("Application/JSON; charset=utf-8", r#"{"code": ""}"#), 202),
    ] {
        let sent = request.1.clone();
        let (answered, problem) = ask(&api, request).await;
        assert_eq!(answered, status, "{sent}: {problem}");
    }
}

#[tokio::test]
async fn an_answer_is_bounded_and_never_repeats_what_was_sent() {
    let (_, api, _platform) = served().await;
    let secret = "hunter2";
    let many: serde_json::Map<_, _> =
        (0..1000).map(|at| (format!("{}{at}", "n".repeat(900)), json!(secret))).collect();
    let response = send(&api, post(&Value::Object(many))).await;
    assert_eq!(response.status(), 400);
    let text = bytes(response).await;
    assert!(text.len() < 64 << 10, "{} bytes", text.len());
    let problem: Value = serde_json::from_slice(&text).unwrap();
    assert_eq!(problem["errors"].as_array().unwrap().len(), 64);
    assert!(!problem.to_string().contains(secret));
    let wrong = [
        post(&json!({ "code": secret, "stdin": [secret], "files": { "a": secret, "..": secret } })),
        post(&json!({ "code": secret, "labels": { "a": format!("{secret}\n") } })),
        get(&format!("/eval?status={secret}&cursor={secret}")),
        get(&format!("/eval/{secret}")),
    ];
    for request in wrong {
        let (_, problem) = ask(&api, request).await;
        assert!(!places(&problem).is_empty(), "{problem}");
        assert!(!problem.to_string().contains(secret), "{problem}");
    }
}

/// Attack: a client sends two megabytes with each request that is rejected anyway → the head is checked
/// before the body is read.
#[tokio::test]
async fn a_head_outside_the_contract_costs_no_body() {
    let (_, api, _platform) = served().await;
    for (method, target, media, status) in [
        (Method::POST, "/eval?dry=1", "application/json", 400),
        (Method::POST, "/eval", "text/plain", 415),
        (Method::DELETE, "/eval/7", "application/json", 404),
        (Method::POST, "/nowhere", "application/json", 404),
        (Method::PUT, "/eval", "application/json", 405),
    ] {
        let read = Arc::new(AtomicBool::new(false));
        let flag = read.clone();
        let body = stream::once(async move {
            flag.store(true, Ordering::Relaxed);
            Ok::<_, std::io::Error>(Frame::data(Bytes::from("{}")))
        });
        let request = request(method, target).header("content-type", media);
        let response = api.answer(request.body(StreamBody::new(Box::pin(body))).unwrap()).await;
        assert_eq!(response.status(), status, "{target}");
        assert!(!read.load(Ordering::Relaxed), "{target}: the body was read");
    }
}
