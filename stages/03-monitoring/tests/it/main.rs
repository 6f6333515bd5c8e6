//! Stage 3's tests: its binary over HTTP, and what no command line can configure in process.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "in a test, a panic is the report of a failure"
)]

mod http;
mod memory;
mod metrics;
mod routes;
mod streams;
