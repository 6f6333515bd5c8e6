//! The server is killed while a sandbox executes.

use std::path::Path;
use std::time::Duration;

use serde_json::json;

use super::{Sandbox, launch};

/// Processes that have `marker` in their command line, those of gVisor's sandboxes among them.
fn processes(marker: &str) -> usize {
    let is_marked = |pid: &Path| {
        std::fs::read(pid.join("cmdline"))
            .is_ok_and(|line| String::from_utf8_lossy(&line).contains(marker))
    };
    let all = std::fs::read_dir("/proc").unwrap().filter_map(Result::ok);
    all.filter(|entry| is_marked(&entry.path())).count()
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
    assert!(processes(&sandbox.id) > 0, "its processes are found by its id");
    let id = sandbox.id.clone();
    server.kill();
    harness::eventually("nothing is left", Duration::from_secs(60), || processes(&id) == 0).await;

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
