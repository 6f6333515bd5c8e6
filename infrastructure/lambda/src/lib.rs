//! An [`ApiService`] behind AWS Lambda: for events of an HTTP API (API Gateway v2) and of function
//! URLs, which have the same form.
//!
//! The rule it keeps: it is a host like any other. An event becomes an [`ApiRequest`], the answer an
//! event of Amazon's, and all that stands between is the API's own.
//!
//! What is different about this host, and what follows:
//!
//! * an answer is whole or it is not there: a stream of events is gathered until it ends, and at
//!   most for [`GATHER`]; its reader goes on by `Last-Event-ID`;
//! * between two events the process is frozen, and so is whatever it runs: clients that have a
//!   platform in the same process should say `Prefer: wait`;
//! * who may call by which name is decided in front, by API Gateway, so `Host` is not looked at.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::StreamExt;
use lambda_http::{Body, Error, Request, RequestExt, Response};
use stage_07_advanced_v2::{ApiBody, ApiRequest, ApiResponse, ApiService};
use tokio::time::{Instant, timeout_at};

/// How long a stream is gathered. API Gateway waits 30 s for a function.
pub const GATHER: Duration = Duration::from_secs(20);
/// How much of a stream is gathered, in bytes. Lambda takes an answer of at most 6 MB, and base64
/// makes a third more of it.
const GATHER_BYTES: usize = 4 << 20;

// ANCHOR: host
/// Answers events by `api`, until Lambda ends the process.
///
/// # Errors
///
/// When Lambda's own interface cannot be reached or breaks off.
pub async fn serve(api: Arc<dyn ApiService>) -> Result<(), Error> {
    lambda_http::run(lambda_http::service_fn(move |event| {
        let api = Arc::clone(&api);
        async move { Ok::<_, Error>(answer(api.handle(request(event)).await, GATHER).await) }
    }))
    .await
}
// ANCHOR_END: host

/// An event as a request.
fn request(event: Request) -> ApiRequest {
    // Without the name of the deployment stage, which API Gateway puts in front.
    let path = event.raw_http_path().to_owned();
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

/// A response as Lambda takes it: whole.
async fn answer(response: ApiResponse, gather: Duration) -> Response<Body> {
    let body = match response.body {
        ApiBody::Bytes(bytes) => bytes.to_vec(),
        ApiBody::Stream(mut pieces) => {
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
        Err(fault) => Body::Binary(fault.into_bytes()),
    };
    let mut answer = Response::new(body);
    (*answer.status_mut(), *answer.headers_mut()) = (response.status, response.headers);
    answer
}

#[cfg(test)]
mod tests {
    use http::{HeaderMap, StatusCode};

    use super::*;

    fn response(body: ApiBody) -> ApiResponse {
        ApiResponse { status: StatusCode::OK, headers: HeaderMap::new(), body }
    }

    #[tokio::test(start_paused = true)]
    async fn a_stream_without_an_end_is_answered_with_what_came() {
        let pieces = futures_util::stream::iter([Bytes::from("id: 1\n"), Bytes::from("\n")]);
        let endless = pieces.chain(futures_util::stream::pending()).boxed();
        let answer = answer(response(ApiBody::Stream(endless)), GATHER).await;
        assert!(matches!(answer.body(), Body::Text(text) if text == "id: 1\n\n"), "{answer:?}");
    }

    #[tokio::test]
    async fn a_flood_is_cut_before_it_is_too_large_to_answer() {
        let flood = futures_util::stream::repeat(Bytes::from(vec![b'x'; 1 << 20])).boxed();
        let answer = answer(response(ApiBody::Stream(flood)), GATHER).await;
        assert!(matches!(answer.body(), Body::Text(text) if text.len() == GATHER_BYTES));
    }

    #[tokio::test]
    async fn bytes_that_are_no_text_stay_what_they_are() {
        let bytes = ApiBody::Bytes(Bytes::from_static(b"\xff\x00"));
        let answer = answer(response(bytes), GATHER).await;
        assert!(matches!(answer.body(), Body::Binary(bytes) if bytes == b"\xff\x00"));
    }
}
