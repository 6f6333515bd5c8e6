//! The container engine, with real Docker: it verifies itself, and what that does not cover is
//! attacked here.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]

use shared::{Limits, Outcome, TestableComponent};
use stage_04_docker::{DockerArgs, DockerEngine, RUNC};

const LIMITS: Limits = Limits {
    timeout_seconds: 20.0,
    cpu_seconds: 20.0,
    memory_bytes: 256 << 20,
    pids: 64,
    output_bytes: 1 << 20,
    disk_bytes: 16 << 20,
    open_files: 256,
};

fn args() -> DockerArgs {
    DockerArgs { image: None, docker_host: "unix:///var/run/docker.sock".to_owned() }
}

async fn engine() -> DockerEngine {
    DockerEngine::start(&args(), RUNC).await.expect("run infrastructure/setup/setup.sh first")
}

#[tokio::test(flavor = "multi_thread")]
async fn the_engine_verifies_itself() {
    let mut failed = Vec::new();
    let engine = engine().await;
    shared::component::verify(&engine, |check| {
        eprintln!("{} {} {} ms {}", check.passed, check.name, check.millis, check.detail);
        if !check.passed {
            failed.push(check);
        }
    })
    .await;
    assert!(failed.is_empty(), "{failed:#?}");
}
