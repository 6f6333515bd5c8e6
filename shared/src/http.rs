//! The HTTP layer of every stage: one set of types, one way in, one way out.
//!
//! ```text
//! adapter (hyper, axum, Lambda, a test) ─▶ Endpoint ─▶ ApiService (a contract, a Router) ─▶ handler
//!                                             │             │ admit: judges the head
//!                                             │             │ call:  answers the request
//!                                             └ request id, Host and Origin, body, headers, log
//! ```
//!
//! The types are those of the `http` crate. A request is a [`Request`] whose body has been read, or
//! is taken as a stream with [`take_body_stream`]; an answer is a [`Response`] whose body may be a
//! stream; an error is a [`Problem`]. What a layer learns about a request it puts into the request's
//! extensions, and the layers below find it there.

mod endpoint;
mod problem;
mod request_checks;
mod router;

pub use endpoint::{Endpoint, PeerAddr, take_body_stream};
pub use problem::Problem;
pub use request_checks::ServerOptions;
pub(crate) use request_checks::{DEFAULT_CONNECTIONS_PER_CLIENT, MAX_CONNECTIONS, origin};
pub use router::{MatchedRequest, RouteMatch, Router, StatefulRouter};

use bytes::Bytes;
use http::request::Parts;
use http::{HeaderValue, StatusCode, header};
use http_body_util::{BodyExt, Full};
use serde::Serialize;
use tokio::net::TcpListener;

use crate::BoxFuture;
use crate::error::BoxError;

/// A request whose body has been read within its limits, or waits to be taken as a stream.
pub type Request = http::Request<Bytes>;
/// A body: bytes, or a stream of them. A stream that fails ends the connection before its time, so
/// that the client sees that something is missing.
pub type Body = http_body_util::combinators::UnsyncBoxBody<Bytes, BoxError>;
/// An answer.
pub type Response = http::Response<Body>;
/// A web server: serves an endpoint on a listener until its shutdown token is cancelled.
pub type HttpServerFn = std::sync::Arc<
    dyn Fn(std::sync::Arc<Endpoint>, TcpListener) -> BoxFuture<'static, ()> + Send + Sync,
>;

// ANCHOR: service
/// Answers requests. A router is one, and so is everything that wraps one: a contract, a limiter.
///
/// Each request is answered: an error is a response as well.
pub trait ApiService: Send + Sync {
    /// Judges a request by its head, and decides how its body is read. What it learns on the way it
    /// puts into the extensions of the head, for [`Self::call`].
    fn admit<'a>(&'a self, _head: &'a mut Parts) -> BoxFuture<'a, Result<BodyPolicy, Problem>> {
        Box::pin(async { Ok(BodyPolicy::Buffered { max_bytes: None }) })
    }

    /// Answers one request that was admitted.
    ///
    /// Cancel safety: the future may be dropped at any point, as when a client disconnects. What was
    /// accepted stays accepted.
    fn call(&self, request: Request) -> BoxFuture<'_, Response>;
}
// ANCHOR_END: service

impl<T: ApiService + ?Sized> ApiService for std::sync::Arc<T> {
    fn admit<'a>(&'a self, head: &'a mut Parts) -> BoxFuture<'a, Result<BodyPolicy, Problem>> {
        (**self).admit(head)
    }

    fn call(&self, request: Request) -> BoxFuture<'_, Response> {
        (**self).call(request)
    }
}

/// The body of a request as JSON, in its extensions: a layer that parses the body puts it there, and
/// no layer below parses it again.
#[derive(Debug, Clone)]
pub struct ParsedJson(pub std::sync::Arc<serde_json::Value>);

/// How the body of a request is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BodyPolicy {
    /// Read whole before the handler is called.
    Buffered {
        /// The largest body, in bytes; None is the limit of the server.
        max_bytes: Option<usize>,
    },
    /// Left to the handler, which takes it with [`take_body_stream`].
    Streamed {
        /// The largest body, in bytes.
        max_bytes: usize,
    },
}

/// A body of these bytes.
pub fn full(bytes: impl Into<Bytes>) -> Body {
    Full::new(bytes.into()).map_err(|never| match never {}).boxed_unsync()
}

/// A response of `bytes` with this content type.
pub fn bytes(status: StatusCode, content_type: &'static str, bytes: impl Into<Bytes>) -> Response {
    let mut response = Response::new(full(bytes));
    *response.status_mut() = status;
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(content_type));
    response
}

/// A JSON response.
///
/// # Errors
///
/// 500 when the value cannot be serialised.
pub fn json(status: StatusCode, value: &impl Serialize) -> Result<Response, Problem> {
    let text = serde_json::to_vec(value).map_err(|error| Problem::internal(&error))?;
    Ok(bytes(status, "application/json", text))
}

/// An HTML page under a Content-Security-Policy, which decides what it may load and run.
pub fn html(html: impl Into<Bytes>, policy: &'static str) -> Response {
    let mut response = bytes(StatusCode::OK, "text/html; charset=utf-8", html);
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_SECURITY_POLICY, HeaderValue::from_static(policy));
    headers.insert(header::REFERRER_POLICY, HeaderValue::from_static("no-referrer"));
    response
}
