//! What every request passes and every response carries, whatever server it comes through.
//!
//! | attack | defence | test |
//! |---|---|---|
//! | half a body, then silence | `body_deadline` | `half_a_body_is_refused` |
//! | a body of a gigabyte | `max_body_bytes`, counted while reading | `a_large_body_is_refused` |
//! | a page of another site posts to us, or rebinds its name to 127.0.0.1 | `Host` and `Origin` are checked | `a_foreign_page_is_refused` |

use std::net::IpAddr;
use std::time::Duration;

use bytes::Bytes;
use futures_util::StreamExt;
use http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use http_body_util::{BodyExt, BodyStream, LengthLimitError, Limited, StreamBody};
use hyper::body::Body as _;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use super::{Body, Problem, Request, Response};

/// A client has this long to send its header, and may idle this long between two requests.
const HEADER_DEADLINE: Duration = Duration::from_secs(10);
/// A client has this long to send its body.
const BODY_DEADLINE: Duration = Duration::from_secs(10);

/// Connections at one moment.
const MAX_CONNECTIONS: usize = 2048;

/// What can be set about a server.
#[derive(Debug, Clone)]
pub struct ServerOptions {
    /// The largest request body, in bytes.
    pub max_body_bytes: usize,
    /// Host names a client may use beside `localhost` and plain addresses.
    pub allowed_hosts: Vec<String>,
    /// Whether a client may use any: only where something in front looks at the name.
    pub any_host: bool,
    /// Connections at one moment. More wait in the kernel's backlog.
    pub max_connections: usize,
    /// How long a client may take for its header, and between two requests.
    pub header_deadline: Duration,
    /// How long a client may take for its body.
    pub body_deadline: Duration,
}

impl Default for ServerOptions {
    fn default() -> Self {
        Self {
            max_body_bytes: 2 << 20,
            allowed_hosts: Vec::new(),
            any_host: false,
            max_connections: MAX_CONNECTIONS,
            header_deadline: HEADER_DEADLINE,
            body_deadline: BODY_DEADLINE,
        }
    }
}

impl ServerOptions {
    /// Reads a request within its bounds.
    ///
    /// # Errors
    ///
    /// The [`Problem`] to answer when it is not for us, too large, too slow or cut off. What is left
    /// of it was not read then, so that the connection has to be closed.
    pub async fn read<B>(&self, request: http::Request<B>) -> Result<Request, Problem>
    where
        B: hyper::body::Body<Data = Bytes>,
        B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
    {
        self.check_origin(request.method(), request.headers()).map_err(closing)?;
        let (parts, body) = request.into_parts();
        let read = Limited::new(body, self.max_body_bytes).collect();
        let body = match timeout(self.body_deadline, read).await {
            Ok(Ok(body)) => body.to_bytes(),
            Ok(Err(error)) if error.is::<LengthLimitError>() => {
                return Err(closing(self.too_large()));
            }
            Ok(Err(_)) => {
                let detail = "the body was cut off or is not what its header announces";
                return Err(closing(Problem::new(StatusCode::BAD_REQUEST, detail)));
            }
            Err(_) => {
                let seconds = self.body_deadline.as_secs();
                let detail = format!("send the whole body within {seconds} s");
                return Err(closing(Problem::new(StatusCode::REQUEST_TIMEOUT, detail)));
            }
        };
        Ok(http::Request::from_parts(parts, body))
    }

    /// The same checks for a request that is there already.
    ///
    /// # Errors
    ///
    /// The [`Problem`] to answer.
    pub fn check(&self, request: &Request) -> Result<(), Problem> {
        self.check_origin(request.method(), request.headers())?;
        if request.body().len() > self.max_body_bytes { Err(self.too_large()) } else { Ok(()) }
    }

    fn too_large(&self) -> Problem {
        let detail = format!("send a body of at most {} bytes", self.max_body_bytes);
        Problem::new(StatusCode::PAYLOAD_TOO_LARGE, detail)
    }

    /// Refuses a browser that was led here by a page of somebody else.
    fn check_origin(&self, method: &Method, headers: &HeaderMap) -> Result<(), Problem> {
        let host = headers.get(header::HOST).and_then(|value| value.to_str().ok()).unwrap_or("");
        if !self.is_own_host(host) {
            let detail = "this server is not known by that Host; use its address, or start it \
                          with --allow-host NAME";
            return Err(Problem::new(StatusCode::MISDIRECTED_REQUEST, detail));
        }
        let Some(origin) = headers.get(header::ORIGIN) else { return Ok(()) };
        let own = |scheme| origin.as_bytes() == format!("{scheme}://{host}").as_bytes();
        if method.is_safe() || own("http") || own("https") {
            return Ok(());
        }
        let detail = "a page of another origin may not do this";
        Err(Problem::new(StatusCode::FORBIDDEN, detail))
    }

    fn is_own_host(&self, host: &str) -> bool {
        // `[::1]:8005`, `127.0.0.1:8005`, `localhost`: cut the port off, then the brackets.
        let name = match host.rsplit_once(':') {
            Some((name, port)) if port.bytes().all(|b| b.is_ascii_digit()) => name,
            _ => host,
        };
        let bare = name.trim_start_matches('[').trim_end_matches(']');
        // A name that a stranger can point at us is never a plain address.
        self.any_host
            || bare.parse::<IpAddr>().is_ok()
            || name.eq_ignore_ascii_case("localhost")
            || self.allowed_hosts.iter().any(|own| own.eq_ignore_ascii_case(name))
    }
}

/// Puts on what every response carries: its type is not guessed at, and nobody keeps it.
pub fn seal(headers: &mut HeaderMap) {
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    headers.entry(header::CACHE_CONTROL).or_insert(HeaderValue::from_static("no-store"));
}

/// The same response, whose body ends when `stop` fires if it is one that may go on for ever.
pub fn until(response: Response, stop: CancellationToken) -> Response {
    if response.body().size_hint().exact().is_some() {
        return response;
    }
    response.map(|body| {
        let frames = BodyStream::new(body).take_until(stop.cancelled_owned());
        Body::new(StreamBody::new(frames))
    })
}

fn closing(problem: Problem) -> Problem {
    problem.with_header(header::CONNECTION, HeaderValue::from_static("close"))
}
