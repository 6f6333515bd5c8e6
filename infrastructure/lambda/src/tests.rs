//! Tests of the translation of events.

use futures_util::{StreamExt, stream};
use http::Method;
use http_body::Frame;
use http_body_util::StreamBody;
use serde_json::{Value, json};
use shared::http::{Body as HttpBody, ServerOptions, full};

use super::*;

mod rest;

/// An event as Amazon documents it for payload format 2.0.
fn event(change: &Value) -> http::Request<Full<Bytes>> {
    let mut event = json!({
        "version": "2.0",
        "routeKey": "$default",
        "rawPath": "/eval",
        "rawQueryString": "limit=1&label=a%3Ab",
        "cookies": ["a=1", "b=2"],
        "headers": { "host": "id.lambda-url.eu-west-1.on.aws", "prefer": "wait=1" },
        "requestContext": {
            "accountId": "anonymous",
            "apiId": "id",
            "domainName": "id.lambda-url.eu-west-1.on.aws",
            "domainPrefix": "id",
            "http": {
                "method": "POST",
                "path": "/eval",
                "protocol": "HTTP/1.1",
                "sourceIp": "203.0.113.7",
                "userAgent": "curl"
            },
            "requestId": "id",
            "routeKey": "$default",
            "stage": "$default",
            "time": "12/Mar/2026:19:03:58 +0000",
            "timeEpoch": 1_773_342_238_390_u64
        },
        "body": "{}",
        "isBase64Encoded": false
    });
    for (pointer, value) in change.as_object().unwrap() {
        *event.pointer_mut(pointer).unwrap() = value.clone();
    }
    request(lambda_http::request::from_str(&event.to_string()).unwrap())
}

async fn bytes(request: http::Request<Full<Bytes>>) -> Bytes {
    request.into_body().collect().await.unwrap().to_bytes()
}

#[tokio::test]
async fn an_event_is_a_request_like_any_other() {
    let request = event(&json!({}));
    assert_eq!((request.method(), request.uri().path()), (&Method::POST, "/eval"));
    assert_eq!(request.uri().query(), Some("limit=1&label=a%3Ab"));
    assert_eq!(request.headers()["prefer"], "wait=1");
    assert_eq!(request.headers()["cookie"], "a=1; b=2");
    let PeerAddr(peer) = request.extensions().get().unwrap();
    assert_eq!(peer.ip().to_string(), "203.0.113.7");
    assert_eq!(&bytes(request).await[..], b"{}");
    let empty = event(&json!({ "/rawQueryString": "", "/body": null }));
    assert_eq!(empty.uri().query(), None);
    assert!(bytes(empty).await.is_empty());
}

#[tokio::test]
async fn bytes_that_are_no_text_arrive_as_base64() {
    let request = event(&json!({ "/body": "/wAB", "/isBase64Encoded": true }));
    assert_eq!(&bytes(request).await[..], b"\xff\x00\x01");
}

#[test]
fn the_name_of_the_deployment_is_no_part_of_the_path() {
    let default = "id.execute-api.eu-west-1.amazonaws.com";
    for (domain, stage, raw, path) in [
        (default, "$default", "/eval/7", "/eval/7"),
        (default, "prod", "/prod/eval/7", "/eval/7"),
        (default, "prod", "/prod", "/"),
        (default, "eval", "/eval/eval/7", "/eval/7"),
        (default, "eva", "/eval", "/eval"),
        // Under a domain of its own it is absent, whatever it is called.
        ("api.example.com", "prod", "/eval/7", "/eval/7"),
        ("api.example.com", "eval", "/eval/7", "/eval/7"),
        ("api.example.com", "eval", "/eval", "/eval"),
    ] {
        let change = json!({
            "/requestContext/domainName": domain, "/requestContext/stage": stage, "/rawPath": raw
        });
        assert_eq!(event(&change).uri().path(), path, "{domain} {stage} {raw}");
    }
}

#[test]
fn a_path_does_not_end_early() {
    for (raw, path) in [
        ("/eval?limit=1", "/eval%3Flimit=1"),
        ("/eval#x", "/eval%23x"),
        ("/a b\r\n", "/a%20b%0D%0A"),
        ("/eval/%C3%A9", "/eval/%C3%A9"),
    ] {
        let request = event(&json!({ "/rawPath": raw }));
        assert_eq!(request.uri().path(), path, "{raw:?}");
        let query = request.uri().query();
        assert!(raw.contains('#') || query == Some("limit=1&label=a%3Ab"), "{raw:?}: {query:?}");
    }
}

fn streamed(pieces: impl futures_util::Stream<Item = Bytes> + Send + 'static) -> HttpBody {
    HttpBody::new(StreamBody::new(pieces.map(|piece| Ok(Frame::data(piece)))))
}

fn with_media(media: &'static str, body: HttpBody) -> shared::http::Response {
    let mut response = http::Response::new(body);
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(media));
    response
}

#[tokio::test(start_paused = true)]
async fn a_stream_without_an_end_is_answered_with_what_has_arrived() {
    let pieces = stream::iter([Bytes::from("id: 1\n"), Bytes::from("\n")]);
    let endless = streamed(pieces.chain(stream::pending()));
    let answer = whole(with_media("text/event-stream", endless), COLLECT_TIMEOUT).await.unwrap();
    assert!(matches!(answer.body(), Body::Text(text) if text == "id: 1\n\n"), "{answer:?}");
}

#[tokio::test]
async fn a_long_stream_is_cut_before_it_is_too_large_to_answer() {
    let endless = streamed(stream::repeat(Bytes::from(vec![b'x'; 1 << 20])));
    let answer = whole(with_media("text/event-stream", endless), COLLECT_TIMEOUT).await.unwrap();
    assert!(matches!(answer.body(), Body::Text(text) if text.len() == MAX_STREAM_BYTES));
}

/// Attack: half a file arrives with status 200, and is taken for the whole one.
#[tokio::test(start_paused = true)]
async fn a_stream_of_bytes_is_whole_or_a_problem() {
    let flood = streamed(stream::repeat(Bytes::from(vec![b'x'; 1 << 20])));
    let stalled = streamed(stream::iter([Bytes::from("half")]).chain(stream::pending()));
    for body in [flood, stalled] {
        let response = with_media("application/octet-stream", body);
        let answer = whole(response, COLLECT_TIMEOUT).await.unwrap();
        assert_eq!(answer.status(), 413);
    }
    let pieces = [Ok(Frame::data(Bytes::from("half"))), Err("the disk failed".into())];
    let failing = HttpBody::new(StreamBody::new(stream::iter(pieces)));
    let response = with_media("application/octet-stream", failing);
    assert!(whole(response, COLLECT_TIMEOUT).await.is_err());
}

#[tokio::test]
async fn an_answer_that_is_no_text_stays_what_it_is() {
    let bytes = full(b"\xff\x00".as_slice());
    let answer = whole(http::Response::new(bytes), COLLECT_TIMEOUT).await.unwrap();
    assert!(matches!(answer.body(), Body::Binary(bytes) if bytes == b"\xff\x00"));
}

#[tokio::test]
async fn an_answer_above_the_limit_of_lambda_is_a_problem() {
    for (body, fits) in [
        ("x".repeat(MAX_PAYLOAD_BYTES), true),
        ("x".repeat(MAX_PAYLOAD_BYTES + 1), false),
        ("\n".repeat(MAX_PAYLOAD_BYTES / 2 + 1), false),
    ] {
        let mut response = http::Response::new(full(body));
        response.headers_mut().insert("x-request-id", "r-1".parse().unwrap());
        let answer = whole(response, COLLECT_TIMEOUT).await.unwrap();
        assert_eq!(answer.status() == 200, fits);
        assert_eq!(answer.headers()["x-request-id"], "r-1");
        if let (false, Body::Text(text)) = (fits, answer.body()) {
            assert!(text.contains("6 MB") && text.contains("r-1"), "{text}");
        }
    }
}

/// What an adapter puts into the extensions of a request arrives at the handler.
#[tokio::test]
async fn the_address_of_the_client_arrives_at_the_handler() {
    use shared::http::{MatchedRequest, Router};
    let router = Router::new().route(Method::POST, "/eval", |request: MatchedRequest| async move {
        let peer = request.context().peer.unwrap().to_string();
        Ok(shared::http::bytes(StatusCode::OK, "text/plain", peer))
    });
    let options = ServerOptions { any_host: true, ..ServerOptions::default() };
    let endpoint =
        Endpoint::new(Arc::new(router), options, tokio_util::sync::CancellationToken::new());
    let answer = whole(endpoint.answer(event(&json!({}))).await, COLLECT_TIMEOUT).await.unwrap();
    assert!(matches!(answer.body(), Body::Text(text) if text == "203.0.113.7"), "{answer:?}");
}

/// Attack: an answer whose length is known is collected whole, however long it is -> no more of it is
/// taken than can be sent.
#[tokio::test]
async fn no_more_is_collected_than_can_be_sent() {
    use std::sync::atomic::{AtomicUsize, Ordering};
    static TAKEN: AtomicUsize = AtomicUsize::new(0);
    struct Long;
    impl http_body::Body for Long {
        type Data = Bytes;
        type Error = shared::BoxError;
        fn poll_frame(
            self: std::pin::Pin<&mut Self>,
            _context: &mut std::task::Context<'_>,
        ) -> std::task::Poll<Option<Result<Frame<Bytes>, shared::BoxError>>> {
            TAKEN.fetch_add(1, Ordering::Relaxed);
            let piece = Frame::data(Bytes::from(vec![b'x'; 1 << 16]));
            std::task::Poll::Ready(Some(Ok(piece)))
        }
        fn size_hint(&self) -> http_body::SizeHint {
            http_body::SizeHint::with_exact(1 << 40)
        }
    }
    let response = with_media("application/json", HttpBody::new(Long));
    let answer = whole(response, COLLECT_TIMEOUT).await.unwrap();
    assert_eq!(answer.status(), 413);
    assert!(TAKEN.load(Ordering::Relaxed) <= MAX_PAYLOAD_BYTES / (1 << 16) + 2);
}
