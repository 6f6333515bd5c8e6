//! An environment beside the default one is prepared at its first use.

use std::time::Duration;

use harness::{TEST_LIMITS, run_submission};
use shared::{Engine as _, Job, Outcome, OutputBuffer, Submission};
use stage_06_advanced::{Environment, EnvironmentUses, RunscEngine, RunscOptions};
use tokio_util::sync::CancellationToken;

use super::{close, kept, submission};

#[tokio::test(flavor = "multi_thread")]
async fn a_first_use_that_is_cancelled_or_dropped_leaves_an_environment_that_works() {
    let uses = EnvironmentUses { evaluations: true, sandboxes: false };
    let environments = vec![Environment { uses, ..kept::environment(1) }];
    let options = RunscOptions { warm_sandboxes: 0, environments, ..RunscOptions::default() };
    let engine = RunscEngine::start(&options, TEST_LIMITS).await.unwrap();
    let submission = Submission { profile: "kept".to_owned(), ..submission("print(1)") };
    let job = Job::first(submission.clone());
    let buffer = OutputBuffer::new(1 << 10, Box::new(|_, _, _| {}));

    // Its files are being read meanwhile.
    let evaluation = engine.evaluate(&job, &buffer, CancellationToken::new());
    tokio::time::timeout(Duration::from_millis(1), evaluation).await.unwrap_err();
    let cancel = CancellationToken::new();
    cancel.cancel();
    let verdict = engine.evaluate(&job, &buffer, cancel).await;
    assert_eq!(verdict.outcome, Outcome::Cancelled, "{verdict:?}");

    let ran = run_submission(&engine, submission).await;
    assert_eq!((ran.verdict.outcome, ran.stdout.as_str()), (Outcome::Exited, "1\n"), "{ran:?}");
    close(engine).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_engine_that_closes_while_an_environment_is_prepared_leaves_nothing() {
    let uses = EnvironmentUses { evaluations: true, sandboxes: false };
    let environments = vec![Environment { uses, ..kept::environment(1) }];
    let options = RunscOptions { warm_sandboxes: 0, environments, ..RunscOptions::default() };
    let engine = RunscEngine::start(&options, TEST_LIMITS).await.unwrap();
    let job = Job::first(Submission { profile: "kept".to_owned(), ..submission("print(1)") });
    let buffer = OutputBuffer::new(1 << 10, Box::new(|_, _, _| {}));
    let evaluation = engine.evaluate(&job, &buffer, CancellationToken::new());
    tokio::time::timeout(Duration::from_millis(1), evaluation).await.unwrap_err();
    close(engine).await;
}
