//! The events of workers on other machines, and how many places they have.

use harness::{Signal, eventually_some};
use serde_json::{Value, json};

use super::site::{EVENT_TIMEOUT, Site, ready};
use crate::broker::system::Nats;

#[tokio::test(flavor = "multi_thread")]
async fn workers_start_and_stop_as_events_and_their_places_are_those_of_the_queue() {
    let nats = Nats::start();
    let site = Site::on_nats(&nats, 3);
    let api = site.api();
    let client = api.client();
    let workers = async || client.get("/queue").await.json()["workers"].clone();
    assert_eq!(workers().await, 0, "no worker has joined");
    let (mut first, second) = (site.worker("rack-1"), site.worker("rack-2"));
    ready(&client, 2).await;
    assert_eq!(workers().await, 4, "two workers for two programs each");
    let events = async || {
        let page: Value = client.get("/events/history?type=queue.*&limit=100").await.json();
        page["items"].as_array().unwrap().clone()
    };
    let of = async |kind: &str, name: &str| {
        let events = events().await;
        let is_it = |event: &&Value| event["type"] == kind && event["data"]["name"] == name;
        events.iter().find(is_it).map(|event| event["data"].clone())
    };
    assert!(of("queue.worker_started", "rack-1").await.is_some());

    second.kill();
    let lost = async || of("queue.worker_stopped", "rack-2").await;
    let lost = eventually_some("the loss of a worker", EVENT_TIMEOUT, lost).await;
    let started = of("queue.worker_started", "rack-2").await.unwrap();
    assert_eq!((&lost["reason"], &lost["worker"]), (&json!("lost"), &started["worker"]));
    assert_eq!(workers().await, 2);
    first.signal(Signal::TERM);
    first.ended();
    let left = async || of("queue.worker_stopped", "rack-1").await;
    let left = eventually_some("the end of a worker", EVENT_TIMEOUT, left).await;
    assert_eq!(left["reason"], "left");
    assert_eq!(workers().await, 0);
    // Each once, and none of the tasks of the API itself.
    assert_eq!(events().await.len(), 4);
}
