//! Sends one request of a webhook.
//!
//! The address that is checked is the one that is connected to: the check is in the resolver of the
//! connection, not before it, so that a name cannot change its address in between.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, Request, StatusCode, header};
use http_body_util::Full;
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use shared::BoxFuture;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::ClientConfig;
use tokio_rustls::rustls::pki_types::ServerName;
use url::{Host, Url};

use super::address::{NetworkPolicy, Refused};
use stage_09_frontier::{client_config, system_roots};

/// Longest time for a connection, and for the head of a response after that.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
const RESPONSE_TIMEOUT: Duration = Duration::from_secs(15);
/// The largest head of a response, in bytes.
const MAX_HEAD_BYTES: usize = 16 << 10;
/// Redirects that are followed.
const MAX_REDIRECTS: usize = 3;

/// Why an event was not delivered.
#[derive(Debug, thiserror::Error)]
pub(super) enum SendError {
    /// It must not be sent there. Another attempt changes nothing.
    #[error("{0}")]
    Refused(Refused),
    /// The receiver has answered so.
    #[error("the receiver answered {0}")]
    Status(StatusCode),
    #[error("the receiver redirects too often, or to no URL")]
    Redirects,
    #[error("the receiver did not answer in time")]
    TimedOut,
    /// It was sealed with another key than this server's.
    #[error("the secret of the webhook cannot be opened with the key of this server: replace it")]
    NoSecret,
    /// No connection, or it broke.
    #[error("the receiver cannot be reached")]
    Unreachable,
}

impl SendError {
    /// Whether no other attempt is made: the receiver is gone, or must not be called, or nothing can sign.
    pub(super) fn is_final(&self) -> bool {
        matches!(self, Self::Refused(_) | Self::NoSecret | Self::Status(StatusCode::GONE))
    }
}

/// What is sent.
pub(super) struct Message<'a> {
    pub(super) id: &'a str,
    pub(super) seconds: i64,
    pub(super) signature: &'a str,
    pub(super) body: &'a str,
}

/// Finds the addresses of a host.
pub(super) trait Resolve: Send + Sync {
    fn resolve(&self, host: &str, port: u16) -> BoxFuture<'static, io::Result<Vec<SocketAddr>>>;
}

/// As the system does.
struct System;

impl Resolve for System {
    fn resolve(&self, host: &str, port: u16) -> BoxFuture<'static, io::Result<Vec<SocketAddr>>> {
        let host = host.to_owned();
        Box::pin(async move { Ok(tokio::net::lookup_host((host, port)).await?.collect()) })
    }
}

/// Sends to addresses that the policy permits.
pub(super) struct Client {
    policy: NetworkPolicy,
    resolver: Arc<dyn Resolve>,
    /// Made when it is needed first, from the certificates of the system.
    tls: OnceLock<Option<Arc<ClientConfig>>>,
}

impl Client {
    pub(super) fn new(policy: NetworkPolicy) -> Self {
        Self::with_resolver(policy, Arc::new(System))
    }

    /// The same, which asks `resolver` for addresses.
    pub(super) fn with_resolver(policy: NetworkPolicy, resolver: Arc<dyn Resolve>) -> Self {
        Self { policy, resolver, tls: OnceLock::new() }
    }

    // ANCHOR: send
    /// Sends a message, and follows redirects that keep the method.
    pub(super) async fn send(&self, url: &str, message: &Message<'_>) -> Result<(), SendError> {
        let mut url = self.policy.check(url).map_err(SendError::Refused)?;
        for _ in 0..=MAX_REDIRECTS {
            let (status, headers) = self.request(&url, message).await?;
            if status.is_success() {
                return Ok(());
            }
            let kept = [StatusCode::TEMPORARY_REDIRECT, StatusCode::PERMANENT_REDIRECT];
            if !kept.contains(&status) {
                return Err(SendError::Status(status));
            }
            let location = headers.get(header::LOCATION);
            let location = location.and_then(|location| location.to_str().ok());
            let target = location.and_then(|location| url.join(location).ok());
            url = target.ok_or(SendError::Redirects)?;
            self.policy.check_url(&url).map_err(SendError::Refused)?;
        }
        Err(SendError::Redirects)
    }
    // ANCHOR_END: send

    /// One request on a connection of its own. The body of the response is never read.
    async fn request(
        &self,
        url: &Url,
        message: &Message<'_>,
    ) -> Result<(StatusCode, HeaderMap), SendError> {
        let unreachable = |error: &dyn std::error::Error| {
            tracing::debug!(%error, "a webhook was not delivered");
            SendError::Unreachable
        };
        let stream = timeout(CONNECT_TIMEOUT, self.connect(url)).await;
        let stream = stream.map_err(|_| SendError::TimedOut)??;
        let request = request(url, message).map_err(|error| unreachable(&error))?;
        let exchange = async {
            if url.scheme() == "http" {
                return exchange(stream, request).await.map_err(|error| unreachable(&error));
            }
            let connector = TlsConnector::from(self.tls().ok_or(SendError::Unreachable)?);
            let name = server_name(url).ok_or(SendError::Unreachable)?;
            let stream = connector.connect(name, stream).await;
            let stream = stream.map_err(|error| unreachable(&error))?;
            exchange(stream, request).await.map_err(|error| unreachable(&error))
        };
        timeout(RESPONSE_TIMEOUT, exchange).await.unwrap_or(Err(SendError::TimedOut))
    }

    // ANCHOR: connect
    /// A connection to an address of the URL's host that is permitted, and to no other.
    async fn connect(&self, url: &Url) -> Result<TcpStream, SendError> {
        let port = url.port_or_known_default().unwrap_or(443);
        let found = match url.host() {
            Some(Host::Domain(name)) => self.resolver.resolve(name, port).await,
            Some(Host::Ipv4(address)) => Ok(vec![(IpAddr::V4(address), port).into()]),
            Some(Host::Ipv6(address)) => Ok(vec![(IpAddr::V6(address), port).into()]),
            None => return Err(SendError::Refused(Refused::Malformed)),
        };
        let is_plain = url.scheme() == "http";
        let mut permitted = found.map_err(|_| SendError::Unreachable)?;
        permitted.retain(|address| self.policy.permits(address.ip(), is_plain));
        if permitted.is_empty() {
            return Err(SendError::Refused(Refused::Address));
        }
        TcpStream::connect(&permitted[..]).await.map_err(|_| SendError::Unreachable)
    }
    // ANCHOR_END: connect

    fn tls(&self) -> Option<Arc<ClientConfig>> {
        self.tls.get_or_init(configuration).clone()
    }
}

/// TLS by the certificates of the system.
fn configuration() -> Option<Arc<ClientConfig>> {
    let roots = system_roots();
    if roots.is_empty() {
        tracing::error!("this system has no certificates, so that no webhook can be sent");
    }
    client_config(roots).ok().map(Arc::new)
}

fn server_name(url: &Url) -> Option<ServerName<'static>> {
    match url.host()? {
        Host::Domain(name) => ServerName::try_from(name.to_owned()).ok(),
        Host::Ipv4(address) => Some(ServerName::from(IpAddr::V4(address))),
        Host::Ipv6(address) => Some(ServerName::from(IpAddr::V6(address))),
    }
}

fn request(url: &Url, message: &Message<'_>) -> http::Result<Request<Full<Bytes>>> {
    let authority = &url[url::Position::BeforeHost..url::Position::AfterPort];
    Request::post(&url[url::Position::BeforePath..url::Position::AfterQuery])
        .header(header::HOST, authority)
        .header(header::USER_AGENT, "Crucible-Webhooks")
        .header(header::CONNECTION, "close")
        .header(header::CONTENT_TYPE, "application/cloudevents+json")
        .header("webhook-id", message.id)
        .header("webhook-timestamp", message.seconds)
        .header("webhook-signature", message.signature)
        .body(Full::new(Bytes::copy_from_slice(message.body.as_bytes())))
}

/// Sends a request, and reads the head of its response.
async fn exchange(
    stream: impl AsyncRead + AsyncWrite + Send + Unpin + 'static,
    request: Request<Full<Bytes>>,
) -> hyper::Result<(StatusCode, HeaderMap)> {
    let mut builder = http1::Builder::new();
    let (mut sender, connection) =
        builder.max_buf_size(MAX_HEAD_BYTES).handshake(TokioIo::new(stream)).await?;
    let connection = AbortOnDrop(tokio::spawn(connection));
    let (head, _body) = sender.send_request(request).await?.into_parts();
    drop(connection);
    Ok((head.status, head.headers))
}

/// Closes the connection, also when the request takes too long.
struct AbortOnDrop<T>(tokio::task::JoinHandle<T>);

impl<T> Drop for AbortOnDrop<T> {
    fn drop(&mut self) {
        self.0.abort();
    }
}
