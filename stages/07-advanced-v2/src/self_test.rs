//! The API verifies itself: by requests that are plain values, without a socket.
//!
//! What changes something is sent to the routes of a scratch platform, so that no program of a check
//! has a place in the live queue.

use std::sync::Arc;

use bytes::Bytes;
use http::request::Builder;
use http::{Method, Request, StatusCode, header};
use http_body::Body as _;
use http_body_util::{BodyExt, Full};
use serde_json::{Value, json};
use shared::component::{CheckResult, SelfTestResult};
use shared::http::{Endpoint, Response};
use shared::{BoxFuture, TestCase, TestableComponent};
use stage_06_advanced::ScratchError;
use tokio_util::sync::CancellationToken;

use crate::restful::RestfulApi;

/// No evaluation has this id.
const UNKNOWN_EVALUATION: &str = "/eval/00000000-0000-7000-8000-000000000000";

impl TestableComponent for RestfulApi {
    fn name(&self) -> &'static str {
        "api"
    }

    fn self_test(&self) -> BoxFuture<'_, SelfTestResult> {
        Box::pin(async {
            let response = self.send(request(Method::GET, "/health"), "").await;
            let (status, body) = read(response).await?;
            match (status, &body["status"]) {
                (StatusCode::OK, Value::String(alive)) => Ok(format!("it is {alive}")),
                _ => Err(format!("GET /health was answered {status}: {body}").into()),
            }
        })
    }

    fn test_suite(&self) -> Vec<TestCase<'_>> {
        vec![
            TestCase::new("a program goes in, and its end comes out", self.evaluates()),
            TestCase::new("every wrong request is a problem", self.refuses()),
            TestCase::new("HEAD is GET without the body", self.answers_head()),
        ]
    }
}

impl RestfulApi {
    /// Sends a request as an adapter does: through the endpoint.
    async fn send(&self, request: Builder, body: impl Into<Bytes>) -> Response {
        send(&self.endpoint, request, body).await
    }

    async fn evaluates(&self) -> CheckResult {
        let scratch = match self.platform.scratch().await {
            Err(ScratchError::NoEngine) => return Ok("workers elsewhere run programs".to_owned()),
            scratch => scratch.map_err(|error| error.to_string())?,
        };
        let (routes, options) = (scratch.platform().router(), self.endpoint.options().clone());
        let endpoint = Endpoint::new(Arc::new(routes), options, CancellationToken::new());
        let submission = submit().header("prefer", "wait=30");
        let body = json!({ "code": "print(6 * 7)" }).to_string();
        let (status, evaluation) = read(send(&endpoint, submission, body).await).await?;
        if status != StatusCode::OK || evaluation["stdout"]["text"] != "42\n" {
            return Err(format!("a program that prints 42 was answered {status}: {evaluation}"));
        }
        let path = format!("/eval/{}/events", evaluation["id"].as_str().unwrap_or_default());
        let events = send(&endpoint, request(Method::GET, &path), "").await;
        if events.body().size_hint().exact().is_some() {
            return Err(format!("the events were answered {}, not as a stream", events.status()));
        }
        let text = collect(events).await?;
        let text = String::from_utf8_lossy(&text);
        if text.contains("event: evaluation.completed\n") {
            Ok("submitted, answered, and followed in a stream that ended".to_owned())
        } else {
            Err(format!("the stream of its events was {text}"))
        }
    }

    async fn refuses(&self) -> CheckResult {
        let get = |path| (request(Method::GET, path), "");
        let mut invalid = vec![
            (get("/nowhere"), StatusCode::NOT_FOUND),
            (get(UNKNOWN_EVALUATION), StatusCode::NOT_FOUND),
            (get("/eval?limt=1"), StatusCode::BAD_REQUEST),
            ((request(Method::PUT, "/eval"), ""), StatusCode::METHOD_NOT_ALLOWED),
            ((request(Method::POST, "/eval"), ""), StatusCode::UNSUPPORTED_MEDIA_TYPE),
            ((submit(), "{"), StatusCode::BAD_REQUEST),
            ((submit(), r#"{"code": "", "memory_bytes": 0}"#), StatusCode::UNPROCESSABLE_ENTITY),
            ((submit().header(header::ORIGIN, "http://evil.example"), "{}"), StatusCode::FORBIDDEN),
        ];
        if !self.endpoint.options().any_host {
            let foreign = Request::get("/eval").header(header::HOST, "evil.example");
            invalid.push(((foreign, ""), StatusCode::MISDIRECTED_REQUEST));
        }
        let count = invalid.len();
        for ((request, body), expected) in invalid {
            let sent = format!("{:?} {:?}", request.method_ref(), request.uri_ref());
            let response = self.send(request, body).await;
            let media = response.headers().get(header::CONTENT_TYPE).cloned();
            let (status, body) = read(response).await?;
            let is_problem = media.is_some_and(|media| media == "application/problem+json");
            if status != expected || !is_problem {
                return Err(format!("{sent} should be {expected}, and was {status}: {body}"));
            }
        }
        Ok(format!("{count} invalid requests, {count} problems"))
    }

    async fn answers_head(&self) -> CheckResult {
        let get = self.send(request(Method::GET, "/health"), "").await;
        let head = self.send(request(Method::HEAD, "/health"), "").await;
        let length = head.headers().get(header::CONTENT_LENGTH);
        let length = length.and_then(|value| value.to_str().ok()?.parse().ok());
        let same_status = head.status() == get.status();
        let (whole, none) = (collect(get).await?, collect(head).await?);
        if same_status && none.is_empty() && length == Some(whole.len()) {
            Ok(format!("no body, and the length of one: {} bytes", whole.len()))
        } else {
            Err(format!("the body is {none:?}, the length is {length:?} of {}", whole.len()))
        }
    }
}

/// Sends a request through an endpoint.
async fn send(endpoint: &Endpoint, request: Builder, body: impl Into<Bytes>) -> Response {
    // The parts are constants, apart from ids of the platform's own.
    endpoint.answer(request.body(Full::new(body.into())).unwrap_or_default()).await
}

/// A request to this machine.
fn request(method: Method, target: &str) -> Builder {
    Request::builder().method(method).uri(target).header(header::HOST, "localhost")
}

fn submit() -> Builder {
    request(Method::POST, "/eval").header(header::CONTENT_TYPE, "application/json")
}

async fn collect(response: Response) -> Result<Bytes, String> {
    let collected = response.into_body().collect().await;
    collected.map(http_body_util::Collected::to_bytes).map_err(|error| error.to_string())
}

async fn read(response: Response) -> Result<(StatusCode, Value), String> {
    let status = response.status();
    Ok((status, serde_json::from_slice(&collect(response).await?).unwrap_or_default()))
}
