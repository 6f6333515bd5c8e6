//! The HTTP shell round every stage: requests and responses as plain values, errors as
//! `application/problem+json`, a router, and a server with a deadline on everything.
//!
//! A handler takes a [`Call`] whose body is already read and bounded, and returns a response or a
//! [`Problem`]. Nothing in these types belongs to a web server, so a later stage can put another
//! one underneath.

mod guard;
mod problem;
mod router;
mod server;

pub use guard::{ServerOptions, seal, until};
pub use problem::Problem;
pub use router::Router;
pub use server::{Server, accept};

use std::convert::Infallible;
use std::str::FromStr;

use bytes::Bytes;
use http::{HeaderValue, StatusCode, header};
use http_body_util::{BodyExt, Full};
use serde::Serialize;

use crate::BoxFuture;

/// A request whose body has been read within its limit and deadline.
pub type Request = http::Request<Bytes>;
/// A response body: bytes, or a stream of them.
pub type Body = http_body_util::combinators::UnsyncBoxBody<Bytes, Infallible>;
/// What a handler answers.
pub type Response = http::Response<Body>;

/// What answers requests: the routes of a stage, or whatever stands in their place.
pub trait Service: Send + Sync {
    /// Answers one request.
    fn call(&self, request: Request) -> BoxFuture<'_, Response>;
}

/// One request that a route has matched.
pub struct Call {
    /// The request.
    pub request: Request,
    pub(crate) params: Vec<(String, String)>,
}

impl Call {
    /// The part of the path that stands for `{name}` in the route.
    ///
    /// # Errors
    ///
    /// 404 when it is not of type `T`: then no such resource can exist.
    pub fn param<T: FromStr>(&self, name: &str) -> Result<T, Problem> {
        let text = self.params.iter().find(|(key, _)| key == name);
        text.and_then(|(_, value)| value.parse().ok()).ok_or_else(|| {
            Problem::new(StatusCode::NOT_FOUND, format!("the {name} in this path is not valid"))
        })
    }

    /// The text of a header, if it is there and is text.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.request.headers().get(name)?.to_str().ok()
    }

    /// The values of the query parameters in `names`, in that order.
    ///
    /// # Errors
    ///
    /// 400 when the query has another parameter, or one of them twice: a misspelt filter that is
    /// ignored would answer with too much.
    pub fn query<const N: usize>(&self, names: [&str; N]) -> Result<[Option<String>; N], Problem> {
        let mut values = [const { None }; N];
        let query = self.request.uri().query().unwrap_or_default();
        for (key, value) in form_urlencoded::parse(query.as_bytes()) {
            let Some(at) = names.iter().position(|name| *name == key) else {
                let known = names.join(", ");
                let detail = format!("unknown query parameter; this path takes: {known}");
                return Err(Problem::new(StatusCode::BAD_REQUEST, detail));
            };
            if values[at].replace(value.into_owned()).is_some() {
                let detail = format!("give the query parameter {} once", names[at]);
                return Err(Problem::new(StatusCode::BAD_REQUEST, detail));
            }
        }
        Ok(values)
    }
}

/// A body of these bytes.
pub fn full(bytes: impl Into<Bytes>) -> Body {
    Full::new(bytes.into()).boxed_unsync()
}

/// A response of `bytes` with this content type.
pub fn bytes(status: StatusCode, content_type: &'static str, bytes: impl Into<Bytes>) -> Response {
    let mut response = Response::new(full(bytes));
    *response.status_mut() = status;
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(content_type));
    response
}

/// A JSON response.
pub fn json(status: StatusCode, value: &impl Serialize) -> Response {
    match serde_json::to_vec(value) {
        Ok(text) => bytes(status, "application/json", text),
        Err(error) => Problem::internal(&error).into_response(),
    }
}

/// A page of HTML under a Content-Security-Policy, which decides what it may load and run.
pub fn page(html: impl Into<Bytes>, policy: &'static str) -> Response {
    let mut response = bytes(StatusCode::OK, "text/html; charset=utf-8", html);
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_SECURITY_POLICY, HeaderValue::from_static(policy));
    headers.insert(header::REFERRER_POLICY, HeaderValue::from_static("no-referrer"));
    response
}
