//! The accept loop, with a deadline on everything a client can be slow at.
//!
//! Task tree: `Server::run` accepts, and owns one task for each connection in a `JoinSet`. When
//! `stop` fires it accepts no more, ends all streams, gives each connection [`LINGER`] to finish
//! its answer, and aborts what is left.
//!
//! | attack | defence | test |
//! |---|---|---|
//! | half a header, then silence | [`HEADER_DEADLINE`] | `half_a_header_is_cut_off` |
//! | half a body, then silence | [`BODY_DEADLINE`] | `half_a_body_is_refused` |
//! | a body of a gigabyte | `max_body_bytes`, counted while reading | `a_large_body_is_refused` |
//! | a page of another site posts to us, or rebinds its name to 127.0.0.1 | `Host` and `Origin` are checked | `a_foreign_page_is_refused` |

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt;
use http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use http_body_util::{BodyExt, BodyStream, LengthLimitError, Limited, StreamBody};
use hyper::body::{Body as _, Incoming};
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::graceful::GracefulShutdown;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use super::{Body, Problem, Response, Router};

/// A client has this long to send its header, and may idle this long between two requests.
const HEADER_DEADLINE: Duration = Duration::from_secs(10);
/// A client has this long to send its body.
const BODY_DEADLINE: Duration = Duration::from_secs(10);
/// Connections have this long to finish their answers after `stop`.
const LINGER: Duration = Duration::from_secs(2);
/// Connections at one moment. More wait in the kernel's backlog.
const MAX_CONNECTIONS: usize = 2048;

/// What can be set about a server.
#[derive(Debug, Clone)]
pub struct ServerOptions {
    /// The largest request body, in bytes.
    pub max_body_bytes: usize,
    /// Host names a client may use beside `localhost` and plain addresses.
    pub allowed_hosts: Vec<String>,
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
            header_deadline: HEADER_DEADLINE,
            body_deadline: BODY_DEADLINE,
        }
    }
}

/// A router behind HTTP/1.
pub struct Server {
    router: Router,
    options: ServerOptions,
    stop: CancellationToken,
}

impl Server {
    /// A server that answers by `router` until `stop` fires.
    pub fn new(router: Router, options: ServerOptions, stop: CancellationToken) -> Self {
        Self { router, options, stop }
    }

    /// Serves until `stop` fires, then returns when all connections are gone.
    pub async fn run(self, listener: TcpListener) {
        let server = Arc::new(self);
        let graceful = GracefulShutdown::new();
        let places = Arc::new(Semaphore::new(MAX_CONNECTIONS));
        let mut connections = JoinSet::new();
        loop {
            let accepted = tokio::select! {
                () = server.stop.cancelled() => break,
                Some(_ended) = connections.join_next() => continue,
                accepted = accept(&listener, &places) => accepted,
            };
            let Some((socket, place)) = accepted else { break };
            let this = Arc::clone(&server);
            let service = hyper::service::service_fn(move |request| {
                let this = Arc::clone(&this);
                async move { Ok::<_, std::convert::Infallible>(this.answer(request).await) }
            });
            let connection = hyper::server::conn::http1::Builder::new()
                .timer(TokioTimer::new()) // without a timer hyper ignores the header deadline
                .header_read_timeout(server.options.header_deadline)
                .serve_connection(TokioIo::new(socket), service);
            let connection = graceful.watch(connection);
            connections.spawn(async move {
                // A client that goes away in the middle is its own affair.
                if let Err(fault) = connection.await {
                    tracing::debug!(%fault, "connection ended");
                }
                drop(place);
            });
        }
        drop(listener);
        if timeout(LINGER, graceful.shutdown()).await.is_err() {
            tracing::warn!("cut off connections that did not finish in time");
        }
        connections.shutdown().await;
    }

    async fn answer(&self, request: http::Request<Incoming>) -> Response {
        let mut response = match self.read(request).await {
            Ok(request) => self.router.handle(request).await,
            Err(problem) => problem.into_response(),
        };
        let headers = response.headers_mut();
        let nosniff = HeaderValue::from_static("nosniff");
        headers.insert(header::X_CONTENT_TYPE_OPTIONS, nosniff);
        headers.entry(header::CACHE_CONTROL).or_insert(HeaderValue::from_static("no-store"));
        if response.body().size_hint().exact().is_some() {
            return response;
        }
        // A stream may go on for ever; it ends when the server stops.
        let stop = self.stop.clone();
        response.map(|body| {
            let frames = BodyStream::new(body).take_until(stop.cancelled_owned());
            Body::new(StreamBody::new(frames))
        })
    }

    async fn read(&self, request: http::Request<Incoming>) -> Result<super::Request, Problem> {
        self.check_origin(request.method(), request.headers())?;
        let (parts, body) = request.into_parts();
        let max = self.options.max_body_bytes;
        let read = Limited::new(body, max).collect();
        let body = match timeout(self.options.body_deadline, read).await {
            Ok(Ok(body)) => body.to_bytes(),
            Ok(Err(fault)) if fault.is::<LengthLimitError>() => {
                let detail = format!("send a body of at most {max} bytes");
                return Err(closing(Problem::new(StatusCode::PAYLOAD_TOO_LARGE, detail)));
            }
            Ok(Err(_)) => {
                let detail = "the body was cut off or is not what its header announces";
                return Err(closing(Problem::new(StatusCode::BAD_REQUEST, detail)));
            }
            Err(_) => {
                let seconds = self.options.body_deadline.as_secs();
                let detail = format!("send the whole body within {seconds} s");
                return Err(closing(Problem::new(StatusCode::REQUEST_TIMEOUT, detail)));
            }
        };
        Ok(http::Request::from_parts(parts, body))
    }

    /// Refuses a browser that was led here by a page of somebody else.
    fn check_origin(&self, method: &Method, headers: &HeaderMap) -> Result<(), Problem> {
        let host = headers.get(header::HOST).and_then(|value| value.to_str().ok()).unwrap_or("");
        if !self.is_own_host(host) {
            let detail = "this server is not known by that Host; use its address, or start it \
                          with --allow-host NAME";
            return Err(closing(Problem::new(StatusCode::MISDIRECTED_REQUEST, detail)));
        }
        let Some(origin) = headers.get(header::ORIGIN) else { return Ok(()) };
        let own = |scheme| origin.as_bytes() == format!("{scheme}://{host}").as_bytes();
        if method.is_safe() || own("http") || own("https") {
            return Ok(());
        }
        let detail = "a page of another origin may not do this";
        Err(closing(Problem::new(StatusCode::FORBIDDEN, detail)))
    }

    fn is_own_host(&self, host: &str) -> bool {
        // `[::1]:8005`, `127.0.0.1:8005`, `localhost`: cut the port off, then the brackets.
        let name = match host.rsplit_once(':') {
            Some((name, port)) if port.bytes().all(|b| b.is_ascii_digit()) => name,
            _ => host,
        };
        let bare = name.trim_start_matches('[').trim_end_matches(']');
        // A name that a stranger can point at us is never a plain address.
        bare.parse::<IpAddr>().is_ok()
            || name.eq_ignore_ascii_case("localhost")
            || self.options.allowed_hosts.iter().any(|own| own.eq_ignore_ascii_case(name))
    }
}

/// Takes a place and then a connection. None when no more can come.
async fn accept(
    listener: &TcpListener,
    places: &Arc<Semaphore>,
) -> Option<(TcpStream, tokio::sync::OwnedSemaphorePermit)> {
    let place = Arc::clone(places).acquire_owned().await.ok()?;
    loop {
        match listener.accept().await {
            Ok((socket, _)) => {
                // Small answers should not wait for Nagle; if it cannot be set, they wait.
                let _unimportant = socket.set_nodelay(true);
                return Some((socket, place));
            }
            // Out of descriptors, most likely: wait for some to come back instead of spinning.
            Err(fault) => {
                tracing::warn!(%fault, "could not accept a connection");
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        }
    }
}

/// The rest of the request was not read, so the connection cannot be used again.
fn closing(problem: Problem) -> Problem {
    problem.with_header(header::CONNECTION, HeaderValue::from_static("close"))
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    use super::*;
    use crate::http::{Call, bytes};

    async fn server() -> (std::net::SocketAddr, CancellationToken) {
        let echo = |call: Call| async move {
            Ok(bytes(StatusCode::OK, "text/plain", call.request.into_body()))
        };
        let router = Router::new().route(Method::POST, "/", echo);
        let options = ServerOptions {
            max_body_bytes: 10,
            header_deadline: Duration::from_millis(200),
            body_deadline: Duration::from_millis(200),
            ..ServerOptions::default()
        };
        let stop = CancellationToken::new();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        tokio::spawn(Server::new(router, options, stop.clone()).run(listener));
        (address, stop)
    }

    /// Sends `request` and reads until the server closes, at most five seconds.
    async fn exchange(request: &str) -> String {
        let (address, _stop) = server().await;
        let mut socket = TcpStream::connect(address).await.unwrap();
        socket.write_all(request.as_bytes()).await.unwrap();
        let mut answer = String::new();
        let reading = socket.read_to_string(&mut answer);
        timeout(Duration::from_secs(5), reading).await.expect("the server never closed").unwrap();
        answer
    }

    #[tokio::test]
    async fn half_a_header_is_cut_off() {
        assert_eq!(exchange("POST / HTTP/1.1\r\nHost: localhost\r\nX-").await, "");
    }

    #[tokio::test]
    async fn half_a_body_is_refused() {
        let request = "POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 5\r\n\r\nab";
        assert!(exchange(request).await.starts_with("HTTP/1.1 408"));
    }

    #[tokio::test]
    async fn a_large_body_is_refused() {
        let honest = "POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 11\r\n\r\nabcdefghijk";
        assert!(exchange(honest).await.starts_with("HTTP/1.1 413"));
        let chunked = "POST / HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n\
                       b\r\nabcdefghijk\r\n0\r\n\r\n";
        assert!(exchange(chunked).await.starts_with("HTTP/1.1 413"));
    }

    #[tokio::test]
    async fn a_foreign_page_is_refused() {
        let rebound = "POST / HTTP/1.1\r\nHost: evil.example\r\nContent-Length: 0\r\n\r\n";
        assert!(exchange(rebound).await.starts_with("HTTP/1.1 421"));
        let posted = "POST / HTTP/1.1\r\nHost: 127.0.0.1:8005\r\nOrigin: http://evil.example\r\n\
                      Content-Length: 0\r\n\r\n";
        assert!(exchange(posted).await.starts_with("HTTP/1.1 403"));
        let own = "POST / HTTP/1.1\r\nHost: [::1]:8005\r\nOrigin: http://[::1]:8005\r\n\
                   Connection: close\r\nContent-Length: 2\r\n\r\nok";
        assert!(exchange(own).await.ends_with("\r\n\r\nok"));
    }

    #[tokio::test]
    async fn a_request_without_a_host_is_refused() {
        assert!(exchange("POST / HTTP/1.1\r\nContent-Length: 0\r\n\r\n").await.contains("421"));
    }
}
