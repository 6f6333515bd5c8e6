//! Integration tests of stage 5: the engine with real Docker and real runsc, and the binary with real
//! HTTP.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]

mod artifacts;
mod engine;
mod http;
