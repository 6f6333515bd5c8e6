//! Stage 5 from outside: the real binary, real HTTP, real sandboxes.

use std::process::{Command, Output};
use std::time::Duration;

use serde_json::json;

/// How long Docker may take to list a container that runs.
const LIST_TIMEOUT: Duration = Duration::from_secs(30);

fn stage(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_stage-05-gvisor")).args(arguments).output().unwrap()
}

#[tokio::test]
async fn every_evaluation_names_the_runtime_and_its_version() {
    let server = harness::server!();
    let client = server.client();
    let ended = client.run("import platform; print(platform.release())").await;
    assert_eq!(ended["outcome"], "exited", "{ended}");
    let inside = ended["stdout"]["text"].as_str().unwrap().trim();
    let host = std::fs::read_to_string("/proc/sys/kernel/osrelease").unwrap();
    assert_ne!(inside, host.trim());
    let sandbox = &ended["sandbox"];
    assert_eq!((&sandbox["engine"], &sandbox["runtime"]), (&json!("gvisor"), &json!("runsc")));
    assert!(!sandbox["runtime_version"].as_str().unwrap().is_empty());
    assert!(sandbox["image_digest"].as_str().unwrap().starts_with("sha256:"));

    let bomb = client.run("import os\nwhile True: os.fork()").await;
    let named = [json!("pids_exceeded"), json!("memory_exceeded")];
    assert!(named.contains(&bomb["outcome"]), "{bomb}");
    assert_eq!((&bomb["status"], &bomb["exit_code"]), (&json!("failed"), &json!(null)));
}

#[tokio::test]
async fn output_is_readable_while_the_program_runs_and_nothing_is_left_at_the_end() {
    let server = harness::server!();
    let (client, pid) = (server.client(), server.pid());
    let id = client.submit_code("import time; print('first'); time.sleep(60)").await;
    let running = client
        .wait_until(&id, "it has output", |evaluation| evaluation["stdout"]["text"] == "first\n")
        .await;
    assert_eq!(running["status"], "running");
    assert_eq!(server.stop(), Some(0));
    assert_eq!(harness::containers_of(pid, false), [""; 0]);
}

/// No program can cause an `engine_error`, and this is one.
#[tokio::test]
async fn a_sandbox_that_is_killed_from_outside_is_an_engine_error() {
    let server = harness::server!();
    let client = server.client();
    let id = client.submit_code("import time; print('up'); time.sleep(60)").await;
    client.wait_until(&id, "it is up", |evaluation| evaluation["stdout"]["text"] == "up\n").await;
    let listed = async || harness::containers_of(server.pid(), true).pop();
    let container = harness::eventually_some("it is listed", LIST_TIMEOUT, listed).await;
    assert!(Command::new("docker").args(["kill", &container]).status().unwrap().success());
    let ended = client.wait_until(&id, "it ended", |evaluation| !evaluation["outcome"].is_null());
    let ended = ended.await;
    assert_eq!(ended["outcome"], "engine_error", "{ended}");
    assert!(ended["error"].is_string(), "{ended}");
    assert_eq!(ended["evidence"]["container.exit_code"], 137, "{ended}");
}

#[test]
fn doctor_shows_what_was_verified_and_what_is_missing() {
    let passed = stage(&["doctor"]);
    let report = String::from_utf8_lossy(&passed.stdout);
    assert!(passed.status.success(), "{report}");
    for subject in ["docker", "runsc", "platform", "flags", "image", "sandbox"] {
        assert!(report.contains(&format!("ok       {subject}: ")), "{subject} in:\n{report}");
    }
    let ended = stage(&["--docker-host", "unix:///nowhere.sock", "serve"]);
    assert!(!ended.status.success());
    assert!(String::from_utf8_lossy(&ended.stderr).contains("Docker does not answer"), "{ended:?}");
}
