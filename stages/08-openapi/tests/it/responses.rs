//! Responses and events outside the contract: not sent, but logged and counted.

use std::io::Write;
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use futures_util::stream;
use http::{HeaderValue, Method};
use http_body::Frame;
use http_body_util::{BodyExt as _, StreamBody};
use serde_json::json;
use shared::http::{Body, BodyPolicy, MatchedRequest, Response, Router, full, take_body_stream};
use stage_08_openapi::{Contract, OpenApiValidatedApi};

use crate::in_process::{
    BOUNDS, FixedApi, ask, bytes, endpoint, evaluation, fixed, get, health, json_response, request,
    response, send,
};

/// Makes the response that a test has chosen.
type MakeResponse = fn() -> Response;

/// A body whose length is unknown.
fn streamed(pieces: Vec<Bytes>) -> Body {
    let frames = pieces.into_iter().map(|piece| Ok(Frame::data(piece)));
    Body::new(StreamBody::new(stream::iter(frames)))
}

/// What was logged while the future ran.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl Write for Log {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().write(bytes)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

impl Log {
    fn listen() -> (Self, tracing::subscriber::DefaultGuard) {
        let log = Self::default();
        let writer = log.clone();
        let lines = tracing_subscriber::fmt().with_ansi(false).with_writer(move || writer.clone());
        (log, tracing::subscriber::set_default(lines.finish()))
    }

    fn text(&self) -> String {
        String::from_utf8(self.0.lock().unwrap().clone()).unwrap()
    }
}

#[tokio::test]
async fn a_response_outside_the_contract_is_not_sent() {
    let chatty = || {
        let mut response = health("alive");
        response.headers_mut().insert("x-powered-by", HeaderValue::from_static("hunter2"));
        response
    };
    let answers: [(MakeResponse, &str); 7] = [
        (|| health("hunter2"), "body /status: give alive"),
        (
            || json_response(200, &json!({ "status": "alive", "user": "hunter2" })),
            "body /user: take",
        ),
        (
            || json_response(201, &json!({ "status": "alive" })),
            "status : getHealth has no answer 201",
        ),
        (|| response(200, "text/html", full("hunter2")), "header /content-type: no"),
        (|| response(200, "application/json", full("{")), "body : not JSON"),
        (chatty, "header /x-powered-by: this header is not announced"),
        (
            || response(200, "application/json", streamed(Vec::new())),
            "body : this answer is not a stream",
        ),
    ];
    for (broken, expected) in answers {
        let (log, _listening) = Log::listen();
        let (status, problem) = ask(&fixed(broken, true), get("/health")).await;
        assert_eq!((status, &problem["status"]), (500, &json!(500)), "{expected}");
        assert!(!problem.to_string().contains("hunter2"));
        let text = log.text();
        assert!(
            text.contains(expected) && text.contains("getHealth"),
            "{expected} is not in\n{text}"
        );
        assert!(!text.contains("hunter2"), "{text}");
        // Without strict mode it is sent, and logged all the same.
        let (status, _) = ask(&fixed(broken, false), get("/health")).await;
        assert_ne!(status, 500, "{expected}");
        assert_eq!(log.text().matches(expected).count(), 2);
    }
}

#[tokio::test]
async fn what_is_outside_the_contract_is_counted() {
    let text = || response(200, "application/openmetrics-text", full("# EOF\n"));
    let api = fixed(text, true);
    ask(&api, get("/health")).await;
    ask(&api, get("/queue?x=1")).await;
    ask(&api, get("/nowhere")).await;
    let metrics = bytes(send(&api, get("/metrics")).await).await;
    let metrics = String::from_utf8(metrics.to_vec()).unwrap();
    for line in [
        "crucible_contract_responses_broken_total{operation=\"getHealth\"} 1\n",
        "crucible_contract_requests_refused_total{operation=\"getQueue\",status=\"400\"} 1\n",
        "crucible_contract_requests_refused_total{operation=\"none\",status=\"404\"} 1\n",
    ] {
        assert!(metrics.contains(line), "{line} is not in\n{metrics}");
    }
}

fn event(data: &str, id: &str) -> Bytes {
    let kind = "platform.shutdown";
    let envelope = format!(
        "{{\"specversion\":\"1.0\",\"id\":\"{id}\",\"source\":\"s\",\"type\":\"{kind}\",\
         \"time\":\"2026-11-22T10:00:00Z\",\"datacontenttype\":\"application/json\",\"data\":{data}}}"
    );
    format!("event: {kind}\nid: {id}\ndata: {envelope}\n\n").into()
}

fn stream_of(pieces: Vec<Bytes>) -> Response {
    let mut response = response(200, "text/event-stream", streamed(pieces));
    response.headers_mut().insert("x-accel-buffering", HeaderValue::from_static("no"));
    response
}

#[tokio::test]
async fn a_stream_is_checked_event_by_event() {
    let good = || {
        let mut pieces = vec![Bytes::from(": still here\n\n")];
        // One event in two pieces, two events in one.
        let both = [event("{}", "1"), event("{}", "2")].concat();
        pieces.extend([both[..50].to_vec().into(), both[50..].to_vec().into()]);
        stream_of(pieces)
    };
    let api = fixed(good, true);
    let sent = bytes(send(&api, get("/events")).await).await;
    assert_eq!(sent, [&b": still here\n\n"[..], &event("{}", "1"), &event("{}", "2")].concat());
}

#[tokio::test]
async fn an_event_outside_the_contract_ends_a_strict_stream() {
    let broken = || {
        let events = [("{}", "1"), ("{\"who\":\"hunter2\"}", "2"), ("{}", "3")];
        stream_of(events.map(|(data, id)| event(data, id)).to_vec())
    };
    let (log, _listening) = Log::listen();
    let api = fixed(broken, true);
    let sent = bytes(send(&api, get("/events")).await).await;
    assert_eq!(sent, event("{}", "1"));
    assert!(log.text().contains("body /data/data: at most 0 members"), "{}", log.text());
    assert!(!log.text().contains("hunter2"));
    let sent = bytes(send(&fixed(broken, false), get("/events")).await).await;
    assert!(sent.ends_with(&event("{}", "3")));
}

#[tokio::test]
async fn what_is_no_event_is_a_violation_as_well() {
    let pieces: [MakeResponse; 3] = [
        || stream_of(vec!["event: x\nid: 1\ndata: {\n\n".into()]),
        || stream_of(vec!["data: {}\n\n".into()]),
        || {
            let other = String::from_utf8(event("{}", "1").to_vec()).unwrap();
            stream_of(vec![other.replacen("event: platform.shutdown", "event: x", 1).into()])
        },
    ];
    for broken in pieces {
        let (log, _listening) = Log::listen();
        let sent = bytes(send(&fixed(broken, true), get("/events")).await).await;
        assert!(sent.is_empty() && log.text().contains("an event breaks"), "{}", log.text());
    }
}

/// An event type that an overlay adds is within the contract, in strict mode as well.
#[tokio::test]
async fn an_event_type_of_an_overlay_passes_a_strict_stream() {
    const OVERLAY: &str = "
overlay: 1.0.0
info: {title: Sandboxes, version: 1.0.0}
actions:
  - target: $.components.schemas
    update:
      SandboxOpened: {allOf: [{$ref: '#/components/schemas/Envelope'}], type: object, required: [type], properties: {type: {const: sandbox.opened}}}
  - target: $.components.schemas.StreamEvent.oneOf
    update: {$ref: '#/components/schemas/SandboxOpened'}
";
    let opened = || {
        let text = String::from_utf8(event("{}", "1").to_vec()).unwrap();
        stream_of(vec![text.replace("platform.shutdown", "sandbox.opened").into()])
    };
    let sent = bytes(send(&fixed(opened, true), get("/events")).await).await;
    assert!(sent.is_empty());
    let extended = Arc::new(Contract::with_overlays(&BOUNDS, [OVERLAY]).unwrap());
    let api = endpoint(Arc::new(OpenApiValidatedApi::new(FixedApi(opened), extended, true)));
    let sent = bytes(send(&api, get("/events")).await).await;
    assert!(sent.starts_with(b"event: sandbox.opened\n"), "{sent:?}");
}

/// Binary content passes in both directions as a stream, and is not checked.
#[tokio::test]
async fn bytes_pass_unchecked_and_piece_by_piece() {
    const CONTRACT: &str = "
openapi: 3.1.0
paths:
  /small:
    put:
      operationId: putSmall
      requestBody: {required: true, x-max-body-bytes: 4, content: {application/json: {schema: {type: integer}}}}
      responses: {'200': {description: x, content: {application/octet-stream: {}}}}
  /files:
    put:
      operationId: putFiles
      requestBody: {required: true, x-max-body-bytes: 10, content: {application/x-tar: {}}}
      responses: {'200': {description: x, content: {application/octet-stream: {}}}}
";
    let echo = |request: MatchedRequest| async move {
        let body = take_body_stream(&request.request).unwrap();
        Ok(response(200, "application/octet-stream", body))
    };
    let small = |_| async { Ok(response(200, "application/octet-stream", full("small"))) };
    let router = Router::new().route(Method::PUT, "/small", small);
    let router = router.route(Method::PUT, "/files", echo).body_policy(
        &Method::PUT,
        "/files",
        BodyPolicy::Streamed { max_bytes: 1 << 20 },
    );
    let contract = Arc::new(Contract::parse(CONTRACT.to_owned()).unwrap());
    let api = endpoint(Arc::new(OpenApiValidatedApi::new(router, contract, true)));
    let put = |body: &'static [u8]| {
        let request = request(Method::PUT, "/files");
        (request.header("content-type", "application/x-tar"), body)
    };
    assert_eq!(bytes(send(&api, put(b"\xff\x00")).await).await, &b"\xff\x00"[..]);
    // The limit of the contract is below that of the route.
    let response = send(&api, put(b"12345678901")).await;
    assert!(response.into_body().collect().await.is_err());
    // So is the limit of a body that is read whole below that of the server.
    for (body, status) in [("1234", 200), ("12345", 413)] {
        let request = request(Method::PUT, "/small").header("content-type", "application/json");
        assert_eq!(send(&api, (request, body)).await.status(), status, "{body}");
    }
}

/// A page of two evaluations with a megabyte of output each, the second one with `change`.
fn large_page(change: impl Fn(&mut serde_json::Value)) -> Response {
    let mut one = evaluation();
    one["stdout"]["text"] = "\u{1}".repeat(1 << 20).into();
    let mut other = one.clone();
    change(&mut other);
    json_response(200, &json!({ "items": [one, other], "next_cursor": null }))
}

/// Attack: each large response is parsed again for its check -> what is parsed is its outline. In
/// strict mode a violation ends it before its last piece, so that its length is not reached.
#[tokio::test]
async fn a_large_response_is_checked_by_its_outline() {
    let good = || large_page(|_| ());
    let sent = send(&fixed(good, true), get("/eval")).await;
    assert_eq!(sent.status(), 200);
    let length = http_body::Body::size_hint(sent.body()).exact().unwrap();
    assert!(length > 12 << 20);
    assert_eq!(bytes(sent).await.len() as u64, length);

    let broken = || large_page(|one| one["stdout"]["hunter2"] = "hunter2".into());
    let (log, _listening) = Log::listen();
    let sent = send(&fixed(broken, true), get("/eval")).await;
    assert!(sent.into_body().collect().await.is_err());
    let text = log.text();
    assert!(text.contains("body /items/1/stdout/hunter2: take this out"), "{text}");
    let sent = send(&fixed(broken, false), get("/eval")).await;
    assert!(sent.into_body().collect().await.is_ok());
}
