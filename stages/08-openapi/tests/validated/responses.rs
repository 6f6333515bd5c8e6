//! Responses and events outside the contract: not sent, and told where somebody looks.

use std::io::Write;
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use futures_util::{StreamExt, stream};
use http::HeaderValue;
use serde_json::json;
use stage_07_advanced_v2::{ApiBody, ApiResponse, ApiService};

use crate::{answer, ask, get, health, says, with_json};

/// Makes the answer that a test has chosen.
type Answer = fn() -> ApiResponse;

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
        response.headers.insert("x-powered-by", HeaderValue::from_static("hunter2"));
        response
    };
    let answers: [(Answer, &str); 7] = [
        (|| health("hunter2"), "body /status: give alive"),
        (|| with_json(200, &json!({ "status": "alive", "user": "hunter2" })), "body /user: take"),
        (|| with_json(201, &json!({ "status": "alive" })), "status : getHealth has no answer 201"),
        (|| answer(200, "text/html", ApiBody::Bytes("hunter2".into())), "header /content-type: no"),
        (|| answer(200, "application/json", ApiBody::Bytes("{".into())), "body : not JSON"),
        (chatty, "header /x-powered-by: this header is not announced"),
        (
            || answer(200, "application/json", ApiBody::Stream(stream::empty().boxed())),
            "body : this answer is not a stream",
        ),
    ];
    for (broken, said) in answers {
        let (log, _listening) = Log::listen();
        let (status, problem) = ask(&says(broken, true), get("/health")).await;
        assert_eq!((status, &problem["status"]), (500, &json!(500)), "{said}");
        assert!(!problem.to_string().contains("hunter2"));
        let text = log.text();
        assert!(text.contains(said) && text.contains("getHealth"), "{said} is not in\n{text}");
        assert!(!text.contains("hunter2"), "{text}");
        // Who is not strict sends it, and has it in the log all the same.
        let (status, _) = ask(&says(broken, false), get("/health")).await;
        assert_ne!(status, 500, "{said}");
        assert_eq!(log.text().matches(said).count(), 2);
    }
}

#[tokio::test]
async fn what_is_outside_the_contract_is_counted() {
    let text = || answer(200, "application/openmetrics-text", ApiBody::Bytes("# EOF\n".into()));
    let api = says(text, true);
    ask(&api, get("/health")).await;
    ask(&api, get("/queue?x=1")).await;
    ask(&api, get("/nowhere")).await;
    let metrics = api.handle(get("/metrics")).await.body.collect().await;
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

fn stream_of(pieces: Vec<Bytes>) -> ApiResponse {
    let mut response =
        answer(200, "text/event-stream", ApiBody::Stream(stream::iter(pieces).boxed()));
    response.headers.insert("x-accel-buffering", HeaderValue::from_static("no"));
    response
}

#[tokio::test]
async fn a_stream_is_looked_at_event_by_event() {
    let good = || {
        let mut pieces = vec![Bytes::from(": still here\n\n")];
        // Cut in the middle, two at once: a stream comes as it comes.
        let both = [event("{}", "1"), event("{}", "2")].concat();
        pieces.extend([both[..50].to_vec().into(), both[50..].to_vec().into()]);
        stream_of(pieces)
    };
    let api = says(good, true);
    let sent = api.handle(get("/events")).await.body.collect().await;
    assert_eq!(sent, [&b": still here\n\n"[..], &event("{}", "1"), &event("{}", "2")].concat());
}

#[tokio::test]
async fn an_event_outside_the_contract_ends_a_strict_stream() {
    let broken = || {
        let events = [("{}", "1"), ("{\"who\":\"hunter2\"}", "2"), ("{}", "3")];
        stream_of(events.map(|(data, id)| event(data, id)).to_vec())
    };
    let (log, _listening) = Log::listen();
    let api = says(broken, true);
    let sent = api.handle(get("/events")).await.body.collect().await;
    assert_eq!(sent, event("{}", "1"));
    assert!(log.text().contains("body /data/data: at most 0 members"), "{}", log.text());
    assert!(!log.text().contains("hunter2"));
    let sent = says(broken, false).handle(get("/events")).await.body.collect().await;
    assert!(sent.ends_with(&event("{}", "3")));
}

#[tokio::test]
async fn what_is_no_event_is_told_as_well() {
    let pieces: [Answer; 3] = [
        || stream_of(vec!["event: x\nid: 1\ndata: {\n\n".into()]),
        || stream_of(vec!["data: {}\n\n".into()]),
        || {
            let other = String::from_utf8(event("{}", "1").to_vec()).unwrap();
            stream_of(vec![other.replacen("event: platform.shutdown", "event: x", 1).into()])
        },
    ];
    for broken in pieces {
        let (log, _listening) = Log::listen();
        let sent = says(broken, true).handle(get("/events")).await.body.collect().await;
        assert!(sent.is_empty() && log.text().contains("an event breaks"), "{}", log.text());
    }
}
