//! The one way of a request into a service, and of its response out of it, whatever web server or
//! test it comes from.
//!
//! | attack | setting | test |
//! |---|---|---|
//! | half a body, then silence | `body_timeout` | `half_a_body_is_refused` |
//! | a body of a gigabyte | `max_body_bytes` or the limit of the route, counted while reading | `a_large_body_is_refused` |
//! | hundreds of bodies whose last byte does not come | `max_bodies_bytes`, counted over all while reading | `bodies_have_a_budget` |
//! | a body from a client that may not send any | the head is judged before the body is read | `a_head_that_is_refused_costs_no_body` |

use std::net::SocketAddr;
use std::pin::pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::Poll;
use std::time::Instant;

use bytes::{Bytes, BytesMut};
use futures_util::{StreamExt, TryStreamExt, stream};
use http::request::Parts;
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, header};
use http_body::Body as _;
use http_body_util::{BodyExt, BodyStream, LengthLimitError, Limited, StreamBody};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, TryAcquireError};
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use tracing::Instrument as _;

use super::{ApiService, Body, BodyPolicy, Problem, Request, Response, ServerOptions, full};
use crate::RequestContext;
use crate::error::BoxError;

/// The header of the request id, in both directions.
const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// Bytes of each body that are not counted, so that small requests pass however many large ones there
/// are.
const UNCOUNTED_BYTES: usize = 16 << 10;
/// When a client whose body was not received should try again, in seconds.
const RETRY_AFTER_SECONDS: u64 = 1;

/// The address of the client, which an adapter puts into the extensions of a request.
#[derive(Debug, Clone, Copy)]
pub struct PeerAddr(pub SocketAddr);

/// The body of a request that is read as a stream. In the extensions, which have to be `Clone`; the
/// first call of [`take_body_stream`] takes it.
#[derive(Clone)]
struct StreamedBody(Arc<Mutex<Option<Body>>>);

/// The body of a request whose [`BodyPolicy`] is `Streamed`. None when it was taken already.
pub fn take_body_stream(request: &Request) -> Option<Body> {
    let StreamedBody(body) = request.extensions().get()?;
    body.lock().unwrap_or_else(PoisonError::into_inner).take()
}

/// The part of [`ServerOptions::max_bodies_bytes`] that a body takes. In the extensions of its request.
#[derive(Clone)]
struct BodyPermit {
    _permit: Arc<OwnedSemaphorePermit>,
}

/// A service behind the checks, limits and headers that every request has.
pub struct Endpoint {
    service: Arc<dyn ApiService>,
    options: ServerOptions,
    shutdown: CancellationToken,
    /// A permit for each byte that bodies in memory may have.
    bodies: Arc<Semaphore>,
}

impl Endpoint {
    /// An endpoint over `service`. Streaming bodies end when `shutdown` is cancelled.
    pub fn new(
        service: Arc<dyn ApiService>,
        options: ServerOptions,
        shutdown: CancellationToken,
    ) -> Self {
        let bodies = Arc::new(Semaphore::new(options.max_bodies_bytes));
        Self { service, options, shutdown, bodies }
    }

    /// The settings.
    pub fn options(&self) -> &ServerOptions {
        &self.options
    }

    /// Cancelled when the server stops.
    pub fn shutdown(&self) -> &CancellationToken {
        &self.shutdown
    }

    // ANCHOR: answer
    /// Answers a request from any adapter.
    pub async fn answer<B>(&self, request: http::Request<B>) -> Response
    where
        B: http_body::Body<Data = Bytes> + Send + 'static,
        B::Error: Into<BoxError>,
    {
        let started = Instant::now();
        let (mut head, body) = request.into_parts();
        let context = context(&head);
        head.extensions.insert(context.clone());
        let RequestContext { request_id, .. } = context;
        let origin = self.options.allowed_origin(&head.headers);
        let (is_head, is_preflight) =
            (head.method == Method::HEAD, self.options.is_preflight(&head));
        let span = tracing::info_span!("request", %request_id, method = %head.method);
        async {
            let mut response = match self.read(head, body).await {
                Ok(_) if is_preflight => Response::new(full("")),
                Ok(request) => self.service.call(request).await,
                Err(problem) => problem.into_response(&request_id),
            };
            if is_head {
                response = without_body(response);
            }
            set_headers(response.headers_mut(), &request_id);
            self.options.grant(response.headers_mut(), origin);
            let (status, millis) = (response.status().as_u16(), started.elapsed().as_millis());
            tracing::debug!(status, millis, "answered");
            end_on_shutdown(response, self.shutdown.clone())
        }
        .instrument(span)
        .await
    }
    // ANCHOR_END: answer

    /// Checks the head of a request, then reads its body within the limits of its operation. On an
    /// error the body may be unread: the connection is closed then.
    async fn read<B>(&self, mut head: Parts, body: B) -> Result<Request, Problem>
    where
        B: http_body::Body<Data = Bytes> + Send + 'static,
        B::Error: Into<BoxError>,
    {
        let close = Problem::with_connection_close;
        self.options.check_origin(&head).map_err(close)?;
        if self.options.is_preflight(&head) {
            return Ok(Request::from_parts(head, Bytes::new()));
        }
        // On an error hyper discards a small unread body, and closes the connection after a large one.
        let max_bytes = match self.service.admit(&mut head).await? {
            BodyPolicy::Buffered { max_bytes } => max_bytes.unwrap_or(self.options.max_body_bytes),
            BodyPolicy::Streamed { max_bytes } => {
                let body = self.stream(Limited::new(body, max_bytes));
                let body = Arc::new(Mutex::new(Some(body)));
                head.extensions.insert(StreamedBody(body));
                return Ok(Request::from_parts(head, Bytes::new()));
            }
        };
        let read = self.collect(Limited::new(body, max_bytes));
        let (body, permit) = match timeout(self.options.body_timeout, read).await {
            Ok(Ok(read)) => read,
            Ok(Err(error)) if error.is::<LengthLimitError>() => {
                return Err(close(too_large(max_bytes)));
            }
            Ok(Err(error)) if error.is::<TryAcquireError>() => {
                let detail = "too many large bodies are being received; try again";
                let problem = Problem::new(StatusCode::SERVICE_UNAVAILABLE, detail);
                return Err(close(problem.with_header(header::RETRY_AFTER, RETRY_AFTER_SECONDS)));
            }
            Ok(Err(_)) => {
                let detail = "the body was cut off or is not what its header announces";
                return Err(close(Problem::new(StatusCode::BAD_REQUEST, detail)));
            }
            Err(_) => {
                let seconds = self.options.body_timeout.as_secs();
                let detail = format!("send the whole body within {seconds} s");
                return Err(close(Problem::new(StatusCode::REQUEST_TIMEOUT, detail)));
            }
        };
        head.extensions.insert(permit);
        Ok(Request::from_parts(head, body))
    }

    /// Reads a body whole. What it has beyond [`UNCOUNTED_BYTES`] is counted while it is read, and
    /// until the request is dropped.
    async fn collect<B>(&self, body: Limited<B>) -> Result<(Bytes, BodyPermit), BoxError>
    where
        B: http_body::Body<Data = Bytes>,
        B::Error: Into<BoxError>,
    {
        let (mut body, mut bytes) = (pin!(body), BytesMut::new());
        let mut permit = Arc::clone(&self.bodies).try_acquire_many_owned(0)?;
        while let Some(frame) = body.frame().await.transpose()? {
            let Ok(data) = frame.into_data() else { continue };
            let counted = (bytes.len() + data.len()).saturating_sub(UNCOUNTED_BYTES);
            let counted = u32::try_from(counted.min(data.len()))?;
            permit.merge(Arc::clone(&self.bodies).try_acquire_many_owned(counted)?);
            bytes.extend_from_slice(&data);
        }
        Ok((bytes.freeze(), BodyPermit { _permit: Arc::new(permit) }))
    }

    /// A body whose parts each have a deadline.
    fn stream<B>(&self, body: Limited<B>) -> Body
    where
        B: http_body::Body<Data = Bytes> + Send + 'static,
        B::Error: Into<BoxError>,
    {
        let limit = self.options.body_timeout;
        let frames = stream::try_unfold(Box::pin(body), move |mut body| async move {
            let frame = timeout(limit, body.frame()).await?.transpose()?;
            Ok::<_, BoxError>(frame.map(|frame| (frame, body)))
        });
        Body::new(StreamBody::new(frames.into_stream()))
    }
}

fn context(head: &Parts) -> RequestContext {
    let id = head.headers.get(&REQUEST_ID).and_then(|value| value.to_str().ok());
    let peer = head.extensions.get().map(|PeerAddr(address)| address.ip());
    RequestContext { peer, ..RequestContext::with_request_id(id) }
}

fn too_large(max_bytes: usize) -> Problem {
    let detail = format!("send a body of at most {max_bytes} bytes");
    Problem::new(StatusCode::PAYLOAD_TOO_LARGE, detail)
}

/// The answer to `HEAD`: the headers of the answer to `GET`, its length among them if it is known.
fn without_body(mut response: Response) -> Response {
    if let Some(length) = response.body().size_hint().exact().filter(|length| *length > 0) {
        response.headers_mut().insert(header::CONTENT_LENGTH, length.into());
    }
    response.map(|_body| full(""))
}

/// The headers of every response.
fn set_headers(headers: &mut HeaderMap, request_id: &str) {
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    headers.entry(header::CACHE_CONTROL).or_insert(HeaderValue::from_static("no-store"));
    headers.extend(HeaderValue::from_str(request_id).map(|id| (REQUEST_ID, id)));
}

/// The same response, with a body that ends when `shutdown` is cancelled if its length is unknown: an
/// event stream has no end of its own.
fn end_on_shutdown(response: Response, shutdown: CancellationToken) -> Response {
    if response.body().size_hint().exact().is_some() {
        return response;
    }
    response.map(|body| {
        let (mut frames, mut ends) = (BodyStream::new(body), Box::pin(shutdown.cancelled_owned()));
        // What is there is sent before: the last events of what the shutdown has ended.
        Body::new(StreamBody::new(stream::poll_fn(move |context| {
            match frames.poll_next_unpin(context) {
                Poll::Pending if ends.as_mut().poll(context).is_ready() => Poll::Ready(None),
                polled => polled,
            }
        })))
    })
}

#[cfg(test)]
mod tests;
