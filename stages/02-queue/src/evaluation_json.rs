//! Responses with evaluations: piece by piece, at the pace of the client.
//!
//! An evaluation has up to two megabytes of output by default, and JSON makes six bytes of a control
//! character.
//!
//! | attack | defence | test |
//! |---|---|---|
//! | a list of 100 evaluations whose output is control characters: 1.2 GB in one buffer | a page has a budget in bytes of JSON ([`MAX_PAGE_BYTES`]), and a response is written in pieces of at most [`MAX_PIECE_BYTES`] when the client has taken the one before | `a_page_ends_before_its_budget` |
//! | thousands of clients request large outputs and do not read them | outputs that are held for clients have a budget ([`MAX_HELD_BYTES`]) | `outputs_held_for_clients_are_bounded` |
//! | a client takes one byte now and then, and so holds a part of that budget | a response has a deadline, by its size | `a_large_response_has_a_deadline` |
//!
//! [`MAX_PAGE_BYTES`]: crate::MAX_PAGE_BYTES

use std::collections::VecDeque;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderValue, StatusCode, header};
use http_body::{Frame, SizeHint};
use shared::http::{Body, Problem, Response, bytes};
use shared::{BoxError, Evaluation, Output, Page};
use tokio::sync::{Semaphore, SemaphorePermit};
use tokio::time::Instant;

use crate::blocking::off_runtime;

/// Bytes of an output that become one piece, before their characters are escaped.
const MAX_PIECE_BYTES: usize = 8 << 10;
/// An evaluation with less output is one piece.
const MAX_INLINE_OUTPUT_BYTES: usize = 1 << 10;
/// A response that holds less is not counted: of those there may be as many as connections.
const MAX_UNCOUNTED_BYTES: usize = 16 << 10;
/// Bytes of output that responses hold at one moment, in all.
const MAX_HELD_BYTES: usize = 64 << 20;
/// How long a response waits until others have released what they hold.
const HOLD_TIMEOUT: Duration = Duration::from_secs(5);
/// How long a client may take for any large response.
const RESPONSE_GRACE: Duration = Duration::from_secs(30);
/// Bytes that it has to take in each second beyond that.
const MIN_BYTES_PER_SECOND: u64 = 64 << 10;
/// When a client should try again after the server had no room for its request, in seconds.
pub const UNAVAILABLE_RETRY_SECONDS: u64 = 5;

/// KiB that may be held, and KiB that may wait for that: what waits is in memory as well.
static HELD: Semaphore = Semaphore::const_new(MAX_HELD_BYTES >> 10);
static WAITING: Semaphore = Semaphore::const_new(MAX_HELD_BYTES >> 10);

// ANCHOR: piece
/// A part of a response.
enum Piece {
    /// JSON that is ready.
    Json(String),
    /// The output of an evaluation, from this byte on, as the inside of a string of JSON.
    Output { evaluation: Arc<Evaluation>, of: fn(&Evaluation) -> &Output, from: usize },
}
// ANCHOR_END: piece

/// A response with one evaluation.
///
/// # Errors
///
/// 503 when too much output is held for other clients.
pub async fn evaluation_response(
    status: StatusCode,
    evaluation: impl Into<Arc<Evaluation>>,
) -> Result<Response, Problem> {
    let evaluation = evaluation.into();
    let held = output_bytes(&evaluation);
    response(status, held, pieces_of(&evaluation)).await
}

/// A response with a page of a list.
///
/// # Errors
///
/// 503 when too much output is held for other clients.
pub async fn page_response(page: Page) -> Result<Response, Problem> {
    let mut pieces = vec![Piece::Json(r#"{"items":["#.to_owned())];
    for (at, evaluation) in page.items.iter().enumerate() {
        if at > 0 {
            pieces.push(Piece::Json(",".to_owned()));
        }
        pieces.append(&mut pieces_of(evaluation)?);
    }
    let next = json(&page.next_cursor)?;
    pieces.push(Piece::Json(format!(r#"],"next_cursor":{next}}}"#)));
    let held = page.items.iter().map(|evaluation| output_bytes(evaluation)).sum();
    response(StatusCode::OK, held, Ok(pieces)).await
}

async fn response(
    status: StatusCode,
    held: usize,
    pieces: Result<Vec<Piece>, Problem>,
) -> Result<Response, Problem> {
    let mut pieces: VecDeque<_> = pieces?.into();
    let ready = |piece: &Piece| if let Piece::Json(text) = piece { text.len() } else { 0 };
    let held = held + pieces.iter().map(ready).sum::<usize>();
    let permit = if held > MAX_UNCOUNTED_BYTES {
        Some(hold(held).await?)
    } else if pieces.iter().all(|piece| matches!(piece, Piece::Json(_))) {
        let text: String = pieces.iter_mut().map(Piece::next).collect();
        return Ok(bytes(status, "application/json", text));
    } else {
        None
    };
    let measure = move || (pieces.iter().map(Piece::json_bytes).sum::<u64>(), pieces);
    let measured = off_runtime(held, measure).await;
    let (left, pieces) = measured.map_err(|error| Problem::internal(&error))?;
    let time = RESPONSE_GRACE + Duration::from_secs(left / MIN_BYTES_PER_SECOND);
    let body = JsonBody { pieces, left, deadline: Instant::now() + time, _permit: permit };
    let mut response = Response::new(Body::new(body));
    *response.status_mut() = status;
    let media = HeaderValue::from_static("application/json");
    response.headers_mut().insert(header::CONTENT_TYPE, media);
    Ok(response)
}

/// Waits until so much output may be held for a client.
async fn hold(bytes: usize) -> Result<SemaphorePermit<'static>, Problem> {
    let kilobytes = u32::try_from(bytes.min(MAX_HELD_BYTES) >> 10).unwrap_or(u32::MAX);
    let taken = async {
        let _permit = WAITING.try_acquire_many(kilobytes).ok()?;
        tokio::time::timeout(HOLD_TIMEOUT, HELD.acquire_many(kilobytes)).await.ok()?.ok()
    };
    taken.await.ok_or_else(|| {
        let detail = "too much output is being sent to clients that read slowly; try again";
        let problem = Problem::new(StatusCode::SERVICE_UNAVAILABLE, detail);
        problem.with_header(header::RETRY_AFTER, UNAVAILABLE_RETRY_SECONDS)
    })
}

fn output_bytes(evaluation: &Evaluation) -> usize {
    evaluation.stdout.text.len() + evaluation.stderr.text.len()
}

/// An evaluation in pieces: what is around its outputs, and each output.
fn pieces_of(evaluation: &Arc<Evaluation>) -> Result<Vec<Piece>, Problem> {
    if output_bytes(evaluation) <= MAX_INLINE_OUTPUT_BYTES {
        return Ok(vec![Piece::Json(json(evaluation.as_ref())?)]);
    }
    let outline = json(&without_output(evaluation))?;
    let split = |name: &str| {
        // Nothing that a client or a program has chosen stands before the outputs.
        let opening = format!(r#""{name}":{{"text":""#);
        outline.find(&opening).map(|at| at + opening.len())
    };
    let (Some(stdout), Some(stderr)) = (split("stdout"), split("stderr")) else {
        return Ok(vec![Piece::Json(json(evaluation.as_ref())?)]);
    };
    let json = |text: &str| Piece::Json(text.to_owned());
    let output = |of| Piece::Output { evaluation: Arc::clone(evaluation), of, from: 0 };
    Ok(vec![
        json(&outline[..stdout]),
        output(|evaluation| &evaluation.stdout),
        json(&outline[stdout..stderr]),
        output(|evaluation| &evaluation.stderr),
        json(&outline[stderr..]),
    ])
}

fn without_output(evaluation: &Evaluation) -> Evaluation {
    let empty = |output: &Output| Output { text: String::new(), ..*output };
    Evaluation {
        id: evaluation.id,
        status: evaluation.status,
        outcome: evaluation.outcome,
        exit_code: evaluation.exit_code,
        signal: evaluation.signal.clone(),
        stdout: empty(&evaluation.stdout),
        stderr: empty(&evaluation.stderr),
        usage: evaluation.usage,
        limits: evaluation.limits,
        evidence: evaluation.evidence.clone(),
        sandbox: evaluation.sandbox.clone(),
        timing: evaluation.timing,
        attempt: evaluation.attempt,
        owner: evaluation.owner.clone(),
        labels: evaluation.labels.clone(),
        artifacts: evaluation.artifacts.clone(),
        error: evaluation.error.clone(),
    }
}

fn json(value: &(impl serde::Serialize + ?Sized)) -> Result<String, Problem> {
    serde_json::to_string(value).map_err(|error| Problem::internal(&error))
}

/// The size of a value as JSON, if it is at most `max_bytes`. It stops where it exceeds that.
pub(crate) fn json_size(
    value: &(impl serde::Serialize + ?Sized),
    max_bytes: usize,
) -> Option<usize> {
    let mut counter = Counter { left: max_bytes };
    serde_json::to_writer(&mut counter, value).ok()?;
    Some(max_bytes - counter.left)
}

/// Counts what is written to it, up to a limit.
struct Counter {
    left: usize,
}

impl io::Write for Counter {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.left = self.left.checked_sub(bytes.len()).ok_or(io::ErrorKind::StorageFull)?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Piece {
    /// The next part of it. Empty when there is no more.
    fn next(&mut self) -> String {
        match self {
            Self::Json(text) => std::mem::take(text),
            Self::Output { evaluation, of, from } => {
                let text = &of(evaluation).text;
                let end = text.floor_char_boundary(text.len().min(*from + MAX_PIECE_BYTES));
                let escaped = inside(&text[*from..end]);
                *from = end;
                escaped
            }
        }
    }

    /// Its size as JSON.
    fn json_bytes(&self) -> u64 {
        let bytes = match self {
            Self::Json(text) => text.len(),
            Self::Output { evaluation, of, .. } => {
                let quotes = 2;
                json_size(&of(evaluation).text, usize::MAX).unwrap_or(quotes) - quotes
            }
        };
        bytes as u64
    }
}

/// The inside of a string of JSON.
fn inside(text: &str) -> String {
    let mut quoted = serde_json::to_string(text).unwrap_or_default();
    quoted.pop();
    if !quoted.is_empty() {
        quoted.remove(0);
    }
    quoted
}

// ANCHOR: body
/// A body that is escaped while it is sent. Its length is known before, so that a client notices when
/// something is missing.
struct JsonBody {
    pieces: VecDeque<Piece>,
    /// Bytes that are left to send.
    left: u64,
    deadline: Instant,
    _permit: Option<SemaphorePermit<'static>>,
}

impl http_body::Body for JsonBody {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        if Instant::now() > self.deadline {
            return Poll::Ready(Some(Err("the client takes the response too slowly".into())));
        }
        while let Some(piece) = self.pieces.front_mut() {
            let text = piece.next();
            if !text.is_empty() {
                self.left = self.left.saturating_sub(text.len() as u64);
                return Poll::Ready(Some(Ok(Frame::data(text.into()))));
            }
            self.pieces.pop_front();
        }
        Poll::Ready(None)
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.left)
    }

    fn is_end_stream(&self) -> bool {
        self.left == 0
    }
}
// ANCHOR_END: body

#[cfg(test)]
mod tests;
