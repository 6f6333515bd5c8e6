//! How fast the engine is, beside what it saves: `docker run --runtime=runsc`, and `runsc run` without
//! Docker. A busy machine changes every number here but hardly their ratios, so that ratios are what
//! is asserted; the numbers are printed.

use std::process::Stdio;
use std::sync::Arc;
use std::time::{Duration, Instant};

use shared::{Engine as _, Job, Outcome, OutputBuffer, Stream, Submission};
use stage_04_docker::PROBE_LIMITS;
use stage_06_advanced::{RunscEngine, RunscOptions};
use tokio_util::sync::CancellationToken;

/// Runs `print(1)`; gives how long it took and whether a sandbox had been waiting.
async fn one(engine: &RunscEngine) -> (Duration, bool) {
    let job = Job::first(Submission::new("print(1)", PROBE_LIMITS));
    let buffer = OutputBuffer::new(PROBE_LIMITS.output_bytes, Box::new(|_, _, _| {}));
    let started = Instant::now();
    let verdict = engine.evaluate(&job, &buffer, CancellationToken::new()).await;
    let took = started.elapsed();
    assert_eq!(verdict.outcome, Outcome::Exited, "{verdict:?}");
    assert_eq!(buffer.output(Stream::Stdout).text, "1\n");
    (took, verdict.evidence.counters["sandbox.warm"] == true)
}

fn percentiles(mut times: Vec<Duration>) -> (Duration, Duration) {
    times.sort();
    (times[times.len() / 2], times[times.len() * 95 / 100])
}

async fn docker_run() -> Duration {
    let started = Instant::now();
    let status = tokio::process::Command::new("docker")
        .args(["run", "--rm", "--runtime=runsc", "--network=none", "--read-only"])
        .args(["--user=65534:65534", "crucible/python:local"])
        .args(["/usr/bin/python3", "-c", "print(1)"])
        .stdout(Stdio::null())
        .status()
        .await
        .expect("run infrastructure/setup/setup.sh first");
    assert!(status.success());
    started.elapsed()
}

#[tokio::test(flavor = "multi_thread")]
async fn alone_a_waiting_sandbox_saves_its_start() {
    let warm = RunscOptions { warm_sandboxes: 8, ..RunscOptions::default() };
    let warm = RunscEngine::start(&warm, PROBE_LIMITS).await.expect("run setup.sh first");
    let cold = RunscOptions { warm_sandboxes: 0, ..RunscOptions::default() };
    let cold = RunscEngine::start(&cold, PROBE_LIMITS).await.expect("run setup.sh first");
    let (mut warm_times, mut cold_times, mut docker_times) = (Vec::new(), Vec::new(), Vec::new());
    for round in 0..20 {
        assert!(warm.is_warm(Duration::from_mins(1)).await, "{:?}", warm.pool());
        tokio::time::sleep(Duration::from_millis(100)).await;
        let (took, was_waiting) = one(&warm).await;
        assert!(was_waiting);
        warm_times.push(took);
        if round % 4 == 0 {
            assert!(warm.is_warm(Duration::from_mins(1)).await, "{:?}", warm.pool());
            cold_times.push(one(&cold).await.0);
            docker_times.push(docker_run().await);
        }
    }
    cold.close().await;
    warm.close().await;
    let (warm, cold) = (percentiles(warm_times), percentiles(cold_times));
    let docker = percentiles(docker_times);
    println!("p50 and p95: waiting {warm:?}, started on arrival {cold:?}, docker run {docker:?}");
    assert!(warm.0 * 4 < cold.0, "waiting {:?}, started {:?}", warm.0, cold.0);
    assert!(warm.0 * 8 < docker.0, "waiting {:?}, docker run {:?}", warm.0, docker.0);
}

#[tokio::test(flavor = "multi_thread")]
async fn alone_four_clients_keep_it_busy() {
    let options = RunscOptions { warm_sandboxes: 8, ..RunscOptions::default() };
    let engine =
        Arc::new(RunscEngine::start(&options, PROBE_LIMITS).await.expect("run setup.sh first"));
    assert!(engine.is_warm(Duration::from_mins(1)).await, "{:?}", engine.pool());
    let started = Instant::now();
    let clients: Vec<_> = (0..4)
        .map(|_| {
            let engine = Arc::clone(&engine);
            tokio::spawn(async move {
                for _ in 0..25 {
                    one(&engine).await;
                }
            })
        })
        .collect();
    for client in clients {
        client.await.unwrap();
    }
    let took = started.elapsed();
    println!("100 evaluations, four at a time: {took:?}, {:.1}/s", 100.0 / took.as_secs_f64());
    engine.close().await;
    assert_eq!(engine.remaining(), 0);
}
