//! Brokers: one conformance suite for each of them, against the real thing.

mod away;
mod broken;
mod checks;
mod command;
mod cost;
mod dead;
mod suite;
pub(crate) mod system;

use suite::{Memory, broker_suite};
use system::{Moto, Nats};

#[tokio::test(start_paused = true)]
async fn the_broker_in_memory_conforms() {
    broker_suite(&Memory::default()).await.assert_passed();
}

#[tokio::test]
async fn nats_jetstream_conforms() {
    let nats = Nats::start();
    broker_suite(&nats).await.assert_passed();
}

#[tokio::test]
async fn amazon_sqs_conforms() {
    let moto = Moto::start();
    broker_suite(&moto).await.assert_passed();
}
