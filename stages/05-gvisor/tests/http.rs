//! Stage 5 from outside: the real binary, real HTTP, real sandboxes.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]

#[path = "../../04-docker/tests/support/server.rs"]
mod server;

use std::process::{Command, Output};
use std::time::{Duration, Instant};

use rustix::process::Signal;
use serde_json::json;
use server::Server;

const BINARY: &str = env!("CARGO_BIN_EXE_stage-05-gvisor");

fn stage(arguments: &[&str]) -> Output {
    Command::new(BINARY).args(arguments).output().unwrap()
}

#[tokio::test]
async fn every_answer_names_the_runtime_and_its_version() {
    let server = Server::start();
    let ended = server.run("import platform; print(platform.release())").await;
    assert_eq!(ended["outcome"], "exited", "{ended}");
    let inside = ended["stdout"]["text"].as_str().unwrap().trim();
    let host = std::fs::read_to_string("/proc/sys/kernel/osrelease").unwrap();
    assert_ne!(inside, host.trim());
    let sandbox = &ended["sandbox"];
    assert_eq!((&sandbox["engine"], &sandbox["runtime"]), (&json!("gvisor"), &json!("runsc")));
    assert!(!sandbox["runtime_version"].as_str().unwrap().is_empty());
    assert!(sandbox["image_digest"].as_str().unwrap().starts_with("sha256:"));

    let bomb = server.run("import os\nwhile True: os.fork()").await;
    let named = [json!("pids_exceeded"), json!("memory_exceeded")];
    assert!(named.contains(&bomb["outcome"]), "{bomb}");
    assert_eq!((&bomb["status"], &bomb["exit_code"]), (&json!("failed"), &json!(null)));
}

#[tokio::test]
async fn output_is_seen_while_the_program_runs_and_nothing_is_left_at_the_end() {
    let mut server = Server::start();
    let pid = server.child.id();
    let id = server.submit("import time; print('first'); time.sleep(60)", 60.0).await;
    let seen = server.until(&id, |it| it["stdout"]["text"] == "first\n").await;
    assert_eq!(seen["status"], "running");
    server.signal(Signal::TERM);
    let started = Instant::now();
    assert!(server.child.wait().unwrap().success());
    assert!(started.elapsed() < Duration::from_secs(20), "{:?}", started.elapsed());
    let list = ["ps", "--all", "--format", "{{.Label \"crucible.owner\"}}"];
    let left = String::from_utf8(Command::new("docker").args(list).output().unwrap().stdout);
    let left = left.unwrap();
    assert!(!left.contains(&format!(".{pid}.")), "{left}");
}

#[test]
fn doctor_shows_the_proof_and_what_is_missing() {
    let well = stage(&["doctor"]);
    let said = String::from_utf8_lossy(&well.stdout);
    assert!(well.status.success(), "{said}");
    for subject in ["docker", "runsc", "platform", "image", "sandbox"] {
        assert!(said.contains(&format!("ok       {subject}: ")), "{subject} in:\n{said}");
    }
    let ended = stage(&["--docker-host", "unix:///nowhere.sock", "serve"]);
    assert!(!ended.status.success());
    assert!(String::from_utf8_lossy(&ended.stderr).contains("Docker does not answer"), "{ended:?}");
}
