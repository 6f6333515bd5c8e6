//! The API over Amazon's storage: nothing that a request needs is in the process that answers it.
//!
//! | what | where |
//! |---|---|
//! | an evaluation, with its status, attempt, token and lease | one item of a table of DynamoDB |
//! | what is larger than 8 KiB | an object of S3, whose key is in the item |
//! | a ticket for what waits | SQS, by the broker of stage 10, so that its worker takes it unchanged |
//!
//! **The fence.** Every transition of an evaluation is one conditional write of its item, which names the status,
//! the attempt or the token that it goes out from. Of two processes that have read the same state one write
//! succeeds; the other reads again. There is no transaction over two items, because there is no second item: the
//! sparse index `due` is made of two attributes of the same one, and is the list of what waits and of what runs.
//!
//! **The outbox.** An evaluation is committed first and its ticket published after that. A function that is killed
//! in between leaves an evaluation that waits and was never published; the sweep, which a schedule starts
//! every minute, publishes it. A ticket without an evaluation that waits is refused at its claim.
//!
//! # What it does not protect
//!
//! * There is no rate limit for each key here: API Gateway throttles all clients together.
//! * A worker sees the programs of every key and can forge their results, as in stage 10.
//! * The two lists, of evaluations and of what is due, are read from indexes that DynamoDB updates after the item:
//!   a list may lack what was submitted a moment before.

pub(crate) mod access;
pub(crate) mod artifacts;
mod aws;
pub(crate) mod blobs;
mod claims;
mod error;
mod evaluations;
mod idempotency;
pub(crate) mod keys;
mod reports;
pub(crate) mod routes;
mod row;
pub(crate) mod served;
mod sessions;
mod setup;
mod sweep;
mod table;
mod transitions;
mod workers;

use std::sync::Arc;
use std::time::Duration;

use shared::Bounds;
use stage_10_frontier_events::Broker;

use blobs::Blobs;
pub(crate) use error::CloudError;
use keys::Keys;
pub use setup::run;
use table::Table;

/// The settings of the API.
#[derive(Debug, Clone)]
pub(crate) struct CloudOptions {
    /// How long a session is its worker's own after the last sign of life.
    pub(crate) lease: Duration,
    /// A ticket is published again after this time, if it never was or if a worker is idle.
    pub(crate) republish: Duration,
    /// How long an evaluation and what belongs to it is kept.
    pub(crate) retention: Duration,
    /// How long an idempotency key is.
    pub(crate) idempotency: Duration,
    /// The engine that every worker has to have.
    pub(crate) engine: &'static str,
    /// Evaluations that may wait.
    pub(crate) capacity: usize,
    /// The bounds of submissions.
    pub(crate) bounds: Bounds,
}

/// The evaluations of one table.
pub(crate) struct Cloud {
    table: Arc<Table>,
    blobs: Blobs,
    broker: Arc<dyn Broker>,
    keys: Arc<Keys>,
    options: CloudOptions,
    /// How many evaluations wait, and when they were counted.
    depth: tokio::sync::Mutex<Option<(tokio::time::Instant, usize)>>,
}
