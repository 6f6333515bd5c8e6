//! The history of events over HTTP.

use std::collections::BTreeSet;
use std::time::Duration;

use harness::{Client, eventually_some};
use serde_json::{Value, json};
use shared::EventType;

use crate::stage;
use crate::tenants::key;

const TIMEOUT: Duration = Duration::from_mins(1);

/// All events of a query, in pages of `limit`.
async fn history(client: &Client, query: &str, limit: usize) -> Vec<Value> {
    let (mut events, mut cursor) = (Vec::new(), String::new());
    loop {
        let path = format!("/events/history?limit={limit}{query}{cursor}");
        let response = client.get(&path).await;
        assert_eq!(response.status, 200, "{path}: {response:?}");
        let page: Value = response.json();
        let items = page["items"].as_array().unwrap();
        assert!(items.len() <= limit, "{page}");
        events.extend(items.iter().cloned());
        let Some(next) = page["next_cursor"].as_u64() else { return events };
        cursor = format!("&cursor={next}");
    }
}

fn types(events: &[Value]) -> Vec<&str> {
    events.iter().map(|event| event["type"].as_str().unwrap()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn each_type_is_published_and_found_by_type_and_by_evaluation() {
    let directory = tempfile::tempdir().unwrap();
    let launch = || stage::on(directory.path()).args(["--storage-entries", "3"]);
    let server = launch().start();
    let client = server.client();
    client.run("pass").await;
    let endless = json!({ "code": "while True: pass", "timeout_seconds": 0.5 });
    let limited = client.eval(&endless).await["id"].as_str().unwrap().to_owned();
    let id = client.submit_code("import time; time.sleep(60)").await;
    client.wait_for_status(&id, "running").await;
    client.delete(&format!("/eval/{id}")).await;
    client.wait(&id).await;
    let printed = client.run("print('found')").await["id"].as_str().unwrap().to_owned();
    let is_deleted = async || {
        let deleted = history(&client, "&type=storage.deleted", 10).await;
        (!deleted.is_empty()).then_some(())
    };
    eventually_some("the first one is deleted", TIMEOUT, is_deleted).await;
    assert_eq!(server.stop(), Some(0));

    // The numbers go on, and so does the history.
    let server = launch().start();
    let client = server.client();
    let is_ready =
        async || (!history(&client, "&type=platform.shutdown", 10).await.is_empty()).then_some(());
    eventually_some("the history of the first life", TIMEOUT, is_ready).await;
    let all = history(&client, "", 7).await;
    let numbers: Vec<u64> =
        all.iter().map(|event| event["id"].as_str().unwrap().parse().unwrap()).collect();
    assert!(numbers.is_sorted_by(|one, next| one < next), "{numbers:?}");
    let published: BTreeSet<_> = types(&all).into_iter().collect();
    let mut expected: BTreeSet<_> = EventType::NAMED.iter().map(EventType::as_str).collect();
    expected.remove("security.violation"); // see `violation`
    assert_eq!(published, expected);
    assert_eq!(history(&client, "&type=*", 100).await, all);

    let exceeded = history(&client, "&type=resource.*", 100).await;
    let [exceeded] = &exceeded[..] else { panic!("{exceeded:?}") };
    assert_eq!(exceeded["subject"], limited);
    assert!(exceeded["data"]["evidence"]["decided_by"].is_string(), "{exceeded}");
    let own = history(&client, &format!("&evaluation={printed}"), 1).await;
    let life = ["queued", "started", "progress", "completed"];
    // What a program prints may arrive in several parts.
    let mut seen = types(&own);
    seen.dedup();
    assert_eq!(seen, life.map(|kind| format!("evaluation.{kind}")));
    let output =
        history(&client, &format!("&evaluation={printed}&type=evaluation.progress"), 1).await;
    let texts = output.iter().filter_map(|event| event["data"]["text"].as_str());
    assert_eq!(texts.collect::<String>(), "found\n", "{output:?}");
    for query in ["type=evaluation.done", "limit=0", "limit=101", "cursor=x", "evaluation=x", "a=b"]
    {
        let response = client.get(&format!("/events/history?{query}")).await;
        assert_eq!(response.status, 400, "{query}: {response:?}");
    }
    assert_eq!(server.stop(), Some(0));
}

#[tokio::test]
async fn a_key_finds_its_own_events_only() {
    let directory = tempfile::tempdir().unwrap();
    let data = directory.path();
    let keys = [
        key(data, "alice", &["submit", "read"]),
        key(data, "mallory", &["read"]),
        key(data, "writer", &["submit"]),
        key(data, "admin", &["admin"]),
    ];
    let server = stage::start(data);
    let [alice, mallory, writer, admin] = keys.map(|key| server.client().with_key(&key));
    let id = alice.run("print('secret')").await["id"].as_str().unwrap().to_owned();
    for (client, sees) in [(&alice, true), (&admin, true), (&mallory, false)] {
        let all = history(client, "", 100).await;
        assert_eq!(all.iter().any(|event| event["subject"] == id), sees, "{all:?}");
        let own = history(client, &format!("&evaluation={id}"), 100).await;
        assert_eq!(!own.is_empty(), sees, "{own:?}");
        assert!(types(&all).contains(&"platform.ready"), "{all:?}");
    }
    let has_workers = |events: &[Value]| types(events).contains(&"queue.worker_started");
    assert!(has_workers(&history(&admin, "", 100).await));
    assert!(!has_workers(&history(&alice, "", 100).await));
    assert_eq!(writer.get("/events/history").await.status, 403);
    assert_eq!(server.client().get("/events/history").await.status, 401);
}
