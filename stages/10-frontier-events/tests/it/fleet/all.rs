//! The role `all` with a broker: the API runs programs too, as one worker of its fleet.

use std::fs;

use harness::{Client, Method, eventually_some};
use serde_json::json;

use super::site::{EVENT_TIMEOUT, Site, has_printed, ready, waits_for, worker_named, workers};
use crate::broker::system::Nats;

/// Long enough that no worker is lost on a busy machine.
const LONG_LEASE: u32 = 600;

/// How many programs each of two workers runs.
async fn busy(client: &Client) -> [u64; 2] {
    let busy = async |name| worker_named(client, name).await["busy"].as_u64().unwrap();
    [busy("own").await, busy("two").await]
}

async fn is_drained(client: &Client, name: &str) {
    let path =
        format!("/workers/{}/drain", worker_named(client, name).await["id"].as_str().unwrap());
    assert_eq!(client.post(&path, &json!({})).await.status, 204);
    eventually_some(&format!("{name} drains"), EVENT_TIMEOUT, async || {
        (worker_named(client, name).await["state"] == "draining").then_some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_api_that_runs_programs_shares_them_with_a_worker() {
    let nats = Nats::start();
    let site = Site::on_nats(&nats, LONG_LEASE);
    let api = site.all("own");
    let client = api.client();
    ready(&client, 1).await;
    // Alone, it is what it was without a broker.
    let alone = client.run("print('alone')").await;
    assert_eq!(
        (&alone["outcome"], &alone["stdout"]["text"]),
        (&json!("exited"), &json!("alone\n"))
    );
    nobody_reports_for_the_worker_of_the_api(&client).await;

    let two = site.worker("two");
    ready(&client, 2).await;
    let release = site.path("release");
    let mut running = Vec::new();
    for _ in 0..4 {
        running.push(client.submit_code(&waits_for(&release)).await);
    }
    for id in &running {
        has_printed(&client, id, 1).await;
    }
    assert_eq!(busy(&client).await, [2, 2], "four at a time need both");

    // One of the two takes nothing more, and what it runs goes on.
    is_drained(&client, "own").await;
    let later = site.path("later");
    let next = client.submit_code(&waits_for(&later)).await;
    fs::write(&release, "").unwrap();
    for id in &running {
        let ended = client.wait(id).await;
        assert_eq!(ended["stdout"]["text"], "out\nend\n", "{ended}");
    }
    has_printed(&client, &next, 1).await;
    eventually_some("only the other one runs", EVENT_TIMEOUT, async || {
        (busy(&client).await == [0, 1]).then_some(())
    })
    .await;
    let metrics = client.get("/metrics").await.text();
    let broken = metrics.lines().filter(|line| line.contains("_broken_total{"));
    assert!(broken.clone().all(|line| line.ends_with(" 0")), "{:?}", broken.collect::<Vec<_>>());

    // The API stops in order, and its own worker with it; what the other runs is told to end.
    fs::write(&later, "").unwrap();
    assert_eq!(client.wait(&next).await["outcome"], "exited");
    assert_eq!(api.stop(), Some(0));
    drop(two);
}

/// Its requests are calls, and no client has its name.
async fn nobody_reports_for_the_worker_of_the_api(client: &Client) {
    let own = worker_named(client, "own").await;
    let path = format!("/workers/{}", own["id"].as_str().unwrap());
    let sync = json!({ "sessions": [], "cancelled": [], "draining": true });
    for answer in [
        client.post(&format!("{path}/sync"), &sync).await,
        client.send(client.request(Method::DELETE, &path)).await,
    ] {
        assert_eq!(answer.status, 404, "{answer:?}");
    }
    assert_eq!(workers(client).await.len(), 1);
}
