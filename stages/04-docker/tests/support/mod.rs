//! What the tests of this stage share.

#![allow(dead_code, clippy::unwrap_used, clippy::expect_used, reason = "each test uses some")]

use std::process::Command;

use shared::submission::File;
use shared::{Engine, Job, Limits, OutputBuffer, Stream, Submission, Verdict};
use stage_04_docker::{DockerArgs, DockerEngine, RUNC};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

pub(crate) const LIMITS: Limits = Limits {
    timeout_seconds: 20.0,
    cpu_seconds: 20.0,
    memory_bytes: 256 << 20,
    pids: 64,
    output_bytes: 1 << 20,
    disk_bytes: 16 << 20,
    open_files: 256,
};
pub(crate) const SOCKET: &str = "unix:///var/run/docker.sock";

pub(crate) fn args() -> DockerArgs {
    DockerArgs { image: None, docker_host: SOCKET.to_owned() }
}

pub(crate) async fn engine() -> DockerEngine {
    DockerEngine::start(&args(), RUNC).await.expect("run infrastructure/setup/setup.sh first")
}

/// How a program ended, and what it wrote.
#[derive(Debug)]
pub(crate) struct Ended {
    pub(crate) verdict: Verdict,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

pub(crate) fn submission(code: &str) -> Submission {
    Submission::new(code, LIMITS)
}

pub(crate) fn file(path: &str, bytes: impl Into<Vec<u8>>) -> File {
    File { path: path.to_owned(), bytes: bytes.into() }
}

pub(crate) async fn evaluate(engine: &dyn Engine, submission: Submission) -> Ended {
    let buffer = OutputBuffer::new(submission.limits.output_bytes, Box::new(|_, _, _| {}));
    let job = Job { id: Uuid::now_v7(), submission };
    let verdict = engine.evaluate(&job, &buffer, CancellationToken::new()).await;
    let [stdout, stderr] = [Stream::Stdout, Stream::Stderr].map(|it| buffer.output(it).text);
    Ended { verdict, stdout, stderr }
}

pub(crate) async fn run(engine: &dyn Engine, code: &str) -> Ended {
    evaluate(engine, submission(code)).await
}

pub(crate) fn docker(arguments: &[&str]) -> String {
    let answer = Command::new("docker").args(arguments).output().unwrap();
    let said = String::from_utf8_lossy(&answer.stdout).trim().to_owned();
    assert!(answer.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&answer.stderr));
    said
}
