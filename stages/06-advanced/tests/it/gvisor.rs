//! The engine that drives runsc itself, with real sandboxes: it verifies itself, and what that does not
//! cover is attacked here.

mod ends;
mod forge;
mod fresh;
mod left;
mod pool;

use std::time::Duration;

use crate::support::LIMITS;
use shared::Engine as _;
use stage_06_advanced::{RunscEngine, RunscOptions};

/// An engine with so many sandboxes waiting, which are there when this returns.
async fn engine(warm: u16) -> RunscEngine {
    let options = RunscOptions { warm_sandboxes: warm, ..RunscOptions::default() };
    let engine = RunscEngine::start(&options, LIMITS).await;
    let engine = engine.expect("run infrastructure/setup/setup.sh first");
    assert!(engine.is_warm(Duration::from_mins(1)).await, "{:?}", engine.pool());
    engine
}

/// Expected it, and looks whether anything is left.
async fn close(engine: RunscEngine) {
    engine.close().await;
    assert_eq!(engine.remaining(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_engine_verifies_itself() {
    let engine = engine(2).await;
    let mut failed = Vec::new();
    let passed = shared::component::verify(&engine, |check| {
        if !check.passed {
            failed.push(check);
        }
    });
    assert!(passed.await, "{failed:#?}");
    let sandbox = engine.sandbox();
    assert_eq!((sandbox.engine.as_str(), sandbox.runtime.as_deref()), ("gvisor", Some("runsc")));
    assert!(!sandbox.runtime_version.unwrap().is_empty());
    assert!(sandbox.image_digest.unwrap().starts_with("sha256:"));
    close(engine).await;
}
