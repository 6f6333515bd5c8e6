//! Failures around an evaluation: the caller drops it, Docker dies while it runs, a server was
//! killed. Nothing may hang, and no container may be left.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use shared::{Engine as _, Job, Outcome, OutputBuffer, Verdict};
use stage_04_docker::{DockerArgs, DockerEngine, RUNC};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{UnixListener, UnixStream};
use tokio_util::sync::CancellationToken;

use crate::{SLEEP, args, docker, engine, run, submission, wait_until_removed};

#[tokio::test(flavor = "multi_thread")]
async fn a_dropped_evaluation_leaves_no_container() {
    let engine = engine().await;
    // Before there is a container, while it is created, while it starts, while it runs.
    for millis in [0, 3, 20, 100, 600] {
        let job = Job::first(submission(SLEEP));
        let buffer = OutputBuffer::new(1 << 10, Box::new(|_, _, _| {}));
        let evaluation = engine.evaluate(&job, &buffer, CancellationToken::new());
        let dropped = tokio::time::timeout(Duration::from_millis(millis), evaluation).await;
        dropped.unwrap_err();
    }
    engine.close().await;
    assert_eq!(engine.remaining().await.unwrap(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_evaluation_can_be_cancelled_at_any_moment() {
    let engine = engine().await;
    for millis in [0, 3, 20, 100, 600] {
        let job = Job::first(submission(SLEEP));
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
    wait_until_removed(&engine).await;
    engine.close().await;
}

/// A relay to Docker's socket that can be cut, and that can refuse removals.
struct Relay {
    path: PathBuf,
    refuses_removals: AtomicBool,
    /// Cancelling it cuts the connections that were made while it was the current one.
    connections: std::sync::Mutex<CancellationToken>,
}

impl Relay {
    fn new(dir: &Path) -> Arc<Self> {
        let path = dir.join("docker.sock");
        let (refuses_removals, connections) = Default::default();
        let relay = Arc::new(Self { path: path.clone(), refuses_removals, connections });
        let listener = UnixListener::bind(&path).unwrap();
        let accepting = Arc::clone(&relay);
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                let cut = accepting.connections.lock().unwrap().clone();
                let relay = Arc::clone(&accepting);
                tokio::spawn(async move {
                    cut.run_until_cancelled(relay.copy(client)).await; // ended or cut: both close it
                });
            }
        });
        relay
    }

    /// Copies both ways until one side ends, or until a removal is refused.
    async fn copy(&self, client: UnixStream) {
        let docker = UnixStream::connect("/var/run/docker.sock").await.unwrap();
        let ((mut requests, mut responses), (mut from_docker, mut to_docker)) =
            (client.into_split(), docker.into_split());
        let forward = async {
            let mut buffer = vec![0; 64 << 10];
            while let Ok(length @ 1..) = requests.read(&mut buffer).await {
                let bytes = &buffer[..length];
                // The client sends each request at once.
                let is_removal = bytes.starts_with(b"DELETE ");
                if is_removal && self.refuses_removals.load(Ordering::Relaxed) {
                    return false;
                }
                if to_docker.write_all(bytes).await.is_err() {
                    return false;
                }
            }
            to_docker.shutdown().await.is_ok()
        };
        let back = tokio::io::copy(&mut from_docker, &mut responses);
        tokio::pin!(back);
        tokio::select! {
            ended = forward => if ended {
                back.await.ok();
            },
            _ = &mut back => {}
        }
    }

    /// Cuts every connection, and from now on every new one at once.
    fn cut(&self) {
        self.connections.lock().unwrap().cancel();
    }

    /// Accepts new connections again.
    fn restore(&self) {
        *self.connections.lock().unwrap() = CancellationToken::new();
    }
}

/// The end of the connection was seen. No deadline had to pass first: each has an error of its own.
fn assert_noticed(verdict: &Verdict) {
    let error = verdict.error.as_deref().unwrap();
    assert!(!error.contains("within"), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_docker_that_dies_during_an_evaluation_is_an_engine_error() {
    let dir = tempfile::tempdir().unwrap();
    let relay = Relay::new(dir.path());
    let docker_host = format!("unix://{}", relay.path.display());
    let engine = DockerEngine::start(&DockerArgs { docker_host, ..args() }, RUNC).await.unwrap();
    for millis in [0, 5, 60, 700] {
        let cutting = Arc::clone(&relay);
        tokio::spawn(async move {
            tokio::time::sleep(Duration::from_millis(millis)).await;
            cutting.cut();
        });
        let ended = run(&engine, SLEEP).await;
        assert_eq!(ended.verdict.outcome, Outcome::EngineError, "after {millis} ms: {ended:?}");
        assert_noticed(&ended.verdict);

        let refused = run(&engine, "print(1)").await.verdict;
        assert_eq!(refused.outcome, Outcome::EngineError, "{refused:?}");
        assert_noticed(&refused);

        relay.restore();
        let again = run(&engine, "print(1)").await;
        assert_eq!(again.stdout, "1\n", "after {millis} ms: {again:?}");
    }
    wait_until_removed(&engine).await;
    engine.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_docker_that_removes_nothing_delays_no_end_and_stops_new_containers() {
    let dir = tempfile::tempdir().unwrap();
    let relay = Relay::new(dir.path());
    let docker_host = format!("unix://{}", relay.path.display());
    let engine = DockerEngine::start(&DockerArgs { docker_host, ..args() }, RUNC).await.unwrap();
    wait_until_removed(&engine).await; // the first one, by which the engine was verified
    relay.refuses_removals.store(true, Ordering::Relaxed);
    for round in 0..8 {
        let ended = run(&engine, "print(1)").await;
        assert_eq!(ended.stdout, "1\n", "round {round}: {ended:?}");
    }
    assert_eq!(engine.remaining().await.unwrap(), 8);
    let refused = run(&engine, "print(1)").await.verdict;
    assert_eq!(refused.outcome, Outcome::EngineError, "{refused:?}");
    let error = refused.error.as_deref().unwrap();
    assert!(error.contains("has not removed"), "{error}");
    relay.refuses_removals.store(false, Ordering::Relaxed);
    wait_until_removed(&engine).await;
    assert_eq!(run(&engine, "print(1)").await.stdout, "1\n");
    engine.close().await;
    assert_eq!(engine.remaining().await.unwrap(), 0);
}

/// The server of any other test would remove them as well.
#[tokio::test(flavor = "multi_thread")]
async fn alone_containers_of_a_killed_server_are_removed_at_the_next_start() {
    let image = args().image().await;
    // Boot, namespace, process and its start time.
    let instance = stage_02_queue::InstanceId::this_process().to_string();
    let (of_this_process, started) = instance.rsplit_once('.').unwrap();
    let (_, since_boot) = instance.split_once('.').unwrap();
    let create = |owner: &str| {
        let label = format!("crucible.owner={owner}");
        let sleep = ["-c", SLEEP];
        let run = ["run", "--detach", "--network=none", "--label", &label, &image];
        docker(&[&run[..], &["/usr/bin/python3"], &sleep].concat())
    };
    assert_ne!(started, "1");
    let alive = create(&instance);
    // What proves nothing: a label that is none of ours, and one of a server that could not read its
    // boot.
    let unknown = [create("what is this"), create(&format!(".{since_boot}"))];
    let gone = [
        create(&format!("{of_this_process}.1")),
        create(&format!("00000000-0000-0000-0000-000000000000.{since_boot}")),
    ];
    let doctor = Command::new(env!("CARGO_BIN_EXE_stage-04-docker")).arg("doctor").output();
    assert!(doctor.unwrap().status.success());
    let left = docker(&["ps", "--all", "--quiet", "--no-trunc"]);
    assert!(gone.iter().all(|id| left.contains(id)), "doctor removes nothing");
    engine().await.close().await;
    let left = docker(&["ps", "--all", "--quiet", "--no-trunc"]);
    docker(&["rm", "--force", &alive, &unknown[0], &unknown[1]]);
    assert!(left.contains(&alive), "the container of a running server was removed");
    assert!(unknown.iter().all(|id| left.contains(id)), "{left} {unknown:?}");
    assert!(!gone.iter().any(|id| left.contains(id)), "{left} {gone:?}");
}
