//! The adapter for AWS Lambda: for events of an HTTP API (API Gateway v2) and of function URLs, which
//! have the same form.
//!
//! An event is passed to the [`Endpoint`] as the `http::Request` that `lambda_http` makes of it, and the
//! response goes back in one piece. What a server on a socket enforces, and what does it here:
//!
//! | limit | here |
//! |---|---|
//! | size of a body | the endpoint; Amazon accepts at most 6 MB before that |
//! | timeouts for header and body, number of connections | Amazon's front end, which passes on whole requests, one at a time for each process |
//! | `Host` | Amazon's front end, which has the list of names; so the endpoint does not check it ([`any_host`]) |
//! | `Origin` | the endpoint |
//! | an orderly end | at a signal the platform drains and the current event is answered. Amazon sends a signal only to functions with an extension, and `cargo lambda watch` kills: what is left behind then is removed at the next start |
//!
//! What this adapter cannot do:
//!
//! * a response is whole or it does not arrive: a stream of events is collected until it ends, and at
//!   most for [`COLLECT_TIMEOUT`]; its reader resumes by `Last-Event-ID`. A response above Lambda's
//!   limit of 6 MB is replaced by a problem;
//! * between two events the process is frozen, and so is whatever it runs: clients that have a
//!   platform in the same process should send `Prefer: wait`, with less than the 30 s that API
//!   Gateway waits.
//!
//! [`any_host`]: shared::http::ServerOptions::any_host

pub mod cloud;

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::header::CONTENT_TYPE;
use http::uri::{PathAndQuery, Uri};
use http::{HeaderValue, StatusCode};
use http_body_util::{BodyExt, Full};
use lambda_http::aws_lambda_events::apigw::ApiGatewayV2httpRequestContext;
use lambda_http::request::RequestContext;
use lambda_http::{Body, Error, Request, RequestExt, Response};
use percent_encoding::{AsciiSet, CONTROLS, utf8_percent_encode};
use shared::http::{Endpoint, PeerAddr, Problem};
use shared::{BoxError, BoxFuture};
use tokio::time::{Instant, timeout_at};
use tokio_util::task::TaskTracker;

/// How long a stream is collected. API Gateway waits 30 s for a function.
pub const COLLECT_TIMEOUT: Duration = Duration::from_secs(20);
/// How much of a stream is collected, in bytes: JSON's escapes make more of it.
const MAX_STREAM_BYTES: usize = 4 << 20;
/// The largest body of a response, as a string of JSON: Lambda's limit of 6 MB, minus 64 KiB for the
/// rest of the event.
const MAX_PAYLOAD_BYTES: usize = (6 << 20) - (64 << 10);
/// How long the runtime may take to pass the last response on, which cannot be observed here.
const HAND_OVER_GRACE: Duration = Duration::from_millis(200);
/// Characters that a path in a URI cannot have. `%` is not among them: escapes are passed on.
const NOT_IN_A_PATH: &AsciiSet = &CONTROLS
    .add(b' ')
    .add(b'"')
    .add(b'#')
    .add(b'<')
    .add(b'>')
    .add(b'?')
    .add(b'`')
    .add(b'{')
    .add(b'}');

// ANCHOR: adapter
/// Answers events by `endpoint` until its shutdown token is cancelled, then returns when the current
/// event is answered.
///
/// # Errors
///
/// When Lambda's runtime interface cannot be reached or breaks off.
pub async fn serve(endpoint: Arc<Endpoint>) -> Result<(), Error> {
    serve_with(endpoint, None).await
}

/// The same, and an event of a schedule is answered by `scheduled`.
///
/// # Errors
///
/// When Lambda's runtime interface cannot be reached or breaks off.
pub async fn serve_with(
    endpoint: Arc<Endpoint>,
    scheduled: Option<Scheduled>,
) -> Result<(), Error> {
    let events = TaskTracker::new();
    let (tracker, shutdown) = (events.clone(), endpoint.shutdown().clone());
    let serving = lambda_http::run(lambda_http::service_fn(move |event: Request| {
        let (endpoint, scheduled) = (Arc::clone(&endpoint), scheduled.clone());
        let token = tracker.token();
        async move {
            let context = event.request_context_ref();
            let answer = if matches!(context, Some(RequestContext::PassThrough)) {
                of_schedule(&event, scheduled).await
            } else {
                whole(endpoint.answer(request(event)).await, COLLECT_TIMEOUT).await
            };
            drop(token);
            answer
        }
    }));
    let ending = async {
        shutdown.cancelled().await;
        events.close();
        events.wait().await;
        tokio::time::sleep(HAND_OVER_GRACE).await;
    };
    tokio::select! {
        served = serving => served,
        () = ending => Ok(()),
    }
}

/// An event as the endpoint takes it: with the path that the API has, and the client's address.
fn request(event: Request) -> http::Request<Full<Bytes>> {
    let (uri, peer) = (uri(&event), peer(&event));
    let (mut head, body) = event.into_parts();
    head.uri = uri;
    if let Some(peer) = peer {
        head.extensions.insert(PeerAddr(peer));
    }
    let body = match body {
        Body::Text(text) => text.into(),
        Body::Binary(bytes) => bytes.into(),
        _ => Bytes::new(),
    };
    http::Request::from_parts(head, Full::new(body))
}
// ANCHOR_END: adapter

/// What answers events of a schedule: with JSON.
pub type Scheduled = Arc<dyn Fn() -> BoxFuture<'static, Result<String, BoxError>> + Send + Sync>;

/// Answers what is no request of a client.
///
/// Attack: a client starts what only the schedule may → API Gateway makes the event of a request, and that
/// has members by which it is one, whatever the client sends. Test: `a_request_is_no_event_of_a_schedule`.
async fn of_schedule(
    event: &Request,
    scheduled: Option<Scheduled>,
) -> Result<Response<Body>, Error> {
    let value: serde_json::Value = serde_json::from_slice(event.body().as_ref())?;
    let is_schedule = matches!(value["source"].as_str(), Some("aws.events" | "aws.scheduler"));
    let scheduled = scheduled.filter(|_| is_schedule);
    let scheduled = scheduled.ok_or("an event that is neither a request nor of a schedule")?;
    Ok(Response::new(Body::Text(scheduled().await?)))
}

fn peer(event: &Request) -> Option<SocketAddr> {
    let address = match event.request_context_ref()? {
        RequestContext::ApiGatewayV2(context) => context.http.source_ip.as_deref(),
        // Of a REST API, such as that of the workers in a VPC.
        RequestContext::ApiGatewayV1(context) => context.identity.source_ip.as_deref(),
        _ => None,
    };
    let address: IpAddr = address?.parse().ok()?;
    Some(SocketAddr::new(address, 0)) // an event has no port
}

/// True for the name that API Gateway gives an API: under it, and under no other, the path begins with
/// the name of the deployment stage.
fn is_default_domain(context: &ApiGatewayV2httpRequestContext) -> bool {
    let (id, domain) = (context.apiid.as_deref(), context.domain_name.as_deref());
    let rest = id.zip(domain).and_then(|(id, domain)| domain.strip_prefix(id));
    rest.is_some_and(|rest| rest.starts_with(".execute-api."))
}

/// The path and query as the API has them. API Gateway puts the name of the deployment stage in front
/// of the path, unless that is `$default` or the API has a domain of its own.
///
/// Attack: under a domain of its own, a deployment stage that is called `eval` makes `/eval/ID` to `/ID`
/// → nothing is removed there. Test: `the_name_of_the_deployment_is_no_part_of_the_path`.
///
/// Attack: a front end passes on a path that it has unescaped, so that a `?` in it ends the path early
/// → what cannot be part of a path is escaped again. Test: `a_path_does_not_end_early`.
fn uri(event: &Request) -> Uri {
    let path = event.raw_http_path();
    let stage = match event.request_context_ref() {
        Some(RequestContext::ApiGatewayV2(context)) if is_default_domain(context) => {
            context.stage.as_deref()
        }
        _ => None,
    };
    let rest = stage.and_then(|stage| path.strip_prefix('/')?.strip_prefix(stage));
    let path = match rest {
        Some("") => "/",
        Some(rest) if rest.starts_with('/') => rest,
        _ => path,
    };
    let path = utf8_percent_encode(path, NOT_IN_A_PATH);
    // `lambda_http` appends the query to the path, and takes a `?` in the path for its beginning.
    let query = event.uri().query();
    let query = match event.raw_http_path().split_once('?') {
        Some((_, end)) => query.and_then(|query| query.strip_prefix(end)?.strip_prefix('?')),
        None => query,
    };
    let target = match query {
        Some(query) => format!("{path}?{query}"),
        None => path.to_string(),
    };
    // What is no path at all, such as an empty one, becomes one that no route has.
    PathAndQuery::try_from(target).map_or_else(|_| Uri::from_static("/%00"), Uri::from)
}

/// A response as Lambda takes it: whole, and of at most 6 MB. A stream of events is cut off at a limit,
/// because its reader resumes after the last one; any other body is sent whole or not at all, and no more
/// of it is collected than can be sent.
async fn whole(
    response: shared::http::Response,
    collect_timeout: Duration,
) -> Result<Response<Body>, Error> {
    let (head, body) = response.into_parts();
    let media = head.headers.get(CONTENT_TYPE).map(HeaderValue::as_bytes).unwrap_or_default();
    let is_resumable = media.starts_with(b"text/event-stream");
    // Whatever has more than that cannot be delivered, whether its length is known or not.
    let limit = if is_resumable { MAX_STREAM_BYTES } else { MAX_PAYLOAD_BYTES + 1 };
    let mut pieces = body.into_data_stream();
    let (mut bytes, deadline) = (Vec::new(), Instant::now() + collect_timeout);
    let mut is_cut = false;
    while !is_cut {
        match timeout_at(deadline, futures_util::StreamExt::next(&mut pieces)).await {
            // On an error of the function, its client gets a 502 instead of half a body.
            Ok(Some(piece)) => bytes.extend_from_slice(&piece?),
            Ok(None) => break,
            Err(_elapsed) => is_cut = true,
        }
        is_cut |= bytes.len() >= limit;
    }
    if is_cut && !is_resumable {
        return Ok(too_large(&head).await);
    }
    // Text where it is text, so that it can be read in the event.
    let body = match String::from_utf8(bytes) {
        Ok(text) if text.is_empty() => Body::Empty,
        Ok(text) => Body::Text(text),
        Err(error) => Body::Binary(error.into_bytes()),
    };
    if payload_bytes(&body) <= MAX_PAYLOAD_BYTES {
        return Ok(Response::from_parts(head, body));
    }
    Ok(too_large(&head).await)
}

/// The problem in place of a response that cannot be delivered.
async fn too_large(head: &http::response::Parts) -> Response<Body> {
    let id = head.headers.get("x-request-id").and_then(|id| id.to_str().ok()).unwrap_or_default();
    let detail = "the answer has more than the 6 MB that Lambda passes on, or takes longer than 20 s; \
                  ask for less at once";
    let problem = Problem::new(StatusCode::PAYLOAD_TOO_LARGE, detail).into_response(id);
    let (mut problem, body) = problem.into_parts();
    for (name, value) in &head.headers {
        // Those of every response, not those of this body.
        if !name.as_str().starts_with("content-") && name != http::header::LOCATION {
            problem.headers.entry(name).or_insert_with(|| value.clone());
        }
    }
    let text = body.collect().await.map(http_body_util::Collected::to_bytes).unwrap_or_default();
    Response::from_parts(problem, Body::Text(String::from_utf8_lossy(&text).into_owned()))
}

/// The size of a body as a string of JSON.
fn payload_bytes(body: &Body) -> usize {
    let escaped = |byte: u8| match byte {
        b'"' | b'\\' | b'\n' | b'\r' | b'\t' => 2,
        0..0x20 => 6,
        _ => 1,
    };
    match body {
        Body::Text(text) => text.bytes().map(escaped).sum(),
        Body::Binary(bytes) => bytes.len().div_ceil(3) * 4,
        _ => 0,
    }
}

#[cfg(test)]
mod tests;
