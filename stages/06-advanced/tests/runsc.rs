//! The engine that drives runsc itself, with real sandboxes: it verifies itself, and what that does not
//! cover is attacked here.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]

use std::time::Duration;

use shared::{Engine as _, Limits};
use stage_04_docker::PROBE;
use stage_06_advanced::{RunscEngine, RunscOptions};

async fn engine(warm: u16) -> RunscEngine {
    let options = RunscOptions { warm_sandboxes: warm, ..RunscOptions::default() };
    RunscEngine::start(&options, PROBE).await.expect("run infrastructure/setup/setup.sh first")
}

#[tokio::test(flavor = "multi_thread")]
async fn the_engine_verifies_itself() {
    let mut failed = Vec::new();
    let engine = engine(2).await;
    shared::component::verify(&engine, |check| {
        eprintln!("{} {} {} ms {}", check.passed, check.name, check.millis, check.detail);
        if !check.passed {
            failed.push(check);
        }
    })
    .await;
    engine.close().await;
    assert_eq!(engine.remaining(), 0);
    assert!(failed.is_empty(), "{failed:#?}");
}
