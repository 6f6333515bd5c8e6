//! Integration tests of stage 4: the engine with real Docker, and the binary with real HTTP.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test fails by panicking"
)]

mod artifacts;
mod engine;
mod failures;
mod fidelity;
mod http;

use std::process::Command;
use std::time::Duration;

use harness::TEST_LIMITS;
use shared::Submission;
use shared::submission::File;
use stage_04_docker::{DockerArgs, DockerEngine, RUNC};

/// How long the removal of containers may take, on a machine that is busy.
const REMOVE_TIMEOUT: Duration = Duration::from_secs(20);
/// A program that runs longer than any test.
const SLEEP: &str = "import time; time.sleep(60)";

fn args() -> DockerArgs {
    DockerArgs::default()
}

async fn engine() -> DockerEngine {
    DockerEngine::start(&args(), RUNC).await.expect("run infrastructure/setup/setup.sh first")
}

fn submission(code: &str) -> Submission {
    Submission::new(code, TEST_LIMITS)
}

fn file(path: &str, bytes: impl Into<Vec<u8>>) -> File {
    File { path: path.to_owned(), bytes: bytes.into() }
}

/// Runs `code` within [`TEST_LIMITS`].
async fn run(engine: &DockerEngine, code: &str) -> harness::Run {
    harness::run(engine, code, TEST_LIMITS).await
}

/// Waits until the engine has no container.
async fn wait_until_removed(engine: &DockerEngine) {
    harness::eventually_some("every container is removed", REMOVE_TIMEOUT, async || {
        (engine.remaining().await.unwrap() == 0).then_some(())
    })
    .await;
}

/// Runs the `docker` command, and returns its standard output.
fn docker(arguments: &[&str]) -> String {
    let output = Command::new("docker").args(arguments).output().unwrap();
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{arguments:?}: {stderr}");
    String::from_utf8_lossy(&output.stdout).trim().to_owned()
}
