//! The client of SQS, with a connector on rustls and ring.
//!
//! The SDK's default features would bring hyper 0.14 and an old rustls; without any connector it compiles, and
//! every request fails.

use std::path::Path;
use std::time::Duration;

use aws_config::retry::RetryConfig;
use aws_config::timeout::TimeoutConfig;
use aws_config::{BehaviorVersion, Region};
use aws_sdk_sqs::Client;
use aws_sdk_sqs::config::{Credentials, SharedHttpClient};
use aws_smithy_http_client::Builder;
use aws_smithy_http_client::tls::rustls_provider::CryptoMode;
use aws_smithy_http_client::tls::{Provider, TlsContext, TrustStore};

use super::super::credentials::Credentials as Login;
use crate::broker::{BrokerError, BrokerOptions};

/// For one connection.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(3);

/// For one attempt; longer than the longest wait for a message.
const ATTEMPT_TIMEOUT: Duration = Duration::from_secs(30);

/// The callers repeat what fails, so the client need not do it for long.
const MAX_ATTEMPTS: u32 = 2;

/// A client for that region. It connects with its first request.
pub(super) async fn new(
    region: &str,
    endpoint: Option<&str>,
    options: &BrokerOptions,
) -> Result<Client, BrokerError> {
    let timeouts = TimeoutConfig::builder()
        .connect_timeout(CONNECT_TIMEOUT)
        .operation_attempt_timeout(ATTEMPT_TIMEOUT)
        .build();
    let mut loader = aws_config::defaults(BehaviorVersion::latest())
        .region(Region::new(region.to_owned()))
        .retry_config(RetryConfig::standard().with_max_attempts(MAX_ATTEMPTS))
        .timeout_config(timeouts)
        .http_client(connector(options.certificates.as_deref())?);
    if let Some(endpoint) = endpoint {
        loader = loader.endpoint_url(endpoint);
    }
    if let Some(path) = &options.credentials {
        let Login::Pair(id, secret) = Login::read(path)? else {
            let path = path.display();
            let error = format!("the credentials in {path}: one line KEY_ID:SECRET_KEY is needed");
            return Err(BrokerError::Refused(error.into()));
        };
        loader = loader.credentials_provider(Credentials::new(id, secret, None, None, "file"));
    }
    Ok(Client::new(&loader.load().await))
}

fn connector(certificates: Option<&Path>) -> Result<SharedHttpClient, BrokerError> {
    let builder = Builder::new().tls_provider(Provider::Rustls(CryptoMode::Ring));
    let Some(path) = certificates else {
        // Without any, `build_https` panics: a fresh Debian has none.
        if stage_09_frontier::system_roots().is_empty() {
            let missing = "this system has no certificates of authorities: install ca-certificates";
            return Err(BrokerError::Refused(missing.into()));
        }
        return Ok(builder.build_https());
    };
    let refused = |reason: String| {
        BrokerError::Refused(format!("certificates {}: {reason}", path.display()).into())
    };
    let pem = std::fs::read(path).map_err(|error| refused(error.to_string()))?;
    let store = TrustStore::empty().with_pem_certificate(pem);
    let context = TlsContext::builder().with_trust_store(store).build();
    let context = context.map_err(|error| refused(error.to_string()))?;
    Ok(builder.tls_context(context).build_https())
}
