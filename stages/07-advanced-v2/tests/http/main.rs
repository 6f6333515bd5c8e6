//! The real binary, spoken to as its clients do, and its API with no server at all.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "in a test, a panic is the report of a failure"
)]

mod command_line;
mod conformance;
mod conversation;
mod guards;
mod server;
