//! Nothing is left, whatever ends the server; and no Docker is needed.

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use harness::{Server, Signal, eventually, server};
use serde_json::{Value, json};

/// A program that runs longer than any test, once it has written its line.
const ENDLESS: &str = "import time; print('up'); time.sleep(299)";
/// How long the sandboxes of a killed server may live.
const END_TIMEOUT: Duration = Duration::from_secs(20);

/// The directories of the process on this machine: beside the image's files, and cgroups.
fn directories(pid: u32) -> Vec<PathBuf> {
    let pin = std::fs::read_to_string(stage_06_advanced::ROOTFS_PIN).unwrap();
    let images = Path::new(pin.trim()).parent().unwrap().to_owned();
    let cgroups = ["", "memory", "pids", "cpu,cpuacct", "devices"]
        .map(|hierarchy| Path::new("/sys/fs/cgroup").join(hierarchy).join("crucible-runsc"));
    let parents = cgroups.into_iter().chain([images]);
    let entries = parents.filter_map(|dir| std::fs::read_dir(dir).ok()).flatten().flatten();
    let mark = format!(".{pid}.");
    let paths = entries.map(|entry| entry.path());
    paths.filter(|path| path.to_string_lossy().contains(&mark)).collect()
}

/// How many processes of runsc have that server's directory on their command lines.
fn processes(pid: u32) -> usize {
    let mark = format!(".{pid}.");
    let entries = std::fs::read_dir("/proc").unwrap().flatten();
    let lines = entries.map(|entry| std::fs::read_to_string(entry.path().join("cmdline")));
    lines.flatten().filter(|line| line.contains("--root=") && line.contains(&mark)).count()
}

/// Starts a program and waits until it has written its line.
async fn start_endless(server: &Server, timeout_seconds: f64) {
    let client = server.client();
    let body = json!({ "code": ENDLESS, "timeout_seconds": timeout_seconds });
    let id = client.submit(&body).await;
    let is_up = |evaluation: &Value| evaluation["stdout"]["text"] == "up\n";
    client.wait_until(&id, "the program runs", is_up).await;
}

fn start() -> Server {
    server!("--drain-seconds", "1")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_is_killed_leaves_nothing_for_long() {
    let killed = start();
    let pid = killed.pid();
    start_endless(&killed, 299.0).await;
    assert!(processes(pid) > 0 && !directories(pid).is_empty());
    // While it runs, no other server touches what it has created.
    let other = start();
    assert_eq!(other.client().run("print(2)").await["stdout"]["text"], "2\n");
    assert_eq!(other.stop(), Some(0));
    assert!(processes(pid) > 0 && !directories(pid).is_empty());
    killed.kill();
    eventually("its sandboxes end", END_TIMEOUT, || processes(pid) == 0).await;
    let next = start();
    assert_eq!(directories(pid), [""; 0].map(PathBuf::from), "the next start removes the rest");
    assert_eq!(next.client().run("print(1)").await["stdout"]["text"], "1\n");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_program_ends_when_its_server_hangs() {
    let hanging = start();
    let pid = hanging.pid();
    start_endless(&hanging, 8.0).await;
    // The pool is full again: nothing more is to be started.
    tokio::time::sleep(Duration::from_secs(4)).await;
    hanging.signal(Signal::STOP);
    let before = processes(pid);
    // The lifetime is the timeout of the start, the program's own, and a grace.
    let timeout = Duration::from_mins(1);
    eventually("its supervisor ends it", timeout, || processes(pid) < before).await;
    hanging.signal(Signal::CONT);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_is_terminated_leaves_nothing() {
    let server = start();
    let pid = server.pid();
    start_endless(&server, 60.0).await;
    assert_eq!(server.stop(), Some(0));
    assert_eq!((processes(pid), directories(pid)), (0, Vec::new()));
}

/// A self test creates a sandbox of its own, which the shutdown has to wait for.
#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_is_terminated_during_a_self_test_leaves_nothing() {
    for delay_ms in [0, 100, 300, 600, 1500] {
        let server = start();
        let pid = server.pid();
        let client = server.client();
        let testing = tokio::spawn(async move {
            let request = client.request(harness::Method::POST, "/self-test?suite=true");
            request.header("prefer", "wait=300").send().await.ok() // the server may end before its answer
        });
        tokio::time::sleep(Duration::from_millis(delay_ms)).await;
        assert_eq!(server.stop(), Some(0));
        assert_eq!((processes(pid), directories(pid)), (0, Vec::new()), "after {delay_ms} ms");
        testing.await.unwrap();
    }
}

/// On a machine without Docker: its socket and its programs are hidden.
#[test]
fn no_docker_is_needed() {
    let hide = "mount -t tmpfs none /run && ! docker version >/dev/null 2>&1 && exec \"$0\" run -";
    let child = Command::new("unshare")
        .args(["--mount", "sh", "-c", hide, env!("CARGO_BIN_EXE_stage-06-advanced")])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn();
    let mut child = child.unwrap();
    child.stdin.take().unwrap().write_all(b"print(6 * 7)").unwrap();
    let output = child.wait_with_output().unwrap();
    let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(
        (output.status.code(), output.stdout.as_slice()),
        (Some(0), &b"42\n"[..]),
        "{stderr}"
    );
    assert!(stderr.contains("in gvisor/runsc"), "{stderr}");
}
