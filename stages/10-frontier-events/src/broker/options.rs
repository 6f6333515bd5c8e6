//! The settings of a broker, and how one is opened.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use clap::value_parser;

use super::nats::NatsBroker;
use super::sqs::SqsBroker;
use super::{Broker, BrokerError, MemoryBroker, QueueUrl};

/// The flags of a broker, beside its address.
#[derive(Debug, Clone, clap::Args)]
pub struct BrokerArgs {
    /// Broker that carries work to workers on other machines: memory, nats://HOST:PORT[/PREFIX],
    /// tls://HOST:PORT[/PREFIX] or `sqs://REGION[/PREFIX][?endpoint=URL]`
    #[arg(
        long,
        global = true,
        value_name = "URL",
        env = "CRUCIBLE_QUEUE",
        default_value = "memory"
    )]
    pub queue: QueueUrl,
    /// File with the credentials for the broker: a .creds file of NATS, one line USER:PASSWORD, or for SQS one line
    /// `KEY_ID:SECRET_KEY` [default: none; for SQS those that AWS's tools find, in the environment or in their files]
    #[arg(long, global = true, value_name = "FILE", env = "CRUCIBLE_BROKER_CREDENTIALS")]
    pub broker_credentials: Option<PathBuf>,
    /// File with the certificates that may sign that of the broker [default: those of this system]
    #[arg(long, global = true, value_name = "FILE", env = "CRUCIBLE_BROKER_CA")]
    pub broker_ca: Option<PathBuf>,
    /// Seconds after which a ticket is delivered again whose worker sends no heartbeat
    #[arg(long, global = true, value_name = "SECONDS", env = "CRUCIBLE_BROKER_VISIBILITY_SECONDS",
          default_value_t = 30, value_parser = value_parser!(u32).range(3..=43_200))]
    pub broker_visibility_seconds: u32,
    /// Deliveries of one ticket before it is a dead letter
    #[arg(long, global = true, value_name = "N", env = "CRUCIBLE_BROKER_DELIVERIES",
          default_value_t = 10, value_parser = value_parser!(u32).range(1..=1000))]
    pub broker_deliveries: u32,
    /// Tickets that one environment may have at the broker
    #[arg(long, global = true, value_name = "N", env = "CRUCIBLE_BROKER_CAPACITY",
          default_value_t = 10_000, value_parser = value_parser!(u32).range(1..=100_000))]
    pub broker_capacity: u32,
}

impl BrokerArgs {
    /// The settings.
    pub fn options(&self) -> BrokerOptions {
        BrokerOptions {
            capacity: self.broker_capacity.into(),
            visibility: Duration::from_secs(self.broker_visibility_seconds.into()),
            max_deliveries: self.broker_deliveries,
            credentials: self.broker_credentials.clone(),
            certificates: self.broker_ca.clone(),
            ..BrokerOptions::default()
        }
    }
}

/// The settings of a broker.
#[derive(Debug, Clone)]
pub struct BrokerOptions {
    /// Tickets that one environment may have, held ones included.
    pub capacity: u64,
    /// After this time without an extension a ticket is delivered again.
    pub visibility: Duration,
    /// Deliveries of one ticket before it is a dead letter.
    pub max_deliveries: u32,
    /// Within this time the same ticket is accepted once, where the broker has such a window.
    pub dedup_window: Duration,
    /// File with credentials.
    pub credentials: Option<PathBuf>,
    /// File with the certificates of an authority.
    pub certificates: Option<PathBuf>,
}

/// The window in which a ticket is published once. Short, so that the API can publish one again whose
/// acknowledgement was a mistake.
const DEDUP_WINDOW: Duration = Duration::from_secs(30);

impl Default for BrokerOptions {
    fn default() -> Self {
        Self {
            capacity: 10_000,
            visibility: Duration::from_secs(30),
            max_deliveries: 10,
            dedup_window: DEDUP_WINDOW,
            credentials: None,
            certificates: None,
        }
    }
}

/// The broker at that address. It need not be reachable yet: each call that needs it fails with
/// [`BrokerError::Unavailable`] until it is.
///
/// # Errors
///
/// When a file of the options cannot be used.
pub async fn open(url: &QueueUrl, options: &BrokerOptions) -> Result<Arc<dyn Broker>, BrokerError> {
    if let Some(broker) = NatsBroker::new(url, options)? {
        return Ok(Arc::new(broker));
    }
    if let Some(broker) = SqsBroker::new(url, options).await? {
        return Ok(Arc::new(broker));
    }
    Ok(Arc::new(MemoryBroker::new(options.clone())))
}
