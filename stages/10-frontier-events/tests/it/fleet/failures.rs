//! What fails: workers, the API, the broker.

use std::fs;
use std::time::Duration;

use harness::{Client, Signal, eventually_some};
use serde_json::{Value, json};

use super::site::{EVENT_TIMEOUT, Site, has_printed, ready, waits_for, worker_named};
use crate::broker::system::{Moto, Nats};

/// Short, for tests in which a worker is lost.
const SHORT_LEASE: u32 = 4;
const LONG_LEASE: u32 = 60;

async fn twice(client: &Client, code: &str) -> String {
    client.submit(&json!({ "code": code, "max_attempts": 2 })).await
}

/// Waits until the API takes this worker for lost.
async fn is_lost(client: &Client, name: &str) {
    eventually_some(&format!("{name} is lost"), EVENT_TIMEOUT, async || {
        (worker_named(client, name).await["state"] == "lost").then_some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_killed_worker_loses_what_it_ran_or_another_one_runs_it() {
    let nats = Nats::start();
    let site = Site::on_nats(&nats, SHORT_LEASE);
    let (api, one) = (site.api(), site.worker("one"));
    let client = api.client();
    ready(&client, 1).await;
    let code = waits_for(&site.path("release"));
    let (single, again) = (client.submit_code(&code).await, twice(&client, &code).await);
    for id in [&single, &again] {
        has_printed(&client, id, 1).await;
    }
    let two = site.worker("two");
    one.kill();
    let lost = client.wait(&single).await;
    assert_eq!((&lost["outcome"], &lost["attempt"]), (&json!("worker_lost"), &json!(1)), "{lost}");
    assert_eq!(lost["evidence"]["decided_by"], "lease");
    assert_eq!(lost["stdout"]["text"], "out\n");
    has_printed(&client, &again, 2).await;
    assert!(two.log().contains(&again));
    fs::write(site.path("release"), "").unwrap();
    let ended = client.wait(&again).await;
    assert_eq!((&ended["outcome"], &ended["attempt"]), (&json!("exited"), &json!(2)), "{ended}");
    assert_eq!(ended["stdout"]["text"], "out\nend\n");
    let final_kinds = ["evaluation.completed", "evaluation.failed", "evaluation.cancelled"];
    let events = client.events(&again).await.rest().await;
    assert_eq!(events.iter().filter(|event| final_kinds.contains(&event.kind.as_str())).count(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_that_stood_still_cannot_report_and_ends_its_program() {
    let nats = Nats::start();
    let site = Site::on_nats(&nats, SHORT_LEASE);
    let (api, one) = (site.api(), site.worker("one"));
    let client = api.client();
    ready(&client, 1).await;
    // Each run says where it is, and its program ends by itself while its worker stands still.
    let code = format!(
        "import os, time\nprint('out', flush=True)\nopen('{}/' + str(os.getpid()), 'w')\n\
         while not os.path.exists('{}'):\n    time.sleep(0.02)\nprint('late')",
        site.directory.path().display(),
        site.path("release").display()
    );
    let id = twice(&client, &code).await;
    has_printed(&client, &id, 1).await;
    one.signal(Signal::STOP);
    is_lost(&client, "one").await;
    fs::write(site.path("release"), "").unwrap();
    let two = site.worker("two");
    let ended = client.wait(&id).await;
    assert_eq!((&ended["outcome"], &ended["attempt"]), (&json!("exited"), &json!(2)), "{ended}");
    one.signal(Signal::CONT);
    one.has_logged("the session was lost; the result is dropped").await;
    assert!(!one.log().contains("evaluation reported"), "{}", one.log());
    assert_eq!(client.evaluation(&id).await, ended);
    assert!(two.log().contains("evaluation reported"));
    // It goes on as before.
    two.kill();
    assert_eq!(client.run("print(1)").await["stdout"]["text"], "1\n");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_killed_api_goes_on_with_what_waited_and_loses_what_ran() {
    let nats = Nats::start();
    let site = Site::on_nats(&nats, LONG_LEASE);
    let (api, one) = (site.api(), site.worker("one"));
    let client = api.client();
    ready(&client, 1).await;
    let code = waits_for(&site.path("release"));
    let (single, again) = (client.submit_code(&code).await, twice(&client, &code).await);
    for id in [&single, &again] {
        has_printed(&client, id, 1).await;
    }
    let mut waiting = Vec::new();
    for number in 0..10 {
        waiting.push(client.submit_code(&format!("print({number})")).await);
    }
    api.kill();
    let api = site.api();
    let client = api.client();
    one.has_logged("joined the fleet again").await;
    let lost = client.wait(&single).await;
    assert_eq!(
        (&lost["outcome"], &lost["evidence"]["decided_by"]),
        (&json!("worker_lost"), &json!("restart"))
    );
    for (number, id) in waiting.iter().enumerate() {
        let ended = client.wait(id).await;
        assert_eq!(ended["stdout"]["text"], format!("{number}\n"), "{ended}");
        assert_eq!(ended["attempt"], 1, "it had never started: {ended}");
    }
    has_printed(&client, &again, 2).await;
    fs::write(site.path("release"), "").unwrap();
    let ended = client.wait(&again).await;
    assert_eq!((&ended["outcome"], &ended["attempt"]), (&json!("exited"), &json!(2)), "{ended}");
    assert_eq!(one.log().matches("the session was lost; the result is dropped").count(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_broker_that_restarts_or_loses_everything_loses_nothing() {
    let nats = Nats::start();
    let site = Site::on_nats(&nats, LONG_LEASE);
    let (api, _one) = (site.api(), site.worker("one"));
    let client = api.client();
    ready(&client, 1).await;
    let release = site.path("release");
    let running = [
        client.submit_code(&waits_for(&release)).await,
        client.submit_code(&waits_for(&release)).await,
    ];
    for id in &running {
        has_printed(&client, id, 1).await;
    }
    let mut waiting = Vec::new();
    for _ in 0..6 {
        waiting.push(client.submit_code("print('waited')").await);
    }
    nats.0.stop();
    // Accepted while there is no broker.
    waiting.push(client.submit_code("print('waited')").await);
    nats.lose_everything();
    fs::write(&release, "").unwrap();
    for id in &running {
        assert_eq!(client.wait(id).await["outcome"], "exited");
    }
    nats.0.start();
    for id in &waiting {
        let ended = client.wait(id).await;
        assert_eq!((&ended["stdout"]["text"], &ended["attempt"]), (&json!("waited\n"), &json!(1)));
    }
    nats.0.stop();
    nats.0.start();
    assert_eq!(client.run("print(2)").await["stdout"]["text"], "2\n");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_amazon_queue_that_forgets_everything_loses_nothing() {
    let moto = Moto::start();
    let site = Site::on_sqs(&moto, LONG_LEASE);
    let (api, _one) = (site.api(), site.worker("one"));
    let client = api.client();
    ready(&client, 1).await;
    assert_eq!(client.run("print(1)").await["stdout"]["text"], "1\n");
    moto.process.stop();
    let waits = client.submit_code("print(2)").await;
    moto.process.start();
    assert_eq!(client.wait(&waits).await["stdout"]["text"], "2\n");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_waits_for_its_api_and_for_its_broker() {
    let nats = Nats::stopped("");
    let site = Site::on_nats(&nats, LONG_LEASE);
    let worker = site.worker("one");
    worker.has_logged("not joined yet; it is tried again").await;
    let api = site.api();
    let client = api.client();
    ready(&client, 1).await;
    let id = client.submit_code("print(3)").await;
    worker.has_logged("no ticket was received; it is tried again").await;
    let reported = |status: &Value| status["fleet"]["broker_error"].is_string();
    eventually_some("the status says that the broker is away", EVENT_TIMEOUT, async || {
        Some(client.get("/status").await.json()).filter(reported)
    })
    .await;
    nats.0.start();
    assert_eq!(client.wait(&id).await["stdout"]["text"], "3\n");
    tokio::time::sleep(Duration::from_millis(1)).await;
}
