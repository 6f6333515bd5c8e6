//! The integration tests of this stage: its binary over HTTP, killed and started again.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "in a test, a panic is the report of a failure"
)]

mod broker;
#[cfg(feature = "figures")]
mod figures;
mod fleet;
mod fuzz;
mod generated_client;
mod history;
mod jepsen;
mod receiver;
mod rules;
mod scale;
mod secrets;
mod settings;
mod stage;
mod subscribers;
mod tenants;
mod violation;
mod web;
mod webhooks;
