//! The files that a program leaves in `/output`: what is taken, what is not, and that nothing waits.

use std::time::{Duration, Instant};

use harness::left_files;
use shared::{Engine as _, Job, Limits, Outcome, OutputBuffer};
use stage_06_advanced::{RunscEngine, RunscOptions};
use tokio_util::sync::CancellationToken;

use super::{TEST_LIMITS, WARM_TIMEOUT, close, engine, run};

async fn taking_engine(warm_sandboxes: u16) -> RunscEngine {
    let options =
        RunscOptions { warm_sandboxes, keeps_output_files: true, ..RunscOptions::default() };
    let engine = RunscEngine::start(&options, TEST_LIMITS).await.unwrap();
    assert!(engine.is_warm(WARM_TIMEOUT).await, "{:?}", engine.pool());
    engine
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_program_leaves_in_output_is_taken_and_nothing_else() {
    let engine = taking_engine(1).await;
    let started = Instant::now();
    left_files::takes_regular_files_alone(&engine).await;
    assert!(started.elapsed() < Duration::from_mins(1), "nothing is waited for");
    left_files::leaves_out_what_is_too_much(&engine).await;
    close(engine).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn every_end_that_the_sandbox_survives_leaves_its_files() {
    let engine = taking_engine(1).await;
    left_files::keeps_files_at_every_end(&engine).await;
    // These end gVisor's kernel, which has the files.
    let memory = Limits { memory_bytes: 64 << 20, ..TEST_LIMITS };
    left_files::says_that_files_are_lost(&engine, "bytearray(2 << 30)", memory).await;
    let forks = "import os, time\nwhile os.fork(): pass\ntime.sleep(5)";
    let few = Limits { pids: 8, ..TEST_LIMITS };
    left_files::says_that_files_are_lost(&engine, forks, few).await;
    close(engine).await;
}

/// A cancellation is not delayed by files, and has none.
#[tokio::test(flavor = "multi_thread")]
async fn what_is_cancelled_leaves_nothing() {
    let engine = taking_engine(1).await;
    let code = "open('/output/x', 'w').write('x')\nprint('there', flush=True)\nwhile True: pass";
    let job = Job::first(super::submission(code));
    let cancel = CancellationToken::new();
    let soon = cancel.clone();
    let cancels = Box::new(move |_, _, _: &[u8]| soon.cancel());
    let buffer = OutputBuffer::new(1 << 10, cancels);
    let verdict = engine.evaluate(&job, &buffer, cancel).await;
    assert_eq!(verdict.outcome, Outcome::Cancelled);
    assert!(verdict.artifacts.is_empty(), "{verdict:?}");
    assert!(!verdict.evidence.counters.contains_key("output.skipped"), "{verdict:?}");
    close(engine).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_storage_there_is_no_such_directory() {
    let engine = engine(1).await;
    let run = run(&engine, "import os\nprint(os.path.exists('/output'))").await;
    assert_eq!((run.stdout.as_str(), run.verdict.artifacts.len()), ("False\n", 0));
    close(engine).await;
}
