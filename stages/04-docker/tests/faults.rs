//! What goes wrong round an evaluation: the caller goes away, Docker dies in the middle, a stage was
//! killed. Nothing may hang, and nothing may stay.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]

mod support;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use shared::{Engine as _, Job, Outcome, OutputBuffer};
use stage_04_docker::{DockerArgs, DockerEngine, RUNC};
use support::{args, docker, engine, run, submission};
use tokio::net::{UnixListener, UnixStream};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

const SLEEP: &str = "import time; time.sleep(60)";

/// Waits until the engine has no container any more.
async fn until_none_is_left(engine: &DockerEngine) {
    let started = Instant::now();
    while engine.remaining().await.unwrap() > 0 {
        assert!(started.elapsed() < Duration::from_secs(15), "containers are left");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_caller_that_goes_away_leaves_no_container() {
    let engine = engine().await;
    // Before there is a container, while it is made, while it starts, while it runs.
    for millis in [0, 3, 20, 100, 600] {
        let job = Job { id: Uuid::now_v7(), submission: submission(SLEEP) };
        let buffer = OutputBuffer::new(1 << 10, Box::new(|_, _, _| {}));
        let evaluation = engine.evaluate(&job, &buffer, CancellationToken::new());
        let dropped = tokio::time::timeout(Duration::from_millis(millis), evaluation).await;
        dropped.unwrap_err();
    }
    engine.close().await;
    assert_eq!(engine.remaining().await.unwrap(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn cancelling_ends_it_at_any_moment() {
    let engine = engine().await;
    for millis in [0, 3, 20, 100, 600] {
        let job = Job { id: Uuid::now_v7(), submission: submission(SLEEP) };
        let buffer = OutputBuffer::new(1 << 10, Box::new(|_, _, _| {}));
        let cancel = CancellationToken::new();
        let soon = cancel.clone();
        tokio::spawn(async move {
            tokio::time::sleep(Duration::from_millis(millis)).await;
            soon.cancel();
        });
        let verdict = engine.evaluate(&job, &buffer, cancel).await;
        assert_eq!(verdict.outcome, Outcome::Cancelled, "after {millis} ms: {verdict:?}");
    }
    until_none_is_left(&engine).await;
    engine.close().await;
}

/// Docker's socket, behind a door that can be shut.
struct Door {
    path: PathBuf,
    open: std::sync::Mutex<CancellationToken>,
}

impl Door {
    fn new(folder: &Path) -> Arc<Self> {
        let path = folder.join("docker.sock");
        let door = Arc::new(Self { path: path.clone(), open: std::sync::Mutex::default() });
        let listener = UnixListener::bind(&path).unwrap();
        let doorkeeper = Arc::clone(&door);
        tokio::spawn(async move {
            while let Ok((mut ours, _)) = listener.accept().await {
                let shut = doorkeeper.open.lock().unwrap().clone();
                tokio::spawn(async move {
                    let mut docker = UnixStream::connect("/var/run/docker.sock").await.unwrap();
                    let pass = tokio::io::copy_bidirectional(&mut ours, &mut docker);
                    let _cut = shut.run_until_cancelled(pass).await;
                });
            }
        });
        door
    }

    /// Cuts every connection, and every new one at once.
    fn shut(&self) {
        self.open.lock().unwrap().cancel();
    }

    fn open(&self) {
        *self.open.lock().unwrap() = CancellationToken::new();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_docker_that_dies_in_the_middle_is_a_fault_of_the_engine() {
    let folder = tempfile::tempdir().unwrap();
    let door = Door::new(folder.path());
    let docker_host = format!("unix://{}", door.path.display());
    let engine = DockerEngine::start(&DockerArgs { docker_host, ..args() }, RUNC).await.unwrap();
    for millis in [0, 5, 60, 700] {
        let shutting = Arc::clone(&door);
        tokio::spawn(async move {
            tokio::time::sleep(Duration::from_millis(millis)).await;
            shutting.shut();
        });
        let started = Instant::now();
        let ended = run(&engine, SLEEP).await;
        assert_eq!(ended.verdict.outcome, Outcome::EngineError, "after {millis} ms: {ended:?}");
        assert!(ended.verdict.error.is_some(), "{ended:?}");
        assert!(
            started.elapsed() < Duration::from_secs(5),
            "after {millis} ms: {:?}",
            started.elapsed()
        );

        let started = Instant::now();
        let refused = run(&engine, "print(1)").await.verdict;
        assert_eq!(refused.outcome, Outcome::EngineError, "{refused:?}");
        assert!(started.elapsed() < Duration::from_secs(1), "{:?}", started.elapsed());

        door.open();
        let again = run(&engine, "print(1)").await;
        assert_eq!(again.stdout, "1\n", "after {millis} ms: {again:?}");
    }
    until_none_is_left(&engine).await;
    engine.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_killed_stage_left_behind_is_taken_away_at_the_next_start() {
    let image = args().image();
    // Boot, namespace, process and the time it started.
    let us = stage_02_queue::InstanceId::this_process().to_string();
    let (of_this_process, started) = us.rsplit_once('.').unwrap();
    let (_, since_boot) = us.split_once('.').unwrap();
    let make = |owner: &str| {
        let label = format!("crucible.owner={owner}");
        let sleep = ["-c", SLEEP];
        let run = ["run", "--detach", "--network=none", "--label", &label, &image];
        docker(&[&run[..], &["/usr/bin/python3"], &sleep].concat())
    };
    assert_ne!(started, "1");
    let alive = make(&us);
    let gone = [
        make(&format!("{of_this_process}.1")),
        make(&format!("00000000-0000-0000-0000-000000000000.{since_boot}")),
        make("what is this"),
    ];
    engine().await.close().await;
    let left = docker(&["ps", "--all", "--quiet", "--no-trunc"]);
    docker(&["rm", "--force", &alive]);
    assert!(left.contains(&alive), "another stage's container was taken away");
    assert!(!gone.iter().any(|id| left.contains(id)), "{left} {gone:?}");
}
