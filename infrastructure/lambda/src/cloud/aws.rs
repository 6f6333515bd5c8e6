//! The clients of DynamoDB and S3, with a connector on rustls and ring: as that of stage 10's broker.
//!
//! Region and credentials are those that Lambda puts into the environment. `AWS_ENDPOINT_URL_DYNAMODB` and
//! `AWS_ENDPOINT_URL_S3` lead to other servers, as in the tests.

use std::time::Duration;

use aws_config::retry::RetryConfig;
use aws_config::timeout::TimeoutConfig;
use aws_config::{BehaviorVersion, SdkConfig};
use aws_smithy_http_client::Builder;
use aws_smithy_http_client::tls::Provider;
use aws_smithy_http_client::tls::rustls_provider::CryptoMode;

/// For one connection.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(3);
/// For one attempt: several fit into the time that API Gateway waits.
const ATTEMPT_TIMEOUT: Duration = Duration::from_secs(8);
/// A conditional write that is repeated after a lost answer finds its own condition false; what reads again after a
/// refusal recognizes that.
const MAX_ATTEMPTS: u32 = 3;
/// Addresses by path instead of by host: for servers in the place of S3.
const S3_ENDPOINT_ENVS: [&str; 2] = ["AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL"];

async fn config() -> SdkConfig {
    let connector = Builder::new().tls_provider(Provider::Rustls(CryptoMode::Ring)).build_https();
    let timeouts = TimeoutConfig::builder()
        .connect_timeout(CONNECT_TIMEOUT)
        .operation_attempt_timeout(ATTEMPT_TIMEOUT)
        .build();
    aws_config::defaults(BehaviorVersion::latest())
        .retry_config(RetryConfig::standard().with_max_attempts(MAX_ATTEMPTS))
        .timeout_config(timeouts)
        .http_client(connector)
        .load()
        .await
}

/// Both clients. They connect with their first requests.
pub(super) async fn clients() -> (aws_sdk_dynamodb::Client, aws_sdk_s3::Client) {
    let config = config().await;
    let is_elsewhere = S3_ENDPOINT_ENVS.iter().any(|name| std::env::var_os(name).is_some());
    let s3 = aws_sdk_s3::config::Builder::from(&config).force_path_style(is_elsewhere).build();
    (aws_sdk_dynamodb::Client::new(&config), aws_sdk_s3::Client::from_conf(s3))
}
