//! Stage 2's tests: its parts in process, and its binary over HTTP.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod engine;
mod http;
