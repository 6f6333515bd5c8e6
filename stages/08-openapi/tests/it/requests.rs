//! Requests outside the contract: rejected, with all violations at once and no value repeated.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use bytes::Bytes;
use futures_util::stream;
use http::Method;
use http_body::Frame;
use http_body_util::StreamBody;
use serde_json::{Value, json};

use crate::in_process::{ask, bytes, get, post, request, send, served};
use crate::invalid::{Invalid, bodies, invalid, places};

#[tokio::test]
async fn all_violations_of_a_request_come_at_once_each_with_its_pointer() {
    let (_, api, _platform) = served().await;
    for one in invalid() {
        let (status, problem) = ask(&api, built(&one)).await;
        one.assert_answered(status, &problem);
    }
}

#[tokio::test]
async fn a_body_of_another_media_type_is_told_apart_from_an_invalid_one() {
    let (_, api, _platform) = served().await;
    for one in bodies() {
        let (status, problem) = ask(&api, built(&one)).await;
        one.assert_answered(status, &problem);
    }
}

fn built(one: &Invalid) -> (http::request::Builder, String) {
    let request = request(one.method.clone(), &one.target);
    let add = |request: http::request::Builder, (name, value)| request.header(name, value);
    (one.headers.iter().copied().fold(request, add), one.body.clone())
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
