//! Clients, the function, the queue and workers, all of them processes.

use std::collections::{BTreeMap, HashSet};
use std::time::Duration;

use harness::eventually_some;
use serde_json::json;

use super::site::{EVENT_TIMEOUT, Site, UNSANDBOXED};

/// Evaluations that are submitted at once, each of which has to end once. `just cloud-many` has ten times as many.
const EVALUATION_COUNT: usize = if cfg!(feature = "figures") { 2_000 } else { 200 };
/// Requests of clients at the same time.
const CLIENT_COUNT: usize = 8;
/// How often the queue is looked at, and swept. Each sweep reads what waits, from the process that has the table.
const SWEEP_INTERVAL: Duration = Duration::from_secs(1);
/// How long all of them may take.
const MANY_TIMEOUT: Duration = Duration::from_secs(EVALUATION_COUNT as u64);

/// Workers with real sandboxes.
const GVISOR: [&str; 0] = [];

#[tokio::test(flavor = "multi_thread")]
async fn every_evaluation_runs_once_in_a_sandbox() {
    let site = Site::with(3, &GVISOR, 10).await;
    let _guard = site.worker("worker");
    let code =
        "print(open('/proc/version').read().split()[0])\nopen('/output/a.txt', 'w').write('left')";
    let id = site.client.submit_code(code).await;
    let ended = site.client.wait(&id).await;
    assert_eq!(
        (&ended["outcome"], &ended["sandbox"]["engine"]),
        (&json!("exited"), &json!("gvisor")),
        "{ended}"
    );
    let file = site.client.get(&format!("/eval/{id}/artifacts/0")).await;
    assert_eq!((file.status, file.text().as_str()), (200, "left"), "{ended}");
    accounted(&site).await;
}

/// Submits many programs at once: each ends once, with its own output.
async fn accounted(site: &Site) {
    use futures_util::{StreamExt as _, stream};
    let submitting = stream::iter(0..EVALUATION_COUNT).map(|number| async move {
        let id = site.client.submit_code(&format!("print({number})")).await;
        (id, format!("{number}\n"))
    });
    let expected: BTreeMap<String, String> =
        submitting.buffer_unordered(CLIENT_COUNT).collect().await;
    assert_eq!(expected.len(), EVALUATION_COUNT, "each has an id of its own");
    eventually_some("an empty queue", MANY_TIMEOUT, async || {
        tokio::time::sleep(SWEEP_INTERVAL).await;
        site.front.sweep().await;
        let queue = site.client.get("/queue").await.json();
        (queue["depth"] == 0 && queue["workers_busy"] == 0).then_some(())
    })
    .await;
    let (mut seen, mut cursor) = (HashSet::new(), String::new());
    loop {
        let page = site.client.get(&format!("/eval?limit=100{cursor}")).await.json();
        for one in page["items"].as_array().unwrap() {
            let id = one["id"].as_str().unwrap().to_owned();
            if let Some(output) = expected.get(&id) {
                assert_eq!(
                    (&one["status"], &one["attempt"]),
                    (&json!("completed"), &json!(1)),
                    "{one}"
                );
                assert_eq!(one["stdout"]["text"], json!(output));
                assert!(seen.insert(id), "twice in the list: {one}");
            }
        }
        let Some(next) = page["next_cursor"].as_str() else { break };
        cursor = format!("&cursor={next}");
    }
    assert_eq!(seen.len(), EVALUATION_COUNT);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_killed_worker_and_a_poisoned_message() {
    let site = Site::with(3, &UNSANDBOXED, 4).await;
    let first = site.worker("first");
    let release = site.path("release");
    let code = format!(
        "import os, time\nprint('out', flush=True)\nwhile not os.path.exists('{}'):\n    time.sleep(0.05)",
        release.display()
    );
    let id = site.client.submit(&json!({ "code": code, "max_attempts": 3 })).await;
    let printed = async |attempt: u64| {
        eventually_some("its output", EVENT_TIMEOUT, async || {
            site.front.sweep().await;
            let now = site.client.evaluation(&id).await;
            (now["attempt"] == attempt && now["stdout"]["text"] == "out\n").then_some(())
        })
        .await;
    };
    printed(1).await;
    first.kill();
    let second = site.worker("second");
    printed(2).await;

    // What is no ticket is put aside, and the worker goes on.
    let queue = site.queue_url("cloud-queue-python").await;
    site.sqs("SendMessage", json!({ "QueueUrl": queue, "MessageBody": "{\"poison\": 1}" })).await;
    eventually_some("the dead letter", EVENT_TIMEOUT, async || {
        site.dead(&["list"]).contains("no ticket").then_some(())
    })
    .await;
    let cancelled = site.client.submit_code("import time; time.sleep(60)").await;
    site.client.wait_for_status(&cancelled, "running").await;
    assert!(matches!(site.client.delete(&format!("/eval/{cancelled}")).await.status, 200 | 202));
    assert_eq!(site.client.wait(&cancelled).await["status"], "cancelled");

    std::fs::write(&release, "").unwrap();
    let ended = site.client.wait(&id).await;
    assert_eq!((&ended["outcome"], &ended["attempt"]), (&json!("exited"), &json!(2)), "{ended}");

    // A ticket that is delivered too often becomes a dead letter, and goes back by the operator's command. No sweep
    // runs meanwhile, so that it is this ticket that the worker gets.
    drop(second);
    let id = site.client.submit_code("print('back')").await;
    let receive = json!({ "QueueUrl": queue, "VisibilityTimeout": 0, "MaxNumberOfMessages": 1 });
    let letter = eventually_some("the dead letter", EVENT_TIMEOUT, async || {
        site.sqs("ReceiveMessage", receive.clone()).await;
        let list = site.dead(&["list"]);
        let line = list.lines().find(|line| line.contains(&id))?.to_owned();
        Some(line.split_whitespace().next()?.to_owned())
    })
    .await;
    let _guard = site.worker("third");
    site.dead(&["requeue", &letter]);
    let ended = site.client.wait(&id).await;
    assert_eq!(ended["stdout"]["text"], "back\n", "{ended}");
}
