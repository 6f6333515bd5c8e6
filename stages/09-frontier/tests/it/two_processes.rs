//! The stage as two processes: the engine host ends alone, and commands of root change the database
//! beside the API process, which has no rights.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::time::Duration;

use harness::{Client, EventStream, Launch, Server};
use serde_json::{Value, json};

use crate::stage;

const EXIT_TIMEOUT: Duration = Duration::from_mins(2);

/// The stage in two processes, without isolation.
fn on(directory: &Path) -> Launch {
    Launch::new(stage::BINARY)
        .args(["--engine", "subprocess", "--unsafe", "--strict-contract", "--workers", "2"])
        .args(["--drain-seconds", "5", "--self-test-seconds", "3600", "--data-dir"])
        .arg(directory.join("data"))
}

/// A directory that the process without rights can reach.
fn directory() -> tempfile::TempDir {
    let directory = tempfile::tempdir().unwrap();
    fs::set_permissions(directory.path(), fs::Permissions::from_mode(0o755)).unwrap();
    directory
}

/// The first command of the chapter: root starts the stage, and names no directory.
#[tokio::test]
async fn both_processes_have_the_same_default_data_directory() {
    let script = "mount -t tmpfs none /var/lib && exec \"$@\"";
    let wrapper = ["unshare", "--mount", "sh", "-c", script, "sh"];
    let server = Launch::new(stage::BINARY)
        .args(["--engine", "subprocess", "--unsafe", "--drain-seconds", "5"])
        .with_wrapper(wrapper.map(Into::into).to_vec())
        .start();
    let ended = server.client().run("print(1)").await;
    assert_eq!(ended["outcome"], "exited", "{ended}");
    let inside = format!("/proc/{}/root/var/lib/crucible/data/crucible.db", server.pid());
    assert!(Path::new(&inside).is_file(), "{inside}");
    assert_eq!(server.stop(), Some(0));
}

fn api_process(of: &Server) -> u32 {
    let tasks = fs::read_dir(format!("/proc/{}/task", of.pid())).unwrap();
    let lists = tasks.map(|task| fs::read_to_string(task.unwrap().path().join("children")));
    let lists: Vec<String> = lists.map(Result::unwrap_or_default).collect();
    let mut children = lists.iter().flat_map(|list| list.split_whitespace());
    let is_api = |pid: &&str| {
        fs::read_to_string(format!("/proc/{pid}/comm")).is_ok_and(|name| name == "crucible-api\n")
    };
    children.find(is_api).expect("an API process").parse().unwrap()
}

/// Kills the engine host, and returns when the API process has exited by itself.
async fn kill_host(server: Server) {
    let process = format!("/proc/{}", api_process(&server));
    server.kill();
    harness::eventually("the API process exits", EXIT_TIMEOUT, || !Path::new(&process).exists())
        .await;
}

/// Prints, and runs until `release` exists.
fn waits_for(release: &Path) -> String {
    format!(
        "import os, time\nprint('out', flush=True)\nwhile not os.path.exists('{}'):\n    time.sleep(0.05)",
        release.display()
    )
}

async fn has_printed(client: &Client, id: &str, attempt: u64) {
    let printed = |one: &Value| one["attempt"] == attempt && one["stdout"]["bytes_total"] == 4;
    client.wait_until(id, "its output", printed).await;
}

fn attempts(directory: &Path, id: &str) -> Vec<(u32, Option<String>)> {
    let database = rusqlite::Connection::open(directory.join("data/crucible.db")).unwrap();
    let mut select = database
        .prepare(
            "SELECT attempt, outcome FROM attempts WHERE hex(evaluation) = ?1 ORDER BY attempt",
        )
        .unwrap();
    let id = id.replace('-', "").to_uppercase();
    select
        .query_map([id], |row| Ok((row.get(0)?, row.get(1)?)))
        .unwrap()
        .map(Result::unwrap)
        .collect()
}

#[tokio::test]
async fn without_its_engine_host_what_ran_is_lost_or_queued_again_and_what_waits_waits() {
    let directory = directory();
    let release = directory.path().join("release");
    let server = on(directory.path()).start();
    let client = server.client();
    let code = waits_for(&release);
    let once = client.submit(&json!({ "code": code, "max_attempts": 1 })).await;
    let again = client.submit(&json!({ "code": code, "max_attempts": 3 })).await;
    for id in [&once, &again] {
        has_printed(&client, id, 1).await;
    }
    let mut waiting = Vec::new();
    for number in 0..5 {
        waiting.push(client.submit_code(&format!("print({number})")).await);
    }
    kill_host(server).await;

    // Durable before any other start decides about it.
    let lost = || Some("worker_lost".to_owned());
    assert_eq!(attempts(directory.path(), &again), [(1, lost())]);
    let server = on(directory.path()).start();
    let client = server.client();
    let ended = client.wait(&once).await;
    assert_eq!((&ended["status"], &ended["outcome"]), (&json!("failed"), &json!("worker_lost")));
    assert_eq!(ended["evidence"]["decided_by"], "engine_host", "{ended}");
    assert_eq!((&ended["attempt"], &ended["stdout"]["text"]), (&json!(1), &json!("out\n")));
    for (number, id) in waiting.iter().enumerate() {
        let ended = client.wait(id).await;
        assert_eq!(ended["stdout"]["text"], format!("{number}\n"), "{ended}");
        assert_eq!(ended["attempt"], 1, "it had never started: {ended}");
    }
    has_printed(&client, &again, 2).await;
    kill_host(server).await;

    assert_eq!(attempts(directory.path(), &again), [(1, lost()), (2, lost())]);
    let server = on(directory.path()).start();
    let client = server.client();
    has_printed(&client, &again, 3).await;
    fs::write(&release, "").unwrap();
    let ended = client.wait(&again).await;
    assert_eq!((&ended["outcome"], &ended["attempt"]), (&json!("exited"), &json!(3)), "{ended}");
    assert_eq!(ended["stdout"]["text"], "out\n");
    let all = [(1, lost()), (2, lost()), (3, Some("exited".to_owned()))];
    assert_eq!(attempts(directory.path(), &again), all);
    assert_eq!(kinds(&client, &once).await, ["queued", "started", "progress", "failed"]);
    let attempt = ["queued", "started", "progress"];
    let expected: Vec<_> = attempt.into_iter().cycle().take(9).chain(["completed"]).collect();
    assert_eq!(kinds(&client, &again).await, expected);
}

async fn kinds(client: &Client, id: &str) -> Vec<String> {
    let mut events = EventStream::new(client.open(&format!("/eval/{id}/events")).await);
    let (mut kinds, mut last) = (Vec::new(), 0);
    while let Some(event) = events.next().await {
        assert!(event.sequence > last, "{} after {last}", event.sequence);
        last = event.sequence;
        kinds.push(event.kind.replace("evaluation.", ""));
    }
    kinds.dedup();
    kinds
}

#[tokio::test]
async fn the_last_attempt_that_is_lost_is_the_end() {
    let directory = directory();
    let release = directory.path().join("release");
    let mut server = on(directory.path()).start();
    let id =
        server.client().submit(&json!({ "code": waits_for(&release), "max_attempts": 2 })).await;
    for attempt in [1, 2] {
        has_printed(&server.client(), &id, attempt).await;
        kill_host(server).await;
        server = on(directory.path()).start();
    }
    fs::write(&release, "").unwrap();
    let ended = server.client().wait(&id).await;
    assert_eq!((&ended["outcome"], &ended["attempt"]), (&json!("worker_lost"), &json!(2)));
}

#[tokio::test]
async fn a_key_that_root_makes_or_revokes_beside_the_server_counts_from_then_on() {
    let directory = directory();
    let command = |arguments: &[&str]| {
        let mut command = std::process::Command::new(stage::BINARY);
        let data = directory.path().join("data");
        let output = command.args(arguments).arg("--data-dir").arg(data).output().unwrap();
        assert!(output.status.success(), "{arguments:?}: {output:?}");
        String::from_utf8(output.stdout).unwrap().trim().to_owned()
    };
    let create = |name: &str| {
        command(&["keys", "create", "--name", name, "--scope", "submit", "--scope", "read"])
    };
    let first = create("first");
    let server = on(directory.path()).start();
    let first = server.client().with_key(&first);
    for number in 0..3 {
        let key = create(&format!("key-{number}"));
        let client = server.client().with_key(&key);
        // The process without rights reads what root has written, and still writes beside it.
        assert_eq!(client.run("print(1)").await["stdout"]["text"], "1\n");
        assert_eq!(first.run("print(2)").await["stdout"]["text"], "2\n");
        let list = command(&["keys", "list"]);
        let line = list.lines().find(|line| line.ends_with(&format!("\tkey-{number}"))).unwrap();
        command(&["keys", "revoke", line.split('\t').next().unwrap()]);
        // The server reads a key again after a second.
        harness::eventually_some("it is revoked", Duration::from_mins(1), async || {
            (client.get("/queue").await.status == 401).then_some(())
        })
        .await;
        assert_eq!(first.get("/queue").await.status, 200);
    }
    assert_eq!(server.stop(), Some(0));
}
