//! Stage 4 from outside: the real binary, real HTTP, real containers.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]

#[path = "support/server.rs"]
mod server;

use std::io::Write as _;
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

use rustix::process::Signal;
use serde_json::json;
use server::Server;

const BINARY: &str = env!("CARGO_BIN_EXE_stage-04-docker");

/// The ids of the containers, running or in any state, of the process `pid`.
fn containers(pid: u32, running: bool) -> Vec<String> {
    let mut docker = Command::new("docker");
    docker.args(["ps", "--no-trunc", "--format", "{{.ID}} {{.Label \"crucible.owner\"}}"]);
    if !running {
        docker.arg("--all");
    }
    let listed = String::from_utf8(docker.output().unwrap().stdout).unwrap();
    let of_pid = |line: &str| {
        let (id, owner) = line.split_once(' ')?;
        (owner.split('.').nth(2)? == pid.to_string()).then(|| id.to_owned())
    };
    listed.lines().filter_map(of_pid).collect()
}

fn until(what: &str, within: Duration, holds: impl Fn() -> bool) {
    let started = Instant::now();
    while !holds() {
        assert!(started.elapsed() < within, "not within {within:?}: {what}");
        std::thread::sleep(Duration::from_millis(100));
    }
}

#[tokio::test]
async fn every_answer_says_what_stood_between_program_and_machine() {
    let server = Server::start();
    let ended = server.run("print('hello'); raise SystemExit(3)").await;
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
async fn output_is_seen_while_the_program_runs() {
    let server = Server::start();
    let id = server.submit("import time; print('first'); time.sleep(60)", 30.0).await;
    let seen = server.until(&id, |it| it["stdout"]["text"] == "first\n").await;
    assert_eq!(seen["status"], "running");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stage_that_hangs_or_is_killed_leaves_nothing_for_long() {
    let hanging = Server::start();
    let pid = hanging.child.id();
    let endless = "import time; print('up'); time.sleep(299)";
    let short = hanging.submit(endless, 3.0).await;
    let long = hanging.submit(endless, 300.0).await;
    for id in [&short, &long] {
        hanging.until(id, |it| it["stdout"]["text"] == "up\n").await;
    }
    hanging.signal(Signal::STOP);
    assert_eq!(containers(pid, true).len(), 2);
    // Its init ends the one whose time is over, although nobody is there to do it.
    until("init ends what is out of time", Duration::from_secs(30), || {
        containers(pid, true).len() == 1
    });
    // While its owner is there, no other stage touches the other one.
    let other = Server::start();
    assert_eq!(containers(pid, true).len(), 1);
    drop(other);
    hanging.signal(Signal::KILL);
    drop(hanging);
    let next = Server::start();
    until("the next stage takes the rest away", Duration::from_secs(20), || {
        containers(pid, false).is_empty()
    });
    assert_eq!(next.run("print(1)").await["stdout"]["text"], "1\n");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stage_that_is_asked_to_end_leaves_nothing() {
    let mut server = Server::start();
    let pid = server.child.id();
    let id = server.submit("import time; print('up'); time.sleep(60)", 60.0).await;
    server.until(&id, |it| it["stdout"]["text"] == "up\n").await;
    server.signal(Signal::TERM);
    until("it ends", Duration::from_secs(20), || containers(pid, false).is_empty());
    assert!(server.child.wait().unwrap().success());
}

fn stage(arguments: &[&str], code: &str) -> Output {
    let mut child = Command::new(BINARY)
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    // A stage that refuses to start reads nothing.
    let _unread = child.stdin.take().unwrap().write_all(code.as_bytes());
    child.wait_with_output().unwrap()
}

#[test]
fn run_ends_as_the_program_ended() {
    let ended = stage(&["run", "-"], "print('out'); raise SystemExit(7)");
    assert_eq!((ended.status.code(), ended.stdout.as_slice()), (Some(7), &b"out\n"[..]));
    let said = String::from_utf8(ended.stderr).unwrap();
    assert!(said.contains("in docker/runc"), "{said}");
    let late = stage(&["--timeout-seconds", "0.5", "run", "-"], "while True: pass");
    assert_eq!(late.status.code(), Some(124));
}

#[test]
fn doctor_and_serve_say_what_is_missing() {
    let well = stage(&["doctor"], "");
    assert!(well.status.success(), "{}", String::from_utf8_lossy(&well.stdout));
    let nowhere = ["--docker-host", "unix:///nowhere.sock"];
    for command in ["doctor", "serve", "test"] {
        let ended = stage(&[&nowhere[..], &[command]].concat(), "");
        assert!(!ended.status.success());
        let said = String::from_utf8([ended.stdout, ended.stderr].concat()).unwrap();
        assert!(said.contains("Docker does not answer"), "{command}: {said}");
    }
    let ended = stage(&["--image", "crucible/none:such", "serve"], "");
    assert!(String::from_utf8_lossy(&ended.stderr).contains("setup.sh"), "{ended:?}");
}
