//! The integration tests of this stage: its binary over HTTP, killed and started again.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "in a test, a panic is the report of a failure"
)]

mod accounts;
mod artifacts;
mod clock;
mod crash;
mod disk;
mod environment_packages;
mod environments;
mod frontend;
mod migration;
mod python_client;
mod recovery;
mod sandboxes;
mod stage;
mod storage;
mod two_processes;
mod verification;
mod web;
