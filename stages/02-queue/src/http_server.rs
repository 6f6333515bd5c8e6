//! HTTP/1 by hyper: the accept loop, with a deadline on everything a client can be slow at, and a
//! bound on everything it can occupy.
//!
//! Task tree: [`accept`] owns one task for each connection in a `JoinSet`. At shutdown it accepts no
//! more, gives each connection [`SHUTDOWN_TIMEOUT`] to finish its response, and aborts the rest.
//!
//! | attack | setting | test |
//! |---|---|---|
//! | half a header, then silence | `header_timeout` | `half_a_header_is_cut_off` |
//! | a response that is requested and not read | `write_timeout`, counted while bytes wait for the client | `a_client_that_does_not_read_is_cut_off` |
//! | thousands of connections | `max_connections`; one more waits in the kernel until a place is free or a client stalls | `one_connection_too_many_waits`, `a_stalled_connection_makes_room` |
//! | one client takes all places | `max_connections_per_client` | `a_client_has_its_share_of_the_places` |
//! | a client reads a byte now and then | the deadline is for [`connection::MIN_PROGRESS_BYTES`] at a time | `a_trickle_is_no_progress` |
//! | the socket's buffers of thousands of clients | [`SEND_BUFFER_BYTES`], `MAX_BUFFER_BYTES` | `a_client_that_does_not_read_is_cut_off` |

mod connection;
mod connections;

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::BodyExt as _;
use hyper::body::Incoming;
use hyper::service::{Service, service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::graceful::GracefulShutdown;
use rustix::net::sockopt::set_socket_send_buffer_size;
use shared::http::{Endpoint, PeerAddr, ServerOptions};
use shared::{BoxError, BoxFuture};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::{MissedTickBehavior, interval, timeout};
use tokio_util::sync::CancellationToken;

use self::connection::Activity;
pub use self::connection::TrackedStream;
pub use self::connections::client_network;
use self::connections::{Connections, Place};

/// Connections have this long to finish their responses at shutdown.
const SHUTDOWN_TIMEOUT: Duration = Duration::from_secs(2);
/// The pause after a connection could not be accepted.
const ACCEPT_RETRY_INTERVAL: Duration = Duration::from_millis(100);
/// How often connections are checked for clients that take nothing.
const SWEEP_INTERVAL: Duration = Duration::from_millis(250);
/// What hyper collects of a response before it waits for the client, and of a header at most.
const MAX_BUFFER_BYTES: usize = 64 << 10;
/// What the kernel buffers of a response; without a bound it grows to megabytes.
const SEND_BUFFER_BYTES: usize = 128 << 10;

// ANCHOR: serve
/// Serves `endpoint` by hyper until its shutdown token is cancelled, then returns when all
/// connections are closed.
pub fn serve(endpoint: Arc<Endpoint>, listener: TcpListener) -> BoxFuture<'static, ()> {
    Box::pin(async move {
        let (options, shutdown) = (endpoint.options().clone(), endpoint.shutdown().clone());
        let service = service_fn(move |request: http::Request<Incoming>| {
            let endpoint = Arc::clone(&endpoint);
            async move { Ok::<_, Infallible>(endpoint.answer(request).await) }
        });
        accept(listener, &options, shutdown, service).await;
    })
}
// ANCHOR_END: serve

// ANCHOR: accept
/// Accepts connections and answers their requests by `service` until `shutdown` is cancelled, then
/// returns when all are closed. For any service that hyper can serve: the deadlines are the same for
/// each. Every request carries the [`PeerAddr`] of its connection.
pub async fn accept<S, B>(
    listener: TcpListener,
    options: &ServerOptions,
    shutdown: CancellationToken,
    service: S,
) where
    S: Service<http::Request<Incoming>, Response = http::Response<B>>,
    S: Clone + Send + 'static,
    S::Future: Send + 'static,
    S::Error: Into<BoxError>,
    B: hyper::body::Body<Data = Bytes> + Send + 'static,
    B::Error: Into<BoxError>,
{
    accept_over(listener, options, shutdown, service, |stream| stream).await;
}

/// The same, with a layer on every connection, such as TLS. A handshake has to be a part of the first
/// read: then the deadlines of a header hold for it.
pub async fn accept_over<S, B, L, T>(
    listener: TcpListener,
    options: &ServerOptions,
    shutdown: CancellationToken,
    service: S,
    layer: L,
) where
    S: Service<http::Request<Incoming>, Response = http::Response<B>>,
    S: Clone + Send + 'static,
    S::Future: Send + 'static,
    S::Error: Into<BoxError>,
    B: hyper::body::Body<Data = Bytes> + Send + 'static,
    B::Error: Into<BoxError>,
    L: Fn(TrackedStream) -> T,
    T: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    // Accepted sockets inherit it. Without it only the memory of the kernel has no bound.
    set_socket_send_buffer_size(&listener, SEND_BUFFER_BYTES).ok();
    let graceful = GracefulShutdown::new();
    let mut connections = Connections::new(options);
    let mut sweep = interval(SWEEP_INTERVAL);
    sweep.set_missed_tick_behavior(MissedTickBehavior::Delay);
    // A connection that was accepted and has no place yet. No other is accepted meanwhile, so the
    // rest waits in the kernel's backlog.
    let mut waiting: Option<(TcpStream, SocketAddr)> = None;
    loop {
        tokio::select! {
            () = shutdown.cancelled() => break,
            () = connections.ended() => {}
            _ = sweep.tick() => connections.close_stalled(),
            accepted = next(&listener), if waiting.is_none() => waiting = Some(accepted),
        }
        let Some((socket, peer)) = waiting.take() else { continue };
        match connections.place(peer.ip()) {
            Place::Free => {
                let activity = Arc::new(Activity::default());
                let stream = TrackedStream::new(socket, Arc::clone(&activity));
                let stream = layer(stream);
                let (timeout, service) = (options.header_timeout, service.clone());
                let connection = connection(stream, peer, timeout, service, Arc::clone(&activity));
                connections.spawn(peer.ip(), activity, graceful.watch(connection));
            }
            Place::Refused => connections::refuse(socket),
            Place::None => waiting = Some((socket, peer)),
        }
    }
    drop(listener);
    if timeout(SHUTDOWN_TIMEOUT, graceful.shutdown()).await.is_err() {
        tracing::warn!("closed connections that did not finish in time");
    }
    connections.shutdown().await;
}
// ANCHOR_END: accept

/// One connection: its requests carry the address of the client, and are counted while the server
/// works on them.
fn connection<S, B, T>(
    stream: T,
    peer: SocketAddr,
    header_timeout: Duration,
    service: S,
    activity: Arc<Activity>,
) -> hyper::server::conn::http1::Connection<
    TokioIo<T>,
    impl hyper::service::HttpService<
        Incoming,
        ResBody = impl hyper::body::Body<Data = Bytes, Error = BoxError> + Send + 'static,
        Error = impl Into<BoxError>,
        Future = impl Send + 'static,
    > + Send,
>
where
    S: Service<http::Request<Incoming>, Response = http::Response<B>> + Send + 'static,
    S::Future: Send + 'static,
    S::Error: Into<BoxError>,
    B: hyper::body::Body<Data = Bytes> + Send + 'static,
    B::Error: Into<BoxError>,
    T: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let counted = service_fn(move |mut request: http::Request<Incoming>| {
        request.extensions_mut().insert(PeerAddr(peer));
        let guard = Activity::request(&activity);
        let answer = service.call(request);
        async move {
            let response = answer.await?;
            // The guard is dropped with the body, not with the head.
            Ok::<_, S::Error>(response.map(|body| {
                body.map_err(move |error| {
                    let _ = &guard; // owned by the body
                    error.into()
                })
            }))
        }
    });
    hyper::server::conn::http1::Builder::new()
        .timer(TokioTimer::new()) // without a timer hyper ignores the header timeout
        .header_read_timeout(header_timeout)
        .max_buf_size(MAX_BUFFER_BYTES)
        .serve_connection(TokioIo::new(stream), counted)
}

/// Accepts a connection.
async fn next(listener: &TcpListener) -> (TcpStream, SocketAddr) {
    loop {
        match listener.accept().await {
            Ok((socket, peer)) => {
                // Small responses should not wait for Nagle's algorithm; without the option they do.
                socket.set_nodelay(true).ok();
                return (socket, peer);
            }
            // Most likely out of descriptors: wait until some are free instead of spinning.
            Err(error) => {
                tracing::warn!(%error, "could not accept a connection");
                tokio::time::sleep(ACCEPT_RETRY_INTERVAL).await;
            }
        }
    }
}

#[cfg(test)]
mod tests;
