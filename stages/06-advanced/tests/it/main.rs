//! The integration tests of this stage, in one binary.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test fails by panicking"
)]

mod command_line;
mod docker_kept;
mod engine_host;
mod exec;
mod gvisor;
mod http;
mod platform;
mod reproducible;
mod self_test;
mod speed;
