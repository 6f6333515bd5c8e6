//! The integration tests of this stage: its binary over HTTP, and its API without any server.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "in a test, a panic is the report of a failure"
)]

mod adapters;
mod command_line;
mod conformance;
mod conversation;
mod in_process;
mod limits;

/// The engine that needs nothing, for what is not about isolation.
const UNSANDBOXED: [&str; 3] = ["--engine", "subprocess", "--unsafe"];
/// All web servers.
const WEB_SERVERS: [&str; 2] = ["hyper", "axum"];

/// The stage without isolation, behind this web server.
fn unsandboxed(web_server: &str) -> harness::Server {
    harness::launch!().args(UNSANDBOXED).args(["--server", web_server]).start()
}
