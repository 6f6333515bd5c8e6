//! HTTP/1 by hyper: the accept loop, with a deadline on everything a client can be slow at.
//!
//! Task tree: [`accept`] owns one task for each connection in a `JoinSet`. At shutdown it accepts no
//! more, gives each connection [`SHUTDOWN_TIMEOUT`] to finish its response, and aborts the rest.
//!
//! | attack | setting | test |
//! |---|---|---|
//! | half a header, then silence | `header_timeout` | `half_a_header_is_cut_off` |
//! | thousands of connections | `max_connections`; more wait in the kernel | `one_connection_too_many_waits` |

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use hyper::body::Incoming;
use hyper::service::{Service, service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::graceful::GracefulShutdown;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::task::JoinSet;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use super::{Endpoint, PeerAddr, ServerOptions};
use crate::BoxFuture;
use crate::error::BoxError;

/// Connections have this long to finish their responses at shutdown.
const SHUTDOWN_TIMEOUT: Duration = Duration::from_secs(2);
/// The pause after a connection could not be accepted.
const ACCEPT_RETRY_INTERVAL: Duration = Duration::from_millis(100);

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
    let graceful = GracefulShutdown::new();
    // A permit for each open connection: it is acquired before `accept`, so that a connection beyond
    // the limit waits in the kernel's backlog, and moves into the task of the connection.
    let permits = Arc::new(Semaphore::new(options.max_connections));
    let mut connections = JoinSet::new();
    loop {
        let accepted = tokio::select! {
            () = shutdown.cancelled() => break,
            Some(_) = connections.join_next() => continue,
            accepted = next(&listener, &permits) => accepted,
        };
        let Some((socket, peer, permit)) = accepted else { break };
        let service = service.clone();
        let with_peer = service_fn(move |mut request: http::Request<Incoming>| {
            request.extensions_mut().insert(PeerAddr(peer));
            service.call(request)
        });
        let connection = hyper::server::conn::http1::Builder::new()
            .timer(TokioTimer::new()) // without a timer hyper ignores the header timeout
            .header_read_timeout(options.header_timeout)
            .serve_connection(TokioIo::new(socket), with_peer);
        let connection = graceful.watch(connection);
        connections.spawn(async move {
            // A client may disconnect at any time: that is no error of the server.
            if let Err(error) = connection.await {
                tracing::debug!(%error, "connection ended");
            }
            drop(permit);
        });
    }
    drop(listener);
    if timeout(SHUTDOWN_TIMEOUT, graceful.shutdown()).await.is_err() {
        tracing::warn!("closed connections that did not finish in time");
    }
    connections.shutdown().await;
}

/// Acquires a permit, then accepts a connection. None when the semaphore is closed.
async fn next(
    listener: &TcpListener,
    permits: &Arc<Semaphore>,
) -> Option<(TcpStream, SocketAddr, OwnedSemaphorePermit)> {
    let permit = Arc::clone(permits).acquire_owned().await.ok()?;
    loop {
        match listener.accept().await {
            Ok((socket, peer)) => {
                // Small responses should not wait for Nagle's algorithm; without the option they do.
                socket.set_nodelay(true).ok();
                return Some((socket, peer, permit));
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
