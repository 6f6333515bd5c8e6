//! The server is killed while a sandbox executes.

use std::path::Path;
use std::time::Duration;

use serde_json::json;

use super::{Sandbox, launch};

/// The processes below `root` now: the other half of the server, and all of its sandboxes.
fn descendants(root: u32) -> Vec<u32> {
    let parent_of = |pid: u32| -> Option<u32> {
        let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
        stat.rsplit_once(") ")?.1.split(' ').nth(1)?.parse().ok()
    };
    let all = std::fs::read_dir("/proc").unwrap().filter_map(Result::ok);
    let all: Vec<u32> = all.filter_map(|entry| entry.file_name().to_str()?.parse().ok()).collect();
    let is_below = |pid: &u32| {
        let parents = std::iter::successors(parent_of(*pid), |pid| parent_of(*pid));
        parents.take(20).any(|parent| parent == root)
    };
    all.into_iter().filter(is_below).collect()
}

/// How many of these processes are left.
fn left(pids: &[u32]) -> usize {
    let is_left = |pid: &&u32| Path::new(&format!("/proc/{pid}")).exists();
    pids.iter().filter(is_left).count()
}

#[tokio::test]
async fn after_a_kill_nothing_is_left_and_the_next_server_says_so() {
    let directory = tempfile::tempdir().unwrap();
    let server = launch(directory.path()).start();
    let client = server.client();
    let sandbox = Sandbox::open(&client, json!({ "labels": { "crash": "1" } })).await;
    let output = json!({ "argv": ["sh", "-c", "head -c 1000000 /dev/zero; sleep 300"] });
    sandbox.detach("run", output).await;
    let written = sandbox.get("/execs/run/stdout?offset=999999&wait_seconds=60").await;
    assert_eq!(written.body.len(), 1, "{written:?}");
    let outputs = directory.path().join("data/sandboxes").join(&sandbox.id);
    assert!(outputs.exists(), "a large output is a file");
    let (id, processes) = (sandbox.id.clone(), descendants(server.pid()));
    assert!(processes.len() > 3, "a server, a sandbox and what is in it: {processes:?}");
    server.kill();
    harness::eventually("nothing is left", Duration::from_mins(1), || left(&processes) == 0).await;

    let server = launch(directory.path()).start();
    let sandbox = Sandbox { client: server.client(), id };
    let found = sandbox.get("").await.json();
    assert_eq!(
        (&found["status"], &found["end_reason"]),
        (&json!("ended"), &json!("server_restarted"))
    );
    assert_eq!(found["labels"], json!({ "crash": "1" }));
    let gone = sandbox.put("/execs/run", &json!({ "argv": ["true"] })).await;
    assert_eq!((gone.status, &gone.json()["end_reason"]), (410, &json!("server_restarted")));
    assert!(!outputs.exists(), "its output is removed");
    // A program inside that ends all it can see ends its own sandbox alone.
    let [first, second] = [
        Sandbox::open(&sandbox.client, json!({})).await,
        Sandbox::open(&sandbox.client, json!({})).await,
    ];
    let kill = json!({ "argv": ["sh", "-c", "kill -KILL 1; kill -TERM 1; sleep 1; kill -KILL -1"], "user": "root", "timeout_seconds": 20 });
    first.exec("kill", &kill).await;
    assert_eq!(second.sh("on", "echo on").await, "on\n");
    let removed = first.client.delete(&first.path("")).await;
    assert_eq!(removed.status, 200, "{removed:?}");
    assert_eq!(server.stop(), Some(0));
}
