//! The test harness: a stage's binary as a process, an HTTP client for it, fake engines.
//!
//! ```ignore
//! #[tokio::test]
//! async fn a_program_runs_to_its_end() {
//!     let server = harness::server!("--workers", "2");
//!     let evaluation = server.client().run("print(1)").await;
//!     assert_eq!(evaluation["stdout"]["text"], "1\n");
//! }
//! ```
//!
//! * [`Launch`] and [`Server`]: start the binary on a free port, stop it, read its standard error;
//! * [`Worker`]: a worker as a process, with its log in a file;
//! * [`Client`], [`Response`], [`EventStream`]: requests that fail the test when they cannot be sent;
//! * [`eventually`] and [`eventually_some`]: wait for a condition, with a name and a timeout;
//! * [`FakeEngine`], [`run`], [`assert_verifies`], [`TEST_LIMITS`]: engines and components in process;
//! * [`Schemathesis`]: requests that the contract allows, and others;
//! * [`containers_of`]: the containers that a server has;
//! * [`free_port`]: for a server that is started again at its address;
//! * [`left_files`]: what an engine that takes files has to do.
//!
//! What is asserted here panics, and names what it expected: a test fails by panicking. Only
//! [`Launch::try_start`] and [`Server::try_stop`] return errors, for the ladder, which is a program.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test fails by panicking, and this is the part that tests share"
)]

mod client;
mod docker;
mod engine;
mod events;
mod fuzz;
mod launch;
pub mod left_files;
mod log;
mod port;
mod server;
mod wait;
mod worker;

pub use client::{Client, Response};
pub use docker::containers_of;
pub use engine::{FakeEngine, Run, TEST_LIMITS, assert_verifies, run, run_submission};
pub use events::{EventStream, SseEvent, kinds, output};
pub use fuzz::Schemathesis;
pub use launch::{Launch, StartError, binary};
pub use port::free_port;
/// For requests and signals, so that a test crate needs no dependency for them.
pub use reqwest::{Method, RequestBuilder};
pub use rustix::process::Signal;
pub use server::{Server, StopError};
pub use wait::{eventually, eventually_some};
pub use worker::Worker;

/// Starts the binary of the package under test, on a free port of the loopback interface.
///
/// `server!("--workers", "2")` starts the binary that is named like the package;
/// `server!(binary: "stage-02-queue", "--workers", "2")` starts another one of this workspace, which
/// must have been built before. Each argument is anything that becomes an `OsString`. For
/// environment variables use [`launch!`](macro@crate::launch) and then [`Launch::env`].
#[macro_export]
macro_rules! server {
    ($($arguments:tt)*) => {
        $crate::launch!($($arguments)*).start()
    };
}

/// The [`Launch`] that [`server!`](macro@crate::server) starts, to be configured further.
#[macro_export]
macro_rules! launch {
    (binary: $name:expr $(, $argument:expr)* $(,)?) => {
        $crate::Launch::new($crate::binary($name))$(.arg($argument))*
    };
    ($($argument:expr),* $(,)?) => {
        $crate::Launch::new(env!(concat!("CARGO_BIN_EXE_", env!("CARGO_PKG_NAME"))))
            $(.arg($argument))*
    };
}
