//! Stage 4 from outside: the real binary, real HTTP, real containers.

use std::io::Write as _;
use std::process::{Command, Output, Stdio};
use std::time::Duration;

use harness::{Signal, containers_of, eventually, eventually_some};
use serde_json::json;

use crate::{REMOVE_TIMEOUT, docker};

/// How long a container's init may take to end it, above its time-out of 3 s and a grace of 10 s.
const INIT_TIMEOUT: Duration = Duration::from_secs(30);
/// How long Docker may take to list a container that runs.
const LIST_TIMEOUT: Duration = Duration::from_secs(30);

#[tokio::test]
async fn every_evaluation_names_its_sandbox() {
    let server = harness::server!();
    let ended = server.client().run("print('hello'); raise SystemExit(3)").await;
    assert_eq!((&ended["outcome"], &ended["exit_code"]), (&json!("exited"), &json!(3)));
    assert_eq!(ended["stdout"]["text"], "hello\n");
    assert_eq!(ended["evidence"]["decided_by"], "exit_status");
    let sandbox = &ended["sandbox"];
    assert_eq!((&sandbox["engine"], &sandbox["runtime"]), (&json!("docker"), &json!("runc")));
    assert!(!sandbox["runtime_version"].as_str().unwrap().is_empty());
    assert!(sandbox["image_digest"].as_str().unwrap().starts_with("sha256:"));
    for measured in ["wall_ms", "cpu_ms", "memory_peak_bytes", "pids_peak"] {
        assert!(ended["usage"][measured].as_u64().is_some(), "{measured}: {ended}");
    }
}

#[tokio::test]
async fn output_is_readable_while_the_program_runs() {
    let server = harness::server!();
    let client = server.client();
    let id = client.submit_code("import time; print('first'); time.sleep(60)").await;
    let running = client
        .wait_until(&id, "it has output", |evaluation| evaluation["stdout"]["text"] == "first\n")
        .await;
    assert_eq!(running["status"], "running");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_hangs_or_is_killed_leaves_no_container_for_long() {
    let hanging = harness::server!();
    let (client, pid) = (hanging.client(), hanging.pid());
    let endless = "import time; print('up'); time.sleep(299)";
    // The short one last: it must not end before the server hangs.
    for timeout_seconds in [300.0, 5.0] {
        let body = json!({ "code": endless, "timeout_seconds": timeout_seconds });
        let id = client.submit(&body).await;
        let is_up = |evaluation: &serde_json::Value| evaluation["stdout"]["text"] == "up\n";
        client.wait_until(&id, "it is up", is_up).await;
    }
    hanging.signal(Signal::STOP);
    eventually("both are listed", LIST_TIMEOUT, || containers_of(pid, true).len() == 2).await;
    // The server does not end the one whose time is over: its init does.
    eventually("init ends its container", INIT_TIMEOUT, || containers_of(pid, true).len() == 1)
        .await;
    // While the server exists, another one does not remove its containers.
    let other = harness::server!();
    assert_eq!(containers_of(pid, true).len(), 1);
    drop(other);
    hanging.kill();
    let next = harness::server!();
    eventually("the next server removes the rest", REMOVE_TIMEOUT, || {
        containers_of(pid, false).is_empty()
    })
    .await;
    assert_eq!(next.client().run("print(1)").await["stdout"]["text"], "1\n");
}

/// No program can cause an `engine_error`, and this is one.
#[tokio::test(flavor = "multi_thread")]
async fn a_sandbox_that_is_killed_from_outside_is_an_engine_error() {
    let server = harness::server!();
    let client = server.client();
    let id = client.submit_code("import time; print('up'); time.sleep(60)").await;
    client.wait_until(&id, "it is up", |evaluation| evaluation["stdout"]["text"] == "up\n").await;
    let container = eventually_some("it is listed", LIST_TIMEOUT, async || {
        containers_of(server.pid(), true).pop()
    });
    docker(&["kill", &container.await]);
    let ended = client.wait_until(&id, "it ended", |evaluation| !evaluation["outcome"].is_null());
    let ended = ended.await;
    assert_eq!(ended["outcome"], "engine_error", "{ended}");
    assert!(ended["error"].is_string(), "{ended}");
    assert_eq!(ended["evidence"]["container.exit_code"], 137, "{ended}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_is_terminated_leaves_nothing() {
    let server = harness::server!();
    let (client, pid) = (server.client(), server.pid());
    let id = client.submit_code("import time; print('up'); time.sleep(60)").await;
    client.wait_until(&id, "it is up", |evaluation| evaluation["stdout"]["text"] == "up\n").await;
    assert_eq!(server.stop(), Some(0));
    assert_eq!(containers_of(pid, false), [""; 0]);
}

/// Runs the binary to its end, with `stdin` as its input.
fn stage(arguments: &[&str], stdin: &str) -> Output {
    let mut child = Command::new(env!("CARGO_BIN_EXE_stage-04-docker"))
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    // A server that refuses to start does not read its input.
    child.stdin.take().unwrap().write_all(stdin.as_bytes()).ok();
    child.wait_with_output().unwrap()
}

#[test]
fn run_ends_as_the_program_ended() {
    let ended = stage(&["run", "-"], "print('out'); raise SystemExit(7)");
    assert_eq!((ended.status.code(), ended.stdout.as_slice()), (Some(7), &b"out\n"[..]));
    let summary = String::from_utf8(ended.stderr).unwrap();
    assert!(summary.contains("in docker/runc"), "{summary}");
    let late = stage(&["--timeout-seconds", "0.5", "run", "-"], "while True: pass");
    assert_eq!(late.status.code(), Some(124));
}

#[test]
fn doctor_and_serve_name_what_is_missing() {
    let passed = stage(&["doctor"], "");
    assert!(passed.status.success(), "{}", String::from_utf8_lossy(&passed.stdout));
    let nowhere = ["--docker-host", "unix:///nowhere.sock"];
    for command in ["doctor", "serve", "test"] {
        let ended = stage(&[&nowhere[..], &[command]].concat(), "");
        assert!(!ended.status.success());
        let message = String::from_utf8([ended.stdout, ended.stderr].concat()).unwrap();
        assert!(message.contains("Docker does not answer"), "{command}: {message}");
    }
    let ended = stage(&["--image", "crucible/none:such", "serve"], "");
    let message = String::from_utf8_lossy(&ended.stderr);
    assert!(message.contains("Docker has no image crucible/none:such"), "{message}");
}
