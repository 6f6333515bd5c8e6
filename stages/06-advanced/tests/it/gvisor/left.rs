//! Nothing is left, whatever ends the stage; and no Docker is needed.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use rustix::process::Signal;

#[path = "../../../../04-docker/tests/support/server.rs"]
mod server;

const BINARY: &str = env!("CARGO_BIN_EXE_stage-06-advanced");

use server::Server;

/// The folders that the process has on this machine: beside the image's files, and in the control
/// groups.
fn traces(pid: u32) -> Vec<PathBuf> {
    let pin = std::fs::read_to_string(stage_06_advanced::ROOTFS_PIN).unwrap();
    let beside = Path::new(pin.trim()).parent().unwrap().to_owned();
    let groups = ["", "memory", "pids", "cpu,cpuacct", "devices"]
        .map(|tree| Path::new("/sys/fs/cgroup").join(tree).join("crucible-runsc"));
    let folders = groups.into_iter().chain([beside]).flat_map(std::fs::read_dir);
    let mark = format!(".{pid}.");
    let paths = folders.flatten().flatten().map(|entry| entry.path());
    paths.filter(|path| path.to_string_lossy().contains(&mark)).collect()
}

/// Processes of runsc's that say on their command lines that they are that stage's.
fn processes(pid: u32) -> usize {
    let mark = format!(".{pid}.");
    let entries = std::fs::read_dir("/proc").unwrap().flatten();
    let lines = entries.map(|entry| std::fs::read_to_string(entry.path().join("cmdline")));
    lines.flatten().filter(|line| line.contains("--root=") && line.contains(&mark)).count()
}

fn until(what: &str, within: Duration, holds: impl Fn() -> bool) {
    let started = Instant::now();
    while !holds() {
        assert!(started.elapsed() < within, "not within {within:?}: {what}");
        std::thread::sleep(Duration::from_millis(100));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stage_that_hangs_or_is_killed_leaves_nothing_for_long() {
    let hanging = Server::start();
    let pid = hanging.child.id();
    let endless = "import time; print('up'); time.sleep(299)";
    let id = hanging.submit(endless, 300.0).await;
    hanging.until(&id, |it| it["stdout"]["text"] == "up\n").await;
    assert!(processes(pid) > 0 && !traces(pid).is_empty());
    // While its owner is there, no other stage touches what it has.
    let other = Server::start();
    let id = hanging.submit("print(2)", 20.0).await;
    hanging.until(&id, |it| it["stdout"]["text"] == "2\n").await;
    drop(other);
    hanging.signal(Signal::KILL);
    until("the sandboxes end with their owner", Duration::from_secs(20), || processes(pid) == 0);
    drop(hanging);
    let next = Server::start();
    assert_eq!(traces(pid), [""; 0].map(PathBuf::from), "the next stage takes the rest away");
    assert_eq!(next.run("print(1)").await["stdout"]["text"], "1\n");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_program_ends_when_its_stage_hangs() {
    let hanging = Server::start();
    let id = hanging.submit("import time; print('up'); time.sleep(299)", 8.0).await;
    hanging.until(&id, |it| it["stdout"]["text"] == "up\n").await;
    // The pool has its own: nothing is to start any more.
    tokio::time::sleep(Duration::from_secs(4)).await;
    hanging.signal(Signal::STOP);
    let all = processes(hanging.child.id());
    // Its supervisor counts the time for its start, the program's own, and a little.
    until("its supervisor ends it", Duration::from_mins(1), || processes(hanging.child.id()) < all);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stage_that_is_asked_to_end_leaves_nothing() {
    let mut server = Server::start();
    let pid = server.child.id();
    let id = server.submit("import time; print('up'); time.sleep(60)", 60.0).await;
    server.until(&id, |it| it["stdout"]["text"] == "up\n").await;
    server.signal(Signal::TERM);
    assert!(server.child.wait().unwrap().success());
    assert_eq!((processes(pid), traces(pid)), (0, Vec::new()));
}

/// On a machine without Docker: its socket and its programs are out of sight.
#[test]
fn no_docker_is_needed() {
    let hide = "mount -t tmpfs none /run && ! docker version >/dev/null 2>&1 && exec \"$0\" run -";
    let child = Command::new("unshare")
        .args(["--mount", "sh", "-c", hide, BINARY])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn();
    let mut child = child.unwrap();
    std::io::Write::write_all(&mut child.stdin.take().unwrap(), b"print(6 * 7)").unwrap();
    let ended = child.wait_with_output().unwrap();
    let said = String::from_utf8_lossy(&ended.stderr).into_owned();
    assert_eq!((ended.status.code(), ended.stdout.as_slice()), (Some(0), &b"42\n"[..]), "{said}");
    assert!(said.contains("in gvisor/runsc"), "{said}");
}
