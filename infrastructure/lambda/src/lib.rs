//! An [`ApiService`] behind AWS Lambda: for events of an HTTP API (API Gateway v2) and of function
//! URLs, which have the same form.
//!
//! The rule it keeps: it is a host like any other. An event becomes an [`ApiRequest`], the answer an
//! event of Amazon's, and all that stands between is the API's own.
//!
//! What a server on a socket guards, and who does it here:
//!
//! | guard | here |
//! |---|---|
//! | size of a body | the API counts it; Amazon takes at most 6 MB before that |
//! | deadlines for header and body, number of connections | Amazon's front, which hands on whole requests, one at a time for each process |
//! | `Host` | Amazon's front, which knows the names; so the API is told not to look ([`any_host`]) |
//! | `Origin` | the API |
//! | an orderly end | at a signal the platform drains and the event in hand is answered. Amazon sends one only to functions with an extension, and `cargo lambda watch` kills: what is left behind then is taken away at the next start |
//!
//! What this host cannot do:
//!
//! * an answer is whole or it is not there: a stream of events is gathered until it ends, and at
//!   most for [`GATHER`]; its reader goes on by `Last-Event-ID`;
//! * between two events the process is frozen, and so is whatever it runs: clients that have a
//!   platform in the same process should say `Prefer: wait`, with less than the 30 s that API
//!   Gateway waits.
//!
//! [`any_host`]: shared::http::ServerOptions::any_host

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::StreamExt;
use lambda_http::request::RequestContext;
use lambda_http::{Body, Error, Request, RequestExt, Response};
use stage_07_advanced_v2::{ApiBody, ApiRequest, ApiResponse, ApiService};
use tokio::time::{Instant, timeout_at};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// How long a stream is gathered. API Gateway waits 30 s for a function.
pub const GATHER: Duration = Duration::from_secs(20);
/// How much of a stream is gathered, in bytes. Lambda takes an answer of at most 6 MB, and JSON's
/// escapes make more of it.
const GATHER_BYTES: usize = 4 << 20;
/// How long the runtime may take to hand the last answer on, which cannot be seen from here.
const HAND_ON: Duration = Duration::from_millis(200);

// ANCHOR: host
/// Answers events by `api` until `stop` fires, then returns when the event in hand is answered.
///
/// # Errors
///
/// When Lambda's own interface cannot be reached or breaks off.
pub async fn serve(api: Arc<dyn ApiService>, stop: CancellationToken) -> Result<(), Error> {
    let in_hand = TaskTracker::new();
    let (handled, stopped) = (in_hand.clone(), stop.clone());
    let serving = lambda_http::run(lambda_http::service_fn(move |event| {
        let (api, stop, handled) = (Arc::clone(&api), stopped.clone(), handled.token());
        async move {
            let answer = answer(api.handle(request(event)).await, GATHER, stop).await;
            drop(handled);
            Ok::<_, Error>(answer)
        }
    }));
    let ending = async {
        stop.cancelled().await;
        in_hand.close();
        in_hand.wait().await;
        tokio::time::sleep(HAND_ON).await;
    };
    tokio::select! {
        served = serving => served,
        () = ending => Ok(()),
    }
}

/// An event as a request.
fn request(event: Request) -> ApiRequest {
    let path = path(&event);
    let (parts, body) = event.into_parts();
    ApiRequest {
        method: parts.method,
        path,
        query: parts.uri.query().map(str::to_owned),
        headers: parts.headers,
        body: match body {
            Body::Text(text) => text.into(),
            Body::Binary(bytes) => bytes.into(),
            _ => Bytes::new(),
        },
    }
}
// ANCHOR_END: host

/// The path as the API knows it: API Gateway puts the name of the deployment's stage in front,
/// unless that is `$default`.
fn path(event: &Request) -> String {
    let path = event.raw_http_path();
    let stage = match event.request_context_ref() {
        Some(RequestContext::ApiGatewayV2(context)) => context.stage.as_deref(),
        _ => None,
    };
    let rest = stage.and_then(|stage| path.strip_prefix('/')?.strip_prefix(stage));
    match rest {
        Some("") => "/".to_owned(),
        Some(rest) if rest.starts_with('/') => rest.to_owned(),
        _ => path.to_owned(),
    }
}

/// A response as Lambda takes it: whole.
async fn answer(
    response: ApiResponse,
    gather: Duration,
    stop: CancellationToken,
) -> Response<Body> {
    let body = match response.body {
        ApiBody::Bytes(bytes) => bytes.to_vec(),
        ApiBody::Stream(pieces) => {
            let mut pieces = pieces.take_until(Box::pin(stop.cancelled_owned()));
            let (mut whole, end) = (Vec::new(), Instant::now() + gather);
            while let Ok(Some(piece)) = timeout_at(end, pieces.next()).await {
                whole.extend_from_slice(&piece);
                if whole.len() >= GATHER_BYTES {
                    break;
                }
            }
            whole
        }
    };
    // Text where it is text, so that a person who reads the event sees it.
    let body = match String::from_utf8(body) {
        Ok(text) if text.is_empty() => Body::Empty,
        Ok(text) => Body::Text(text),
        Err(error) => Body::Binary(error.into_bytes()),
    };
    let mut answer = Response::new(body);
    (*answer.status_mut(), *answer.headers_mut()) = (response.status, response.headers);
    answer
}

#[cfg(test)]
mod tests {
    use http::{HeaderMap, Method, StatusCode};
    use serde_json::{Value, json};

    use super::*;

    /// An event as Amazon documents it for payload format 2.0.
    fn event(change: &Value) -> ApiRequest {
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

    #[test]
    fn an_event_is_a_request_like_any_other() {
        let request = event(&json!({}));
        assert_eq!((&request.method, request.path.as_str()), (&Method::POST, "/eval"));
        assert_eq!(request.query.as_deref(), Some("limit=1&label=a%3Ab"));
        assert_eq!(request.headers["prefer"], "wait=1");
        assert_eq!(request.headers["cookie"], "a=1; b=2");
        assert_eq!(&request.body[..], b"{}");
        let empty = event(&json!({ "/rawQueryString": "", "/body": null }));
        assert_eq!((empty.query, empty.body), (None, Bytes::new()));
    }

    #[test]
    fn bytes_that_are_no_text_come_as_base64() {
        let request = event(&json!({ "/body": "/wAB", "/isBase64Encoded": true }));
        assert_eq!(&request.body[..], b"\xff\x00\x01");
    }

    #[test]
    fn the_name_of_the_deployment_is_no_part_of_the_path() {
        for (stage, raw, path) in [
            ("$default", "/eval/7", "/eval/7"),
            ("prod", "/prod/eval/7", "/eval/7"),
            ("prod", "/prod", "/"),
            // Under a domain of one's own it may not be there.
            ("prod", "/eval/7", "/eval/7"),
            ("eva", "/eval", "/eval"),
        ] {
            let change = json!({ "/requestContext/stage": stage, "/rawPath": raw });
            assert_eq!(event(&change).path, path, "{stage} {raw}");
        }
    }

    fn response(body: ApiBody) -> ApiResponse {
        ApiResponse { status: StatusCode::OK, headers: HeaderMap::new(), body }
    }

    #[tokio::test(start_paused = true)]
    async fn a_stream_without_an_end_is_answered_with_what_came() {
        let pieces = futures_util::stream::iter([Bytes::from("id: 1\n"), Bytes::from("\n")]);
        let endless = pieces.chain(futures_util::stream::pending()).boxed();
        let answer =
            answer(response(ApiBody::Stream(endless)), GATHER, CancellationToken::new()).await;
        assert!(matches!(answer.body(), Body::Text(text) if text == "id: 1\n\n"), "{answer:?}");
    }

    #[tokio::test]
    async fn a_stream_without_an_end_does_not_keep_the_function_from_ending() {
        let stop = CancellationToken::new();
        stop.cancel();
        let endless = ApiBody::Stream(futures_util::stream::pending().boxed());
        let answered = answer(response(endless), Duration::from_hours(1), stop);
        let answered = tokio::time::timeout(Duration::from_secs(10), answered).await.unwrap();
        assert!(matches!(answered.body(), Body::Empty));
    }

    #[tokio::test]
    async fn a_flood_is_cut_before_it_is_too_large_to_answer() {
        let flood = futures_util::stream::repeat(Bytes::from(vec![b'x'; 1 << 20])).boxed();
        let answer =
            answer(response(ApiBody::Stream(flood)), GATHER, CancellationToken::new()).await;
        assert!(matches!(answer.body(), Body::Text(text) if text.len() == GATHER_BYTES));
    }

    #[tokio::test]
    async fn an_answer_that_is_no_text_stays_what_it_is() {
        let bytes = ApiBody::Bytes(Bytes::from_static(b"\xff\x00"));
        let answer = answer(response(bytes), GATHER, CancellationToken::new()).await;
        assert!(matches!(answer.body(), Body::Binary(bytes) if bytes == b"\xff\x00"));
    }
}
