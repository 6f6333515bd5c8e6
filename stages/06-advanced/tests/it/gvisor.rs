//! The engine that drives runsc itself, with real sandboxes: it verifies itself, and what that does
//! not cover is attacked here.

mod artifacts;
mod ends;
mod environments;
mod forge;
mod fresh;
mod image;
pub(crate) mod kept;
mod leftovers;
mod memory;
mod plain;
mod pool;

use std::time::Duration;

use harness::{Run, TEST_LIMITS};
use shared::submission::File;
use shared::{Engine as _, Submission};
use stage_06_advanced::{RunscEngine, RunscOptions};

/// How long sandboxes may take to start, on a machine that is busy.
const WARM_TIMEOUT: Duration = Duration::from_mins(1);

/// An engine whose waiting sandboxes are there when this returns.
async fn engine(warm_sandboxes: u16) -> RunscEngine {
    let options = RunscOptions { warm_sandboxes, ..RunscOptions::default() };
    let engine = RunscEngine::start(&options, TEST_LIMITS).await;
    let engine = engine.expect("run infrastructure/setup/setup.sh first");
    assert!(engine.is_warm(WARM_TIMEOUT).await, "{:?}", engine.pool());
    engine
}

/// Closes the engine, and checks that it leaves nothing.
async fn close(engine: RunscEngine) {
    engine.close().await;
    assert_eq!(engine.remaining(), 0);
    assert!(!engine.directory().exists());
}

fn submission(code: &str) -> Submission {
    Submission::new(code, TEST_LIMITS)
}

fn file(path: &str, bytes: impl Into<Vec<u8>>) -> File {
    File { path: path.to_owned(), bytes: bytes.into() }
}

/// Runs `code` within [`TEST_LIMITS`].
async fn run(engine: &RunscEngine, code: &str) -> Run {
    harness::run(engine, code, TEST_LIMITS).await
}

#[tokio::test(flavor = "multi_thread")]
async fn the_engine_verifies_itself() {
    let engine = engine(2).await;
    harness::assert_verifies(&engine).await;
    let seen = engine.verify_isolation().await.unwrap();
    assert!(!seen.contains('/'), "no path of the host: {seen}");
    let sandbox = engine.sandbox();
    assert_eq!((sandbox.engine.as_str(), sandbox.runtime.as_deref()), ("gvisor", Some("runsc")));
    assert!(!sandbox.runtime_version.unwrap().is_empty());
    close(engine).await;
}
