//! The same with real sandboxes: the worker is two processes, as stage 06 has them.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;

use harness::Launch;
use serde_json::json;

use super::site::{EVENT_TIMEOUT, ready};
use crate::broker::system::Nats;
use crate::stage::BINARY;

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_with_sandboxes_runs_programs_and_sends_their_files() {
    let nats = Nats::start();
    let queue = nats.url("sandbox");
    let directory = tempfile::tempdir().unwrap();
    fs::set_permissions(directory.path(), fs::Permissions::from_mode(0o755)).unwrap();
    let api = Launch::new(BINARY)
        .args(["--role", "api", "--strict-contract", "--queue", &queue, "--lease-seconds", "60"])
        .args(["--self-test-seconds", "3600", "--data-dir"])
        .arg(directory.path().join("data"))
        .start();
    let client = api.client();
    let log = fs::File::create(directory.path().join("worker.log")).unwrap();
    let mut worker = std::process::Command::new(BINARY)
        .args(["--role", "worker", "--api", api.url(), "--queue", &queue, "--workers", "1"])
        .args(["--self-test-seconds", "3600", "--drain-seconds", "1"])
        .stdout(log.try_clone().unwrap())
        .stderr(log)
        .spawn()
        .unwrap();
    ready(&client, 1).await;
    let code =
        "print(open('/proc/version').read().split()[0])\nopen('/output/a.txt', 'w').write('left')";
    let ended = client.run(code).await;
    assert_eq!(
        (&ended["outcome"], &ended["sandbox"]["engine"]),
        (&json!("exited"), &json!("gvisor")),
        "{ended}"
    );
    let id = ended["id"].as_str().unwrap();
    let file = client.get(&format!("/eval/{id}/artifacts/0")).await;
    assert_eq!((file.status, file.text().as_str()), (200, "left"), "{ended}");
    let status = fs::read_to_string(format!("/proc/{}/status", api.pid())).unwrap();
    if rustix::process::geteuid().is_root() {
        assert!(!status.contains("Uid:\t0\t"), "the API has given up its rights: {status}");
    }
    let pid = rustix::process::Pid::from_child(&worker);
    rustix::process::kill_process(pid, harness::Signal::TERM).unwrap();
    let started = std::time::Instant::now();
    let status = loop {
        if let Some(status) = worker.try_wait().unwrap() {
            break status;
        }
        assert!(started.elapsed() < EVENT_TIMEOUT, "the worker does not exit");
        std::thread::sleep(std::time::Duration::from_millis(20));
    };
    let log = fs::read_to_string(directory.path().join("worker.log")).unwrap();
    assert_eq!(status.code(), Some(0), "{log}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_api_with_sandboxes_of_its_own_runs_programs_in_them_and_opens_some_that_stay() {
    let nats = Nats::start();
    let directory = tempfile::tempdir().unwrap();
    fs::set_permissions(directory.path(), fs::Permissions::from_mode(0o755)).unwrap();
    let api = Launch::new(BINARY)
        .args(["--role", "all", "--queue", &nats.url("all"), "--workers", "1"])
        .args(["--self-test-seconds", "3600", "--data-dir"])
        .arg(directory.path().join("data"))
        .start();
    let client = api.client();
    ready(&client, 1).await;
    let ended = client.run("print(open('/proc/version').read().split()[0])").await;
    assert_eq!(
        (&ended["outcome"], &ended["sandbox"]["engine"]),
        (&json!("exited"), &json!("gvisor")),
        "{ended}"
    );
    // Not 501, as with the role `api`: there is an engine, and no such environment.
    let refused = client.post("/sandboxes", &json!({ "environment": "no-such" })).await;
    assert_eq!(refused.status, 422, "{refused:?}");
    assert_eq!(api.stop(), Some(0));
}
