//! The broker: carries tickets from the API to workers on other machines.
//!
//! A [`Ticket`] says that an evaluation waits. What it runs stays in the API's storage, which is the truth: a
//! broker may lose every ticket, because the API publishes one again that no worker has claimed, and it may
//! deliver one twice, because a claim succeeds once.
//!
//! | | memory | NATS `JetStream` | Amazon SQS |
//! |---|---|---|---|
//! | bound per environment | exact | exact, by the server | approximate, counted before each publish |
//! | order | first come, first served | first deliveries in order | none |
//! | the same ticket published twice | once within the window | once within the window | twice |
//! | longest hold of a delivery | no limit | no limit | 12 hours from its receipt |
//!
//! # What it does not protect
//!
//! A worker that was cut off learns it from its own clock ([`BrokerError::Stale`]), and one whose clock stood
//! still does not. The fencing token of the API refuses its report either way.

mod command;
mod credentials;
mod hold;
mod memory;
mod nats;
mod options;
mod sqs;
mod suite;
mod turns;
mod url;

use std::fmt;
use std::time::{Duration, SystemTime};

use serde::{Deserialize, Serialize};
use shared::{BoxError, BoxFuture};
use uuid::Uuid;

pub use command::DeadCommand;
pub(crate) use hold::Hold;
pub use memory::MemoryBroker;
pub use options::{BrokerArgs, BrokerOptions, open};
pub(crate) use suite::BrokerTest;
pub use url::{QueueUrl, QueueUrlError};

/// Says that an evaluation waits. What it runs is in the API's storage.
#[derive(Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
#[serde(deny_unknown_fields)]
pub struct Ticket {
    /// The evaluation.
    pub evaluation: Uuid,
    /// Its attempt, from 1.
    pub attempt: u32,
    /// Name of the environment it runs in: lower-case letters, digits and `-`.
    pub environment: String,
    /// Whose it is, for brokers that are fair by group; a hash, never the id of a key.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub group: Option<String>,
}

impl Ticket {
    /// The ticket that a message is, if it is one.
    pub(crate) fn read(message: &[u8]) -> Option<Self> {
        let ticket: Self = serde_json::from_slice(message).ok()?;
        check_environment(&ticket.environment).ok().map(|()| ticket)
    }
}

/// A ticket that this process holds, until it is acknowledged, released, or not extended in time.
pub struct Delivery {
    /// The ticket.
    pub ticket: Ticket,
    /// How often it was delivered, this time included.
    pub deliveries: u32,
    pub(crate) receipt: Receipt,
    pub(crate) hold: Hold,
}

impl fmt::Debug for Delivery {
    /// Without the receipt, which lets its reader acknowledge the ticket.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Delivery")
            .field("ticket", &self.ticket)
            .field("deliveries", &self.deliveries)
            .finish_non_exhaustive()
    }
}

/// What a broker recognizes a delivery by.
pub(crate) enum Receipt {
    /// The number of the delivery.
    Memory(u64),
    /// The subject of its acknowledgement.
    Nats(nats::NatsReceipt),
    /// Queue and handle.
    Sqs(sqs::SqsReceipt),
}

/// A ticket that was delivered too often, or a message that is none.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeadLetter {
    /// Its name at this broker, for [`Broker::requeue_dead`].
    pub id: String,
    /// The ticket. None when the message is no ticket; such a message cannot be requeued.
    pub ticket: Option<Ticket>,
    /// Why it is dead.
    pub reason: DeadReason,
    /// Size of the message.
    pub bytes: usize,
    /// When it was put aside, if the broker records it.
    pub at: Option<SystemTime>,
}

/// Why a message is a dead letter.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DeadReason {
    /// It was delivered as often as a ticket may be, and never acknowledged.
    DeliveredTooOften,
    /// It is no ticket.
    NoTicket,
}

impl fmt::Display for DeadReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::DeliveredTooOften => "delivered too often",
            Self::NoTicket => "no ticket",
        })
    }
}

/// How many messages a broker has. Approximate where the broker's own counts are.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct BrokerStats {
    /// Tickets that wait for a receiver.
    pub waiting: u64,
    /// Tickets that are held, or were given back with a delay that is not over.
    pub in_flight: u64,
    /// Dead letters.
    pub dead: u64,
}

/// Why a call to a broker failed.
#[derive(Debug, thiserror::Error)]
pub enum BrokerError {
    /// The environment has as many tickets as it may. Publish again later.
    #[error(
        "the broker has {capacity} tickets of the environment {environment}, and takes no more"
    )]
    Full {
        /// The environment.
        environment: String,
        /// The bound.
        capacity: u64,
    },
    /// The delivery was not extended in time: another receiver may have the ticket.
    #[error("the delivery has expired, and the ticket may be delivered again")]
    Stale,
    /// The broker lets no receiver hold a delivery for longer. The work may go on; the ticket will be delivered
    /// again, and its claim refused.
    #[error("the broker holds a delivery for no more than {} hours", .limit.as_secs() / 3600)]
    HeldTooLong {
        /// The broker's limit.
        limit: Duration,
    },
    /// The broker cannot be reached, or does not answer. Repeating the call may help.
    #[error("the broker cannot be reached")]
    Unavailable(#[source] BoxError),
    /// The broker refuses: the credentials, the address or its configuration is wrong.
    #[error("the broker refuses the request")]
    Refused(#[source] BoxError),
    /// The name cannot be one of an environment.
    #[error(
        "{0:?} is no name of an environment: lower-case letters, digits and -, at most 40 bytes"
    )]
    Environment(String),
    /// There is no such dead letter, or it is no ticket.
    #[error("no dead letter {0} that is a ticket")]
    NoDeadLetter(String),
    /// There is no dead letter of this name.
    #[error("no dead letter {0}")]
    UnknownDeadLetter(String),
}

impl BrokerError {
    /// Whether the same call may succeed later, without a change by the operator.
    pub fn is_temporary(&self) -> bool {
        matches!(self, Self::Full { .. } | Self::Unavailable(_))
    }
}

impl shared::Hint for BrokerError {
    fn hint(&self) -> Option<&'static str> {
        match self {
            Self::Unavailable(_) => Some("start the broker, or check the address of --queue"),
            Self::Refused(_) => Some("check --broker-credentials and the rights of that user"),
            _ => None,
        }
    }
}

// ANCHOR: broker
/// Carries tickets. Delivers each at least once, while the broker keeps what it has confirmed.
pub trait Broker: Send + Sync {
    /// Adds a ticket, and returns when the broker has confirmed it.
    fn publish<'a>(&'a self, ticket: &'a Ticket) -> BoxFuture<'a, Result<(), BrokerError>>;

    /// Waits for a ticket of one of these environments. None when there was none for that time. Nothing is
    /// fetched ahead: a ticket that a receiver does not hold is any other's.
    ///
    /// Cancel safety: a future that is dropped may leave a delivery, which expires.
    fn receive<'a>(
        &'a self,
        environments: &'a [String],
        wait: Duration,
    ) -> BoxFuture<'a, Result<Option<Delivery>, BrokerError>>;

    /// How often a delivery has to be extended.
    fn heartbeat_interval(&self) -> Duration;

    /// Holds a delivery for longer.
    fn extend<'a>(&'a self, delivery: &'a Delivery) -> BoxFuture<'a, Result<(), BrokerError>>;

    /// Removes a ticket: its work is done. Returns when the broker has confirmed it.
    fn ack(&self, delivery: Delivery) -> BoxFuture<'_, Result<(), BrokerError>>;

    /// Gives a ticket back, for any receiver after that delay.
    fn release(
        &self,
        delivery: Delivery,
        after: Duration,
    ) -> BoxFuture<'_, Result<(), BrokerError>>;

    /// At most `limit` dead letters, the oldest first where the broker has an order.
    fn dead_letters(&self, limit: usize) -> BoxFuture<'_, Result<Vec<DeadLetter>, BrokerError>>;

    /// Publishes the ticket of a dead letter again, and removes the letter.
    fn requeue_dead<'a>(&'a self, id: &'a str) -> BoxFuture<'a, Result<(), BrokerError>>;

    /// Removes a dead letter, whatever it is. No worker gets it any more.
    fn remove_dead<'a>(&'a self, id: &'a str) -> BoxFuture<'a, Result<(), BrokerError>>;

    /// Counts the messages.
    fn stats(&self) -> BoxFuture<'_, Result<BrokerStats, BrokerError>>;
}
// ANCHOR_END: broker

/// The longest name of an environment.
const MAX_ENVIRONMENT_BYTES: usize = 40;

/// Refuses a name that would be another subject or queue.
pub(crate) fn check_environment(name: &str) -> Result<(), BrokerError> {
    let is_name = (1..=MAX_ENVIRONMENT_BYTES).contains(&name.len())
        && name.bytes().all(|byte| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'-'));
    if is_name { Ok(()) } else { Err(BrokerError::Environment(name.to_owned())) }
}
