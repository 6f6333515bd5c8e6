//! Webhooks of the stage as a process.

use std::path::Path;
use std::time::Duration;

use harness::{Client, Launch};
use serde_json::{Value, json};

use crate::receiver::{HANG, Receiver, Verifying};
use crate::stage;

const LAST_TYPES: [&str; 2] = ["evaluation.completed", "evaluation.failed"];
const ALLOW: [&str; 2] = ["--webhook-allow", "127.0.0.1/32"];

pub(crate) fn on(directory: &Path) -> Launch {
    stage::on(directory).args(ALLOW)
}

pub(crate) async fn create(client: &Client, url: &str, events: &[&str]) -> Value {
    let response = client.post("/webhooks", &json!({ "url": url, "events": events })).await;
    assert_eq!(response.status, 201, "{response:?}");
    response.json()
}

async fn get(client: &Client, webhook: &Value) -> Value {
    client.get(&format!("/webhooks/{}", webhook["id"].as_str().unwrap())).await.json()
}

/// Waits until a webhook has these numbers.
pub(crate) async fn counts(client: &Client, webhook: &Value, name: &str, count: u64) {
    let is_there = async || (get(client, webhook).await[name] == count).then_some(());
    harness::eventually_some(name, Duration::from_mins(1), is_there).await;
}

#[tokio::test]
async fn a_receiver_with_another_library_verifies_each_signature() {
    let directory = tempfile::tempdir().unwrap();
    let (secret, log) = (directory.path().join("secret"), directory.path().join("log"));
    let receiver = Verifying::start(&secret, &log, &[]);
    let server = on(&directory.path().join("data")).start();
    let client = server.client();
    let webhook = create(&client, &receiver.url, &["evaluation.completed"]).await;
    let old = webhook["secret"].as_str().unwrap();
    std::fs::write(&secret, old).unwrap();
    client.run("print('é')").await;
    counts(&client, &webhook, "delivered", 1).await;
    // From now on each message has two signatures, and either secret verifies it.
    let path = format!("/webhooks/{}/rotate", webhook["id"].as_str().unwrap());
    let rotated: Value = client.post(&path, &json!({})).await.json();
    let new = rotated["secret"].as_str().unwrap();
    assert_ne!(new, old);
    client.run("print(1)").await;
    counts(&client, &webhook, "delivered", 2).await;
    std::fs::write(&secret, new).unwrap();
    client.run("print(2)").await;
    counts(&client, &webhook, "delivered", 3).await;
    // A receiver that verifies nothing would have accepted these as well.
    std::fs::write(&secret, "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw").unwrap();
    client.run("print(3)").await;
    let lines = || std::fs::read_to_string(&log).unwrap();
    harness::eventually("a forged one is refused", Duration::from_mins(1), || {
        lines().contains("No matching signature found")
    })
    .await;
    assert_eq!(lines().matches(r#""type": "evaluation.completed""#).count(), 3, "{}", lines());
    let shown = get(&client, &webhook).await;
    assert!(shown.get("secret").is_none() && !shown.to_string().contains("whsec_"), "{shown}");
}

#[tokio::test]
async fn killed_at_any_moment_each_event_is_sent_at_least_once() {
    let directory = tempfile::tempdir().unwrap();
    let receiver = Receiver::start(503).await;
    let (mut submitted, mut webhook) = (Vec::new(), Value::Null);
    // Three lives: a receiver that refuses has a delivery wait for twice as long each time.
    for round in 0..3 {
        let server = on(directory.path()).start();
        let client = server.client();
        if round == 0 {
            webhook = create(&client, &receiver.url, &LAST_TYPES).await;
        }
        for number in 0..5 {
            submitted.push(client.submit_code(&format!("print({number})")).await);
        }
        tokio::time::sleep(Duration::from_millis(150 * round)).await;
        if round == 1 {
            receiver.set_status(204);
        }
        server.kill();
    }
    let server = on(directory.path()).start();
    for id in &submitted {
        harness::eventually("each end is delivered", Duration::from_mins(2), || {
            receiver.subjects().contains(id)
        })
        .await;
    }
    counts(&server.client(), &webhook, "waiting", 0).await;
    // The same event has the same id, and another event another.
    let mut ids = std::collections::HashMap::new();
    for one in receiver.received() {
        let event = one.event["id"].as_str().unwrap().to_owned();
        assert_eq!(ids.entry(one.id.clone()).or_insert_with(|| event.clone()), &event);
    }
    assert!(ids.len() >= submitted.len(), "{ids:?}");
}

#[tokio::test]
async fn what_is_not_delivered_in_time_is_parked_and_can_be_sent_again() {
    let directory = tempfile::tempdir().unwrap();
    let receiver = Receiver::start(500).await;
    let server = on(directory.path()).args(["--webhook-retry-seconds", "0"]).start();
    let client = server.client();
    let webhook = create(&client, &receiver.url, &LAST_TYPES).await;
    for number in 0..3 {
        client.run(&format!("print({number})")).await;
    }
    counts(&client, &webhook, "parked", 3).await;
    let path = format!("/webhooks/{}", webhook["id"].as_str().unwrap());
    let first: Value = client.get(&format!("{path}/deliveries?limit=2")).await.json();
    let cursor = first["next_cursor"].as_u64().unwrap();
    let rest: Value = client.get(&format!("{path}/deliveries?cursor={cursor}")).await.json();
    assert_eq!(
        (first["items"].as_array().unwrap().len(), rest["next_cursor"].is_null()),
        (2, true)
    );
    let one = &rest["items"][0];
    assert_eq!((&one["state"], &one["attempts"]), (&json!("parked"), &json!(1)), "{one}");
    assert!(one["error"].as_str().unwrap().contains("500"), "{one}");
    receiver.set_status(200);
    let again: Value = client.post(&format!("{path}/redeliver"), &json!({})).await.json();
    assert_eq!(again["redelivered"], 3);
    counts(&client, &webhook, "delivered", 3).await;
    let empty: Value = client.get(&format!("{path}/deliveries")).await.json();
    assert_eq!(empty, json!({ "items": [], "next_cursor": null }));
    let metrics = client.get("/metrics").await.text();
    for line in [
        "crucible_webhook_attempts_total{result=\"delivered\"} 3",
        "crucible_webhook_attempts_total{result=\"parked\"} 3",
        "crucible_bus_failures_total{subscriber=\"webhooks\"} 0",
    ] {
        assert!(metrics.contains(line), "{line}: {metrics}");
    }
    // 410 means that the receiver is gone: not even one more attempt is made.
    receiver.set_status(410);
    client.run("print('gone')").await;
    counts(&client, &webhook, "parked", 1).await;
    assert_eq!(client.delete(&path).await.status, 200);
    assert_eq!(client.get(&path).await.status, 404);
    assert_eq!(client.delete(&path).await.status, 404);
}

#[tokio::test]
async fn a_receiver_that_hangs_holds_up_no_other() {
    let directory = tempfile::tempdir().unwrap();
    let (hanging, quick) = (Receiver::start(HANG).await, Receiver::start(200).await);
    let server = on(directory.path()).start();
    let client = server.client();
    create(&client, &hanging.url, &["*"]).await;
    let webhook = create(&client, &quick.url, &LAST_TYPES).await;
    for number in 0..20 {
        client.run(&format!("print({number})")).await;
    }
    counts(&client, &webhook, "delivered", 20).await;
    // A request of the one that hangs ends after 15 seconds, and there were never more than these.
    let distinct: std::collections::HashSet<_> =
        hanging.received().into_iter().map(|one| one.id).collect();
    assert!(!distinct.is_empty() && server.stop() == Some(0));
}

#[tokio::test]
async fn special_addresses_and_unknown_events_are_refused() {
    let directory = tempfile::tempdir().unwrap();
    let server = stage::start(directory.path());
    let client = server.client();
    for (url, events, expected) in [
        ("https://127.0.0.1/", "*", "special addresses"),
        ("https://169.254.169.254/latest/meta-data", "*", "special addresses"),
        ("https://[::ffff:10.0.0.1]/", "*", "special addresses"),
        ("http://example.org/", "*", "begins with https://"),
        ("https://user@example.org/", "*", "no user"),
        ("https://example.org/", "evaluation.done", "no event has the type"),
    ] {
        let body = json!({ "url": url, "events": [events] });
        let response = client.post("/webhooks", &body).await;
        assert_eq!(response.status, 400, "{url}: {response:?}");
        assert!(response.text().contains(expected), "{url}: {}", response.text());
    }
    // localhost is a name: it is refused where it would be connected to.
    let webhook = create(&client, "https://localhost/", &LAST_TYPES).await;
    client.run("print(1)").await;
    counts(&client, &webhook, "parked", 1).await;
    let path = format!("/webhooks/{}/deliveries", webhook["id"].as_str().unwrap());
    let parked: Value = client.get(&path).await.json();
    let error = parked["items"][0]["error"].as_str().unwrap();
    assert!(error.contains("special addresses"), "{error}");
    for _ in 1..20 {
        create(&client, "https://example.org/", &LAST_TYPES).await;
    }
    let body = json!({ "url": "https://example.org/", "events": ["*"] });
    assert_eq!(client.post("/webhooks", &body).await.status, 409);
}
