//! The API verifies itself: by plain values, with no socket.

use http::{Method, StatusCode};
use serde_json::{Value, json};
use shared::component::CheckResult;
use shared::{BoxFuture, TestCase, TestableComponent};

use crate::request::ApiRequest;
use crate::response::{ApiBody, ApiResponse};
use crate::restful::RestfulApi;
use crate::service::ApiService;

impl TestableComponent for RestfulApi {
    fn name(&self) -> &'static str {
        "api"
    }

    fn self_test(&self) -> BoxFuture<'_, CheckResult> {
        Box::pin(async {
            let answer = self.handle(ApiRequest::new(Method::GET, "/health")).await;
            let (status, body) = read(answer).await;
            match (status, &body["status"]) {
                (StatusCode::OK, Value::String(alive)) => Ok(format!("it is {alive}")),
                _ => Err(format!("GET /health answered {status}: {body}")),
            }
        })
    }

    fn test_suite(&self) -> Vec<TestCase<'_>> {
        vec![
            TestCase::new("a program goes in, and its end comes out", self.evaluates()),
            TestCase::new("every wrong request is a problem", self.refuses()),
            TestCase::new("HEAD is GET without the body", self.heads()),
        ]
    }
}

impl RestfulApi {
    async fn evaluates(&self) -> CheckResult {
        let request = ApiRequest::new(Method::POST, "/eval")
            .with_header("prefer", "wait=30")
            .with_json(&json!({ "code": "print(6 * 7)" }));
        let (status, ended) = read(self.handle(request).await).await;
        if status != StatusCode::OK || ended["stdout"]["text"] != "42\n" {
            return Err(format!("a program that prints 42 was answered {status}: {ended}"));
        }
        let path = format!("/eval/{}/events", ended["id"].as_str().unwrap_or_default());
        let events = self.handle(ApiRequest::new(Method::GET, &path)).await;
        let ApiBody::Stream(_) = &events.body else {
            return Err(format!("the events are no stream but {events:?}"));
        };
        let text = events.body.collect().await;
        let text = String::from_utf8_lossy(&text);
        if text.contains("event: evaluation.completed\n") {
            Ok("submitted, answered, and told in a stream that ended".to_owned())
        } else {
            Err(format!("the stream of its events was {text}"))
        }
    }

    async fn refuses(&self) -> CheckResult {
        let post = |body: &'static str| {
            let json = ApiRequest::new(Method::POST, "/eval").with_body(body);
            json.with_header("content-type", "application/json")
        };
        let plain = |method, path| ApiRequest::new(method, path);
        let nobody = "/eval/00000000-0000-7000-8000-000000000000";
        let wrong = [
            (plain(Method::GET, "/nowhere"), StatusCode::NOT_FOUND),
            (plain(Method::GET, nobody), StatusCode::NOT_FOUND),
            (plain(Method::PUT, "/eval"), StatusCode::METHOD_NOT_ALLOWED),
            (plain(Method::POST, "/eval"), StatusCode::UNSUPPORTED_MEDIA_TYPE),
            (plain(Method::GET, "/eval?limt=1"), StatusCode::BAD_REQUEST),
            (plain(Method::GET, "/eval").with_header("host", "evil.example"), MISDIRECTED),
            (post("{"), StatusCode::BAD_REQUEST),
            (post(r#"{"code": "", "memory_bytes": 0}"#), StatusCode::UNPROCESSABLE_ENTITY),
        ];
        let count = wrong.len();
        for (request, expected) in wrong {
            let asked = format!("{} {}", request.method, request.path);
            let response = self.handle(request).await;
            let media = response.headers.get("content-type").cloned();
            let (status, body) = read(response).await;
            let is_problem = media.is_some_and(|media| media == "application/problem+json");
            if status != expected || !is_problem {
                return Err(format!("{asked} should be {expected}, and was {status}: {body}"));
            }
        }
        Ok(format!("{count} wrong requests, {count} problems"))
    }

    async fn heads(&self) -> CheckResult {
        let [get, head] = [Method::GET, Method::HEAD].map(|it| ApiRequest::new(it, "/health"));
        let (get, head) = (self.handle(get).await, self.handle(head).await);
        let length =
            head.headers.get("content-length").and_then(|it| it.to_str().ok()?.parse().ok());
        let (whole, nothing) = (get.body.collect().await, head.body.collect().await);
        if head.status == get.status && nothing.is_empty() && length == Some(whole.len()) {
            Ok(format!("no body, and the length of one: {} bytes", whole.len()))
        } else {
            Err(format!("the body is {nothing:?}, the length is {length:?} of {}", whole.len()))
        }
    }
}

const MISDIRECTED: StatusCode = StatusCode::MISDIRECTED_REQUEST;

async fn read(response: ApiResponse) -> (StatusCode, Value) {
    let body = response.body.collect().await;
    (response.status, serde_json::from_slice(&body).unwrap_or_default())
}
