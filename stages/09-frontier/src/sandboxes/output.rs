//! The routes that read what an execution writes: bytes from an offset on, and events as they come.

use std::fmt::Write as _;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::stream;
use http::{HeaderValue, Method, StatusCode, header};
use http_body::Frame;
use http_body_util::{BodyExt as _, StreamBody};
use serde_json::{Value, json as value};
use shared::evaluation::Encoding;
use shared::http::{MatchedRequest, Problem, Response, Router, StatefulRouter, bytes};
use shared::{BoxError, Stream};
use tokio::time::{Instant, timeout, timeout_at};

use super::Sandboxes;
use super::execs::MAX_WAIT_SECONDS;
use super::execution::Execution;
use super::lease::Use;
use super::problem::{Failure, answer};
use super::spool::Piece;
use super::wire::number;
use crate::store::StoreError;

/// Bytes in one response, and in one event.
const MAX_RESPONSE_BYTES: u64 = 1 << 20;
const MAX_EVENT_BYTES: u64 = 64 << 10;
/// How often a stream without events has a comment: proxies close idle connections.
const KEEP_ALIVE_INTERVAL: Duration = Duration::from_secs(15);

impl Sandboxes {
    pub(super) fn output_routes(self: &Arc<Self>) -> Router {
        const EXEC: &str = "/sandboxes/{id}/execs/{exec_id}";
        let routes: StatefulRouter<Arc<Self>> = Router::with_state(Arc::clone(self))
            .route(Method::GET, &format!("{EXEC}/stdout"), |sandboxes, request| {
                Self::get_stream(sandboxes, request, Stream::Stdout)
            })
            .route(Method::GET, &format!("{EXEC}/stderr"), |sandboxes, request| {
                Self::get_stream(sandboxes, request, Stream::Stderr)
            })
            .route(Method::GET, &format!("{EXEC}/events"), Self::get_events);
        routes.into()
    }

    async fn get_stream(
        self: Arc<Self>,
        request: MatchedRequest,
        stream: Stream,
    ) -> Result<Response, Problem> {
        let id = request.context().request_id;
        let read = async {
            let [offset, wait] = request.query(["offset", "wait_seconds"])?;
            let offset = number("offset", offset, 0, u64::MAX)?;
            let wait = number("wait_seconds", wait, 0, MAX_WAIT_SECONDS)?;
            let (_usage, _, execution) = self.find_exec(&request).await?;
            let until = Instant::now() + Duration::from_secs(wait);
            part(&execution, stream, offset, until).await
        };
        answer(&id, read.await)
    }

    async fn get_events(self: Arc<Self>, request: MatchedRequest) -> Result<Response, Problem> {
        let id = request.context().request_id;
        let followed = async {
            let [after] = request.query(["after"])?;
            let after = request.header("last-event-id").map(str::to_owned).or(after);
            let at = match after {
                None => [0, 0],
                Some(text) => position(&text).ok_or_else(|| {
                    let detail = "the id of an event is two numbers with - between them";
                    Failure::plain(StatusCode::BAD_REQUEST, detail)
                })?,
            };
            let (usage, _, execution) = self.find_exec(&request).await?;
            Ok(events(Follower { execution, at, has_ended: false, _usage: usage }))
        };
        answer(&id, followed.await)
    }
}

/// Some bytes of a stream: as soon as there are any, and at the latest at `until`.
async fn part(
    execution: &Arc<Execution>,
    stream: Stream,
    offset: u64,
    until: Instant,
) -> Result<Response, Failure> {
    let mut progress = execution.progress.subscribe();
    loop {
        // Before the bytes are read: what is written after that is seen by the next look.
        let has_ended = progress.borrow_and_update().end.is_some();
        let piece = read(execution, stream, offset, MAX_RESPONSE_BYTES).await?;
        let is_over = has_ended
            || !piece.bytes.is_empty()
            || !matches!(timeout_at(until, progress.changed()).await, Ok(Ok(())));
        if !is_over {
            continue;
        }
        let is_last =
            has_ended && piece.bytes.len() < usize::try_from(MAX_RESPONSE_BYTES).unwrap_or(0);
        let Piece { start, bytes: content, next } = piece;
        let mut response = bytes(StatusCode::OK, "application/octet-stream", content);
        let headers = response.headers_mut();
        headers.insert("x-offset", start.into());
        headers.insert("x-next-offset", next.into());
        let ended = if is_last { "true" } else { "false" };
        headers.insert("x-ended", HeaderValue::from_static(ended));
        return Ok(response);
    }
}

async fn read(
    execution: &Arc<Execution>,
    stream: Stream,
    offset: u64,
    max_bytes: u64,
) -> Result<Piece, Failure> {
    let execution = Arc::clone(execution);
    let read = move || execution.spool(stream).read(offset, max_bytes);
    let read = tokio::task::spawn_blocking(read).await;
    let read = read.map_err(|error| Problem::internal(&error))?;
    Ok(read.map_err(|error| StoreError::io("the output of an execution", error))?)
}

/// The position behind an event, from its id.
fn position(text: &str) -> Option<[u64; 2]> {
    let (stdout, stderr) = text.split_once('-')?;
    Some([stdout.parse().ok()?, stderr.parse().ok()?])
}

/// One reader of events.
struct Follower {
    execution: Arc<Execution>,
    /// Where it is in standard output and standard error.
    at: [u64; 2],
    has_ended: bool,
    _usage: Use,
}

fn events(follower: Follower) -> Response {
    let frames = stream::try_unfold(follower, |mut follower| async move {
        let event = follower.next().await.map_err(|_| BoxError::from("output was not read"))?;
        Ok::<_, BoxError>(event.map(|event| (Frame::data(event), follower)))
    });
    let mut response = Response::new(StreamBody::new(frames).boxed_unsync());
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("text/event-stream"));
    // nginx would collect events until its buffer is full.
    headers.insert("x-accel-buffering", HeaderValue::from_static("no"));
    response
}

impl Follower {
    /// The next event, or a comment. None after the last one.
    async fn next(&mut self) -> Result<Option<Bytes>, Failure> {
        if self.has_ended {
            return Ok(None);
        }
        let mut progress = self.execution.progress.subscribe();
        loop {
            let end = progress.borrow_and_update().end.clone();
            for (stream, name) in [(Stream::Stdout, "stdout"), (Stream::Stderr, "stderr")] {
                let place = usize::from(stream == Stream::Stderr);
                let piece = read(&self.execution, stream, self.at[place], MAX_EVENT_BYTES).await?;
                if !piece.bytes.is_empty() {
                    self.at[place] = piece.next;
                    let (text, encoding) = Encoding::encode(&piece.bytes);
                    return Ok(Some(self.event(&value!({
                        "type": "exec.output",
                        "stream": name,
                        "offset": piece.start,
                        "text": text,
                        "encoding": encoding,
                    }))));
                }
            }
            if let Some(end) = end {
                self.has_ended = true;
                let mut data = serde_json::to_value(&*end).unwrap_or_default();
                data["type"] = "exec.ended".into();
                return Ok(Some(self.event(&data)));
            }
            if timeout(KEEP_ALIVE_INTERVAL, progress.changed()).await.is_err() {
                return Ok(Some(Bytes::from_static(b": still here\n\n")));
            }
        }
    }

    fn event(&self, data: &Value) -> Bytes {
        let (kind, [stdout, stderr]) = (data["type"].as_str().unwrap_or_default(), self.at);
        let mut text = String::new();
        write!(text, "event: {kind}\nid: {stdout}-{stderr}\ndata: {data}\n\n").ok();
        text.into()
    }
}
