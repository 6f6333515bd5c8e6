//! The accept loop, with a deadline on everything a client can be slow at.
//!
//! Task tree: [`accept`] owns one task for each connection in a `JoinSet`. When `stop` fires it
//! accepts no more, gives each connection [`LINGER`] to finish its answer, and aborts what is left.
//!
//! | attack | defence | test |
//! |---|---|---|
//! | half a header, then silence | `header_deadline` | `half_a_header_is_cut_off` |
//! | thousands of connections | `max_connections`; more wait in the kernel | `one_connection_too_many_waits` |

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use hyper::body::Incoming;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::graceful::GracefulShutdown;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use super::guard::{seal, until};
use super::{Response, ServerOptions, Service};

/// Connections have this long to finish their answers after `stop`.
const LINGER: Duration = Duration::from_secs(2);

/// A service behind HTTP/1.
pub struct Server<S> {
    service: S,
    options: ServerOptions,
    stop: CancellationToken,
}

impl<S: Service + 'static> Server<S> {
    /// A server that answers by `service` until `stop` fires.
    pub fn new(service: S, options: ServerOptions, stop: CancellationToken) -> Self {
        Self { service, options, stop }
    }

    /// Serves until `stop` fires, then returns when all connections are gone.
    pub async fn run(self, listener: TcpListener) {
        let (options, stop) = (self.options.clone(), self.stop.clone());
        let server = Arc::new(self);
        let service = hyper::service::service_fn(move |request| {
            let server = Arc::clone(&server);
            async move { Ok::<_, Infallible>(server.answer(request).await) }
        });
        accept(listener, &options, stop, service).await;
    }

    async fn answer(&self, request: http::Request<Incoming>) -> Response {
        let mut response = match self.options.read(request).await {
            Ok(request) => self.service.call(request).await,
            Err(problem) => problem.into_response(),
        };
        seal(response.headers_mut());
        until(response, self.stop.clone())
    }
}

/// Accepts connections and answers them by `service` until `stop` fires, then returns when all are
/// gone. For any service that hyper can serve: the deadlines are the same for each.
pub async fn accept<S, B>(
    listener: TcpListener,
    options: &ServerOptions,
    stop: CancellationToken,
    service: S,
) where
    S: hyper::service::Service<http::Request<Incoming>, Response = http::Response<B>>,
    S: Clone + Send + 'static,
    S::Future: Send + 'static,
    S::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
    B: hyper::body::Body<Data = Bytes> + Send + 'static,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    let graceful = GracefulShutdown::new();
    let places = Arc::new(Semaphore::new(options.max_connections));
    let mut connections = JoinSet::new();
    loop {
        let accepted = tokio::select! {
            () = stop.cancelled() => break,
            Some(_ended) = connections.join_next() => continue,
            accepted = next(&listener, &places) => accepted,
        };
        let Some((socket, place)) = accepted else { break };
        let connection = hyper::server::conn::http1::Builder::new()
            .timer(TokioTimer::new()) // without a timer hyper ignores the header deadline
            .header_read_timeout(options.header_deadline)
            .serve_connection(TokioIo::new(socket), service.clone());
        let connection = graceful.watch(connection);
        connections.spawn(async move {
            // A client that goes away in the middle is its own affair.
            if let Err(error) = connection.await {
                tracing::debug!(%error, "connection ended");
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

/// Takes a place and then a connection. None when no more can come.
async fn next(
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
            Err(error) => {
                tracing::warn!(%error, "could not accept a connection");
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use http::{Method, StatusCode};
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    use super::*;
    use crate::http::{Call, Router, bytes};

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
    async fn one_connection_too_many_waits() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let options = ServerOptions { max_connections: 1, ..ServerOptions::default() };
        tokio::spawn(Server::new(Router::new(), options, CancellationToken::new()).run(listener));
        let mut begin = [0; 12];
        let mut first = TcpStream::connect(address).await.unwrap();
        let mut second = TcpStream::connect(address).await.unwrap();
        for socket in [&mut first, &mut second] {
            socket.write_all(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n").await.unwrap();
        }
        first.read_exact(&mut begin).await.unwrap();
        assert_eq!(&begin, b"HTTP/1.1 404");
        let waiting = timeout(Duration::from_millis(200), second.read_exact(&mut begin)).await;
        assert!(waiting.is_err(), "it was answered: {begin:?}");
        drop(first);
        timeout(Duration::from_secs(5), second.read_exact(&mut begin)).await.unwrap().unwrap();
    }

    #[tokio::test]
    async fn a_request_without_a_host_is_refused() {
        assert!(exchange("POST / HTTP/1.1\r\nContent-Length: 0\r\n\r\n").await.contains("421"));
    }
}
