//! The real processes: what the API process may do, and how either ends with the other.

use std::fs;
use std::time::Duration;

use harness::{Server, Signal, eventually, launch};
use rustix::process::{Pid, kill_process, test_kill_process};

use crate::http::OPEN;

const EXIT_TIMEOUT: Duration = Duration::from_secs(20);
const ENDLESS: &str = "import time\nprint('on', flush=True)\ntime.sleep(60)";

/// A server with gVisor, and its API process.
fn gvisor() -> (Server, Pid) {
    let server = launch!("--workers", "2", "--warm-sandboxes", "1").start();
    let api = api_process(&server);
    (server, api)
}

fn open() -> (Server, Pid) {
    let server = launch!().args(OPEN).start();
    let api = api_process(&server);
    (server, api)
}

/// The child of the command that is the same binary.
fn api_process(server: &Server) -> Pid {
    children(server.pid())
        .into_iter()
        .find(|pid| {
            fs::read_to_string(format!("/proc/{pid}/comm"))
                .is_ok_and(|name| name == "crucible-api\n")
        })
        .and_then(|pid| Pid::from_raw(pid.try_into().unwrap()))
        .expect("an API process")
}

fn children(of: u32) -> Vec<u32> {
    let tasks = fs::read_dir(format!("/proc/{of}/task")).unwrap();
    let lists = tasks.map(|task| fs::read_to_string(task.unwrap().path().join("children")));
    let lists: Vec<String> = lists.map(Result::unwrap_or_default).collect();
    lists.iter().flat_map(|list| list.split_whitespace()).map(|pid| pid.parse().unwrap()).collect()
}

/// A line of `/proc/PID/status`.
fn status(pid: impl std::fmt::Display, name: &str) -> String {
    let text = fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
    line.unwrap_or_else(|| panic!("{name} in {text}")).trim().to_owned()
}

/// The inodes of a process's sockets.
fn sockets(pid: impl std::fmt::Display) -> Vec<String> {
    let links = fs::read_dir(format!("/proc/{pid}/fd")).unwrap();
    let links = links.filter_map(|link| fs::read_link(link.unwrap().path()).ok());
    let names = links.map(|target| target.to_string_lossy().into_owned());
    names
        .filter_map(|name| Some(name.strip_prefix("socket:[")?.strip_suffix(']')?.to_owned()))
        .collect()
}

/// The inode of the socket that listens on `address`.
fn listener(address: &str) -> String {
    let port: u16 = address.rsplit(':').next().unwrap().parse().unwrap();
    let local = format!("0100007F:{port:04X}");
    let table = fs::read_to_string("/proc/net/tcp").unwrap();
    let rows = table.lines().map(|line| line.split_whitespace().collect::<Vec<_>>());
    let row = rows.into_iter().find(|row| row[1] == local && row[3] == "0A");
    row.expect("a listener")[9].to_owned()
}

fn has_exited(pid: Pid) -> bool {
    test_kill_process(pid).is_err()
}

/// Whether the user of `pid`, without rights, can open a path.
fn can_open(pid: Pid, path: &str) -> bool {
    let id = status(pid, "Uid").split_whitespace().next().unwrap().to_owned();
    let opened = std::process::Command::new("setpriv")
        .args(["--reuid", &id, "--regid", &id, "--clear-groups", "--no-new-privs"])
        .args(["test", "-r", path])
        .status();
    opened.unwrap().success()
}

#[tokio::test]
async fn the_api_process_has_no_rights() {
    let (server, api) = gvisor();
    assert_eq!(server.client().run("print(6 * 7)").await["stdout"]["text"], "42\n");
    let listener = listener(server.address());
    assert!(sockets(api).contains(&listener), "the API process listens");
    assert!(!sockets(server.pid()).contains(&listener), "the engine host does not");
    for ids in ["Uid", "Gid"] {
        let ids = status(api, ids);
        let ids: Vec<_> = ids.split_whitespace().collect();
        assert!(ids.iter().all(|id| !["0", "65534"].contains(id) && *id == ids[0]), "{ids:?}");
    }
    for capabilities in ["CapInh", "CapPrm", "CapEff", "CapAmb"] {
        assert_eq!(status(api, capabilities), "0000000000000000", "{capabilities}");
    }
    assert_eq!(status(api, "Groups"), "");
    assert_eq!(status(api, "NoNewPrivs"), "1");
    assert_eq!(status(server.pid(), "Uid").split_whitespace().next(), Some("0"));

    assert!(can_open(api, "/etc/passwd"), "the check itself works");
    let states: Vec<_> =
        fs::read_dir("/var/lib/crucible").unwrap().map(|entry| entry.unwrap().path()).collect();
    let instance = states.iter().find(|path| path.to_string_lossy().contains("/runsc-"));
    let instance = instance.expect("the instance's directory").to_str().unwrap();
    for path in [
        instance,
        "/etc/shadow",
        "/var/run/docker.sock",
        &format!("/proc/{}/environ", server.pid()),
    ] {
        assert!(!can_open(api, path), "{path}");
    }
    assert_eq!(server.stop(), Some(0));
    assert!(has_exited(api));
}

#[tokio::test]
async fn another_user_can_be_chosen_but_not_root() {
    let server = launch!("--api-user", "4242").args(OPEN).start();
    assert_eq!(status(api_process(&server), "Uid"), "4242\t4242\t4242\t4242");
    for user in ["0", "root", "nobody", "no-such-user"] {
        let refused = launch!("--api-user", user).args(OPEN).try_start().unwrap_err().to_string();
        assert!(refused.contains("--api-user"), "{refused}");
    }
}

#[tokio::test]
async fn a_single_process_serves_as_well() {
    let server = launch!("--single-process").args(OPEN).start();
    assert!(sockets(server.pid()).contains(&listener(server.address())));
    assert_eq!(server.client().run("print(1)").await["stdout"]["text"], "1\n");
    assert_eq!(children(server.pid()), [0; 0]);
    assert_eq!(server.stop(), Some(0));
}

#[tokio::test]
async fn a_killed_api_process_leaves_no_sandbox() {
    let (mut server, api) = gvisor();
    let client = server.client();
    let id = client.submit_code(ENDLESS).await;
    client.wait_for_status(&id, "running").await;
    let sandboxes = children(server.pid());
    assert!(sandboxes.len() > 1, "{sandboxes:?}");
    kill_process(api, Signal::KILL).unwrap();
    assert_eq!(server.exit_code(EXIT_TIMEOUT), Some(1), "{}", server.stderr());
    for pid in sandboxes {
        assert!(!fs::exists(format!("/proc/{pid}")).unwrap(), "{pid} is left");
    }
}

/// Several times: the API process is told by the end of its socket, and has to report the last event
/// before it ends its streams.
#[tokio::test]
async fn a_killed_engine_host_is_the_end_of_its_api_process() {
    for _ in 0..5 {
        let (server, api) = gvisor();
        let client = server.client();
        let id = client.submit_code(ENDLESS).await;
        client.wait_for_status(&id, "running").await;
        let events = client.events(&id).await;
        server.kill();
        let rest = events.rest().await;
        let last = rest.last().expect("an end");
        assert_eq!(last.data()["outcome"], "worker_lost", "{rest:?}");
        eventually("the API process exits", EXIT_TIMEOUT, || has_exited(api)).await;
    }
}

#[tokio::test]
async fn one_signal_drains_and_a_second_one_stops_at_once() {
    for signal in [Signal::INT, Signal::TERM] {
        let mut server = launch!("--drain-seconds", "20").args(OPEN).start();
        let api = api_process(&server);
        let client = server.client();
        let id = client.submit_code(ENDLESS).await;
        client.wait_for_status(&id, "running").await;
        server.signal(signal);
        eventually("it drains", EXIT_TIMEOUT, || server.stderr().contains("shutting down")).await;
        assert!(!has_exited(api));
        server.signal(signal);
        assert_eq!(server.exit_code(EXIT_TIMEOUT), Some(130), "{}", server.stderr());
        assert!(has_exited(api));
    }
    let (server, api) = open();
    assert_ne!(rustix::process::getpgid(Some(api)).unwrap(), rustix::process::getpgrp());
    assert_eq!(server.stop(), Some(0));
}

#[tokio::test]
async fn an_api_process_that_ignores_signals_is_killed() {
    let (mut server, api) = open();
    kill_process(api, Signal::STOP).unwrap();
    server.signal(Signal::TERM);
    tokio::time::sleep(Duration::from_millis(500)).await;
    assert!(!has_exited(api));
    server.signal(Signal::TERM);
    assert_eq!(server.exit_code(EXIT_TIMEOUT), Some(1), "{}", server.stderr());
    assert!(has_exited(api));
}

#[test]
fn the_variable_of_the_api_process_does_not_work_for_others() {
    let set = launch!().args(OPEN).env("CRUCIBLE_API_PROCESS", "1").try_start();
    let error = set.unwrap_err().to_string();
    assert!(error.contains("no socket"), "{error}");
}
