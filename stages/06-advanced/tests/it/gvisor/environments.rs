//! An environment beside the default one is prepared at its first use.

use std::time::Duration;

use harness::{TEST_LIMITS, run_submission};
use shared::{Engine as _, Job, Outcome, OutputBuffer, Submission, Verdict};
use stage_06_advanced::{Environment, EnvironmentUses, RunscEngine, RunscOptions};
use tokio_util::sync::CancellationToken;

use super::{close, kept, submission};

/// An engine whose one other environment was not used yet.
async fn engine() -> RunscEngine {
    let uses = EnvironmentUses { evaluations: true, sandboxes: false };
    let environments = vec![Environment { uses, ..kept::environment(1) }];
    let options = RunscOptions { warm_sandboxes: 0, environments, ..RunscOptions::default() };
    RunscEngine::start(&options, TEST_LIMITS).await.unwrap()
}

fn in_environment() -> Submission {
    Submission { profile: "kept".to_owned(), ..submission("print(1)") }
}

/// What an evaluation ends with within `time`. Its future is dropped after that.
async fn evaluate_for(
    engine: &RunscEngine,
    cancel: CancellationToken,
    time: Duration,
) -> Option<Verdict> {
    let job = Job::first(in_environment());
    let buffer = OutputBuffer::new(1 << 10, Box::new(|_, _, _| {}));
    tokio::time::timeout(time, engine.evaluate(&job, &buffer, cancel)).await.ok()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_first_use_is_cancelled_at_once_and_leaves_an_environment_that_works() {
    let engine = engine().await;
    // Reading its files takes longer than that.
    let brief = Duration::from_millis(1);
    let dropped = evaluate_for(&engine, CancellationToken::new(), brief).await;
    assert!(dropped.is_none(), "{dropped:?}");
    let cancel = CancellationToken::new();
    cancel.cancel();
    // Without any time: it does not wait for the files.
    let cancelled = evaluate_for(&engine, cancel, Duration::ZERO).await;
    assert_eq!(cancelled.map(|verdict| verdict.outcome), Some(Outcome::Cancelled));

    let ran = run_submission(&engine, in_environment()).await;
    assert_eq!((ran.verdict.outcome, ran.stdout.as_str()), (Outcome::Exited, "1\n"), "{ran:?}");
    close(engine).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_engine_that_closes_while_an_environment_is_prepared_leaves_nothing() {
    let engine = engine().await;
    let dropped = evaluate_for(&engine, CancellationToken::new(), Duration::from_millis(1)).await;
    assert!(dropped.is_none(), "{dropped:?}");
    close(engine).await;
}
