//! Sends one request of a webhook.
//!
//! The address that is checked is the one that is connected to: the check is in the resolver of the
//! connection, not before it, so that a name cannot change its address in between.

use std::net::SocketAddr;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use reqwest::{Response, StatusCode, header, redirect};
use url::Url;

use super::address::{NetworkPolicy, Refused};

/// Longest time for a connection, and for a request up to the head of its response.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
const REQUEST_TIMEOUT: Duration = Duration::from_secs(15);
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
    /// No connection, or it broke.
    #[error("the receiver cannot be reached")]
    Unreachable,
}

impl SendError {
    /// Whether no other attempt is made: the receiver is gone, or must not be called.
    pub(super) fn is_final(&self) -> bool {
        matches!(self, Self::Refused(_) | Self::Status(StatusCode::GONE))
    }
}

/// What is sent.
pub(super) struct Message<'a> {
    pub(super) id: &'a str,
    pub(super) seconds: i64,
    pub(super) signature: &'a str,
    pub(super) body: &'a str,
}

/// Sends to addresses that the policy permits.
pub(super) struct Client {
    policy: NetworkPolicy,
    resolver: Option<Arc<dyn Resolve>>,
    /// For HTTPS, and for HTTP. Made when they are needed first.
    clients: [OnceLock<Option<reqwest::Client>>; 2],
}

impl Client {
    pub(super) fn new(policy: NetworkPolicy) -> Self {
        Self { policy, resolver: None, clients: [OnceLock::new(), OnceLock::new()] }
    }

    /// The same, which asks `resolver` for addresses.
    #[cfg(test)]
    pub(super) fn with_resolver(policy: NetworkPolicy, resolver: Arc<dyn Resolve>) -> Self {
        Self { resolver: Some(resolver), ..Self::new(policy) }
    }

    // ANCHOR: send
    /// Sends a message, and follows redirects that keep the method.
    pub(super) async fn send(&self, url: &str, message: &Message<'_>) -> Result<(), SendError> {
        let mut url = self.policy.check(url).map_err(SendError::Refused)?;
        for _ in 0..=MAX_REDIRECTS {
            let response = self.request(url.clone(), message).await?;
            let status = response.status();
            if status.is_success() {
                return Ok(());
            }
            let kept = [StatusCode::TEMPORARY_REDIRECT, StatusCode::PERMANENT_REDIRECT];
            if !kept.contains(&status) {
                return Err(SendError::Status(status));
            }
            let location = response.headers().get(header::LOCATION);
            let location = location.and_then(|location| location.to_str().ok());
            let target = location.and_then(|location| url.join(location).ok());
            url = target.ok_or(SendError::Redirects)?;
            self.policy.check_url(&url).map_err(SendError::Refused)?;
        }
        Err(SendError::Redirects)
    }
    // ANCHOR_END: send

    /// One request. The body of its response is never read.
    async fn request(&self, url: Url, message: &Message<'_>) -> Result<Response, SendError> {
        let is_plain = url.scheme() == "http";
        let client = self.clients[usize::from(is_plain)].get_or_init(|| self.build(is_plain));
        let request = client.as_ref().ok_or(SendError::Unreachable)?.post(url);
        let request = request
            .header("webhook-id", message.id)
            .header("webhook-timestamp", message.seconds)
            .header("webhook-signature", message.signature)
            .header(header::CONTENT_TYPE, "application/cloudevents+json")
            .body(message.body.to_owned());
        request.send().await.map_err(|error| {
            tracing::debug!(%error, "a webhook was not delivered");
            if is_refused(&error) {
                SendError::Refused(Refused::Address)
            } else if error.is_timeout() {
                SendError::TimedOut
            } else {
                SendError::Unreachable
            }
        })
    }

    fn build(&self, is_plain: bool) -> Option<reqwest::Client> {
        // Another part may have chosen it already.
        tokio_rustls::rustls::crypto::ring::default_provider().install_default().ok();
        let resolver = self.resolver.clone().unwrap_or_else(|| Arc::new(System));
        let checked = Checked { resolver, policy: self.policy.clone(), is_plain };
        let client = reqwest::Client::builder()
            .dns_resolver(Arc::new(checked))
            // A proxy would resolve names itself.
            .no_proxy()
            .redirect(redirect::Policy::none())
            .https_only(!is_plain)
            .connect_timeout(CONNECT_TIMEOUT)
            .timeout(REQUEST_TIMEOUT)
            // The name is looked up, and the address checked, for each request.
            .pool_max_idle_per_host(0)
            .user_agent("Crucible-Webhooks");
        match client.build() {
            Ok(client) => Some(client),
            Err(error) => {
                tracing::error!(%error, "webhooks cannot be sent");
                None
            }
        }
    }
}

/// Looks names up as the system does.
struct System;

impl Resolve for System {
    fn resolve(&self, name: Name) -> Resolving {
        Box::pin(async move {
            let found = tokio::net::lookup_host((name.as_str(), 0)).await?;
            Ok(Box::new(found.collect::<Vec<_>>().into_iter()) as Addrs)
        })
    }
}

/// Drops the addresses that must not be connected to.
struct Checked {
    resolver: Arc<dyn Resolve>,
    policy: NetworkPolicy,
    is_plain: bool,
}

impl Resolve for Checked {
    // ANCHOR: resolve
    fn resolve(&self, name: Name) -> Resolving {
        let found = self.resolver.resolve(name);
        let (policy, is_plain) = (self.policy.clone(), self.is_plain);
        Box::pin(async move {
            let permitted: Vec<SocketAddr> =
                found.await?.filter(|address| policy.permits(address.ip(), is_plain)).collect();
            if permitted.is_empty() {
                return Err(Refused::Address.into());
            }
            Ok(Box::new(permitted.into_iter()) as Addrs)
        })
    }
    // ANCHOR_END: resolve
}

/// Whether the resolver has refused all addresses.
fn is_refused(error: &reqwest::Error) -> bool {
    let error: &dyn std::error::Error = error;
    let mut causes = std::iter::successors(Some(error), |error| error.source());
    causes.any(<dyn std::error::Error>::is::<Refused>)
}
