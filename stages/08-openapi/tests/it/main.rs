//! The integration tests of this stage: its binary over HTTP, and the contract around an API in this
//! process.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "in a test, a panic is the report of a failure"
)]

mod contract;
mod cost;
mod docs;
mod fuzz;
mod generated_client;
mod hostile_requests;
mod http_server;
mod in_process;
mod invalid;
mod large_bodies;
mod requests;
mod responses;
mod spectral;
mod stage;
