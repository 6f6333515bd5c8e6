//! The two processes: a compromised API process against the engine host, and both as real processes.

mod attack;
mod kept_attack;
mod process;

use std::sync::Arc;
use std::time::{Duration, Instant};

use harness::{FakeEngine, TEST_LIMITS, assert_verifies, run};
use shared::profile::PYTHON;
use shared::{
    Artifact, Bounds, Engine, Job, Limits, Outcome, OutputBuffer, Submission,
    TestableComponent as _, Verdict,
};
use stage_06_advanced::{EngineHost, HostError, Profiles, RemoteEngine};
use tokio::net::UnixStream;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

pub(crate) const BOUNDS: Bounds = Bounds {
    default: TEST_LIMITS,
    max_timeout_seconds: 60.0,
    max_memory_bytes: 1 << 30,
    max_attempts: 1,
};
const WORKER_COUNT: usize = 2;
const RUN_TIMEOUT: Duration = Duration::from_secs(10);

type Serving = JoinHandle<Result<(), HostError>>;

/// A host of `engine`, and the API process's end of its socket.
fn host(engine: Arc<dyn Engine>) -> (Serving, UnixStream) {
    let (ours, theirs) = UnixStream::pair().unwrap();
    let host = EngineHost::new(engine, BOUNDS, Profiles::only(PYTHON), WORKER_COUNT);
    (tokio::spawn(async move { host.serve(ours).await }), theirs)
}

async fn remote(engine: FakeEngine) -> (Serving, RemoteEngine) {
    let (serving, socket) = host(Arc::new(engine));
    (serving, RemoteEngine::connect(socket).await.unwrap())
}

/// Runs a job with a token of its own.
async fn evaluate(engine: &RemoteEngine, cancel: CancellationToken) -> (Verdict, OutputBuffer) {
    let buffer = OutputBuffer::new(TEST_LIMITS.output_bytes, Box::new(|_, _, _| {}));
    let job = Job::first(Submission::new("", TEST_LIMITS));
    let verdict = engine.evaluate(&job, &buffer, cancel).await;
    (verdict, buffer)
}

#[tokio::test]
async fn a_remote_engine_is_an_engine_like_any_other() {
    let (serving, engine) = remote(FakeEngine::new().output("out")).await;
    assert_eq!((engine.name(), engine.sandbox().engine.as_str()), ("fake engine", "fake"));
    assert_verifies(&engine).await;
    let ended = run(&engine, "print(1)", TEST_LIMITS).await;
    assert_eq!((ended.verdict.exit_code, ended.stdout.as_str()), (Some(0), "out"));
    engine.close().await;
    serving.await.unwrap().unwrap();
    let late = run(&engine, "", TEST_LIMITS).await.verdict;
    assert_eq!(late.outcome, Outcome::WorkerLost);
}

#[tokio::test]
async fn the_operators_own_limits_are_within_the_operators_limits() {
    // As text and back, each of these is another number, the next above.
    let (cpu_seconds, timeout_seconds) = (122.484_032_324_856_43, 234.323_483_130_262_22);
    let default = Limits { cpu_seconds, timeout_seconds, ..TEST_LIMITS };
    let bounds = Bounds { default, max_timeout_seconds: timeout_seconds, ..BOUNDS };
    let host =
        EngineHost::new(Arc::new(FakeEngine::new()), bounds, Profiles::only(PYTHON), WORKER_COUNT);
    let (ours, theirs) = UnixStream::pair().unwrap();
    tokio::spawn(async move { host.serve(ours).await });
    let engine = RemoteEngine::connect(theirs).await.unwrap();
    assert_eq!(run(&engine, "", default).await.verdict.outcome, Outcome::Exited);
}

#[tokio::test]
async fn output_above_the_limit_is_counted() {
    let output = "x".repeat(3 << 20);
    let (_serving, engine) = remote(FakeEngine::new().output(output)).await;
    let (verdict, buffer) = evaluate(&engine, CancellationToken::new()).await;
    let stdout = buffer.output(shared::Stream::Stdout);
    assert_eq!(verdict.outcome, Outcome::OutputExceeded);
    assert_eq!((stdout.text.len(), stdout.bytes_total), (1 << 20, 3 << 20));
    assert!(stdout.truncated);
}

#[tokio::test]
async fn files_pass_from_one_process_to_the_other_in_parts() {
    let large: Vec<u8> = (0..200_000_u32).flat_map(u32::to_be_bytes).collect();
    let left = vec![
        Artifact::new(b"large", large.into()),
        Artifact::new(b"a/\xff\n", "x".into()),
        Artifact::new(b"empty", "".into()),
    ];
    let (_serving, engine) = remote(FakeEngine::new().artifacts(left.clone())).await;
    for _ in 0..2 {
        assert_eq!(run(&engine, "", TEST_LIMITS).await.verdict.artifacts, left);
    }
}

#[tokio::test]
async fn a_cancelled_run_and_a_dropped_one_are_ended_in_the_host() {
    let (_serving, engine) = remote(FakeEngine::new().delay(Duration::MAX)).await;
    let cancel = CancellationToken::new();
    let cancelling = async {
        tokio::time::sleep(Duration::from_millis(50)).await;
        cancel.cancel();
    };
    let ((verdict, _), ()) = tokio::join!(evaluate(&engine, cancel.clone()), cancelling);
    assert_eq!(verdict.outcome, Outcome::Cancelled);
    // More than there may be at one moment, unless those that were dropped have ended.
    for _ in 0..20 {
        let dropped = evaluate(&engine, CancellationToken::new());
        assert!(tokio::time::timeout(Duration::from_millis(20), dropped).await.is_err());
    }
    engine.self_test().await.unwrap();
}

#[tokio::test]
async fn an_engine_that_panics_ends_its_run_alone() {
    let (_serving, engine) = remote(FakeEngine::new().panics_on("bad")).await;
    let bad = run(&engine, "bad", TEST_LIMITS).await.verdict;
    assert_eq!(bad.outcome, Outcome::EngineError);
    assert_eq!(run(&engine, "good", TEST_LIMITS).await.verdict.outcome, Outcome::Exited);
}

#[tokio::test]
async fn without_its_host_every_run_is_lost() {
    let (serving, socket) = host(Arc::new(FakeEngine::new().delay(Duration::MAX)));
    let engine = RemoteEngine::connect(socket).await.unwrap();
    let killing = async {
        tokio::time::sleep(Duration::from_millis(50)).await;
        serving.abort();
    };
    let ((verdict, _), ()) = tokio::join!(evaluate(&engine, CancellationToken::new()), killing);
    assert_eq!(verdict.outcome, Outcome::WorkerLost);
    engine.self_test().await.unwrap_err();
    engine.close().await;
}

/// What the socket costs: both processes are tasks of one here, on two threads.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_evaluation_takes_less_than_a_millisecond_more() {
    let (_serving, engine) = remote(FakeEngine::new().output("42\n")).await;
    let mut durations = Vec::new();
    for _ in 0..500 {
        let started = Instant::now();
        run(&engine, "print(6 * 7)", TEST_LIMITS).await;
        durations.push(started.elapsed());
    }
    durations.sort_unstable();
    let (median, p99) = (durations[250], durations[495]);
    println!("p50 {median:?}, p99 {p99:?}");
    // Ten times the goal, for a machine that is busy.
    assert!(median < Duration::from_millis(10), "{median:?}");
}
