//! Many commands in one sandbox, and many sandboxes at once.

use std::time::Duration;

use futures_util::{StreamExt as _, stream};
use harness::Client;
use serde_json::json;

use super::{Sandbox, launch};

/// How many there are: less in the gate than with `just sandboxes`.
fn number(variable: &str, in_the_gate: usize) -> usize {
    let given = std::env::var(variable).ok();
    given.map_or(in_the_gate, |number| number.parse().unwrap())
}

async fn metric(client: &Client, name: &str) -> u64 {
    let metrics = client.get("/metrics").await.text();
    let line = metrics.lines().find_map(|line| line.strip_prefix(&format!("{name} ")));
    line.unwrap_or_else(|| panic!("{name}: {metrics}")).parse().unwrap()
}

#[tokio::test]
async fn many_commands_leave_nothing_and_many_sandboxes_are_open_at_once() {
    let commands = number("CRUCIBLE_SANDBOX_COMMANDS", 200);
    let sandboxes = number("CRUCIBLE_SANDBOX_COUNT", 4);
    let directory = tempfile::tempdir().unwrap();
    let server =
        launch(directory.path()).args(["--sandboxes", "128", "--key-sandboxes", "128"]).start();
    let client = server.client();
    let sandbox = Sandbox::open(&client, json!({})).await;
    let inside = "ls /proc | grep -c '^[0-9]'; ls /proc/1/fd | wc -l";
    let root = json!({ "argv": ["sh", "-c", inside], "user": "root" });
    let counted = async || {
        let ended = sandbox.exec(&uuid::Uuid::now_v7().to_string(), &root).await;
        let text = ended["stdout"]["text"].as_str().unwrap().to_owned();
        text.split_whitespace().map(|number| number.parse::<u32>().unwrap()).collect::<Vec<_>>()
    };
    let run = async |first: usize, count: usize| {
        let ran = stream::iter(first..first + count).map(async |at| {
            let command = json!({ "argv": ["echo", at.to_string()] });
            let ended = sandbox.exec(&format!("c-{at}"), &command).await;
            assert_eq!(ended["stdout"]["text"], format!("{at}\n"), "{ended}");
        });
        ran.buffer_unordered(8).collect::<Vec<()>>().await;
    };
    // What starts commands stays for the next ones: as many as ever ran at the same time.
    run(0, commands / 4).await;
    let before = counted().await;
    run(commands, commands).await;
    // Processes and descriptors: no more than before, but for one that has just started.
    let same = async || {
        let now = counted().await;
        now.iter().zip(&before).all(|(now, before)| *now <= before + 3).then_some(())
    };
    harness::eventually_some("as before", Duration::from_secs(20), same).await;
    assert!(!directory.path().join("data/sandboxes").exists(), "short outputs need no file");
    assert_eq!(metric(&client, "crucible_sandbox_execs_running").await, 0);

    let opened = stream::iter(0..sandboxes).map(async |at| {
        let sandbox = Sandbox::open(&client, json!({ "labels": { "at": at.to_string() } })).await;
        assert_eq!(sandbox.sh("first", "echo first").await, "first\n");
        sandbox
    });
    let opened: Vec<_> = opened.buffer_unordered(8).collect().await;
    assert_eq!(metric(&client, "crucible_sandboxes_open").await, opened.len() as u64 + 1);
    let removed = stream::iter(&opened).map(async |sandbox| {
        assert_eq!(client.delete(&sandbox.path("")).await.status, 200);
    });
    removed.buffer_unordered(8).collect::<Vec<()>>().await;
    assert_eq!(metric(&client, "crucible_sandboxes_open").await, 1);
}
