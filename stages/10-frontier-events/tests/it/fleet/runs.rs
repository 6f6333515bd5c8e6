//! What works: programs run elsewhere as they run here.

use std::fs;
use std::time::Instant;

use harness::{Client, Signal, SseEvent, eventually_some, kinds, output};
use serde_json::json;
use tokio::time::timeout;

use super::site::{EVENT_TIMEOUT, Site, has_printed, ready, waits_for, worker_named};
use crate::broker::system::{Moto, Nats};
use crate::stage;

/// Long enough that no worker is lost on a busy machine. A sync is delayed for a quarter of it, which is longer than
/// any event is waited for: what a worker learns it learns because it was told.
const LONG_LEASE: u32 = 600;
const PROGRAMS: usize = 50;

/// A program that writes to both streams, slowly enough that it is more than one event.
fn program(number: usize) -> String {
    format!(
        "import sys, time\nfor line in range(5):\n    print({number}, line, flush=True)\n    \
         print('e', line, file=sys.stderr, flush=True)\n    time.sleep(0.01)\n"
    )
}

fn expected(number: usize) -> String {
    (0..5).fold(String::new(), |text, line| text + format!("{number} {line}\n").as_str())
}

/// The whole of one stream, from events that have to follow each other.
fn stream_of(events: &[SseEvent], stream: &str) -> String {
    let mut text = String::new();
    for event in events.iter().filter(|event| event.data()["stream"] == stream) {
        assert_eq!(event.data()["offset"], text.len(), "in order, without a gap");
        text.push_str(event.data()["text"].as_str().unwrap());
    }
    text
}

async fn all_programs_end_once(client: &Client) {
    let mut runs = Vec::new();
    for number in 0..PROGRAMS {
        let id = client.submit_code(&program(number)).await;
        let events = client.events(&id).await;
        runs.push((number, id, tokio::spawn(events.rest())));
    }
    for (number, id, events) in runs {
        let events = events.await.unwrap();
        assert_eq!(stream_of(&events, "stdout"), expected(number));
        assert_eq!(stream_of(&events, "stderr"), "e 0\ne 1\ne 2\ne 3\ne 4\n");
        let mut kinds = kinds(&events);
        kinds.dedup();
        let once =
            ["queued", "started", "progress", "completed"].map(|kind| format!("evaluation.{kind}"));
        assert_eq!(kinds, once);
        assert!(events.is_sorted_by_key(|event| event.sequence));
        let ended = client.evaluation(&id).await;
        assert_eq!(
            (&ended["outcome"], &ended["attempt"]),
            (&json!("exited"), &json!(1)),
            "{ended}"
        );
        assert_eq!(ended["stdout"]["text"], expected(number));
    }
    let metrics = client.get("/metrics").await.text();
    let broken = metrics.lines().filter(|line| line.contains("_broken_total{"));
    let broken: Vec<_> = broken.filter(|line| !line.ends_with(" 0")).collect();
    assert!(broken.is_empty(), "{broken:?}");
}

async fn a_cancellation_reaches_the_worker(site: &Site, client: &Client) {
    let id = client.submit_code(&waits_for(&site.path("never"))).await;
    has_printed(client, &id, 1).await;
    let events = client.events(&id).await;
    let started = Instant::now();
    assert_eq!(client.delete(&format!("/eval/{id}")).await.status, 200);
    let events = timeout(EVENT_TIMEOUT, events.rest()).await.expect("its worker was not told");
    println!("cancelled on another machine after {:?}", started.elapsed());
    assert_eq!(events.last().unwrap().kind, "evaluation.cancelled");
    let ended = client.evaluation(&id).await;
    assert_eq!(
        (&ended["outcome"], &ended["stdout"]["text"]),
        (&json!("cancelled"), &json!("out\n"))
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn on_nats_fifty_programs_end_once_with_their_output_in_order() {
    let nats = Nats::start();
    let site = Site::on_nats(&nats, LONG_LEASE);
    let (api, one, two) = (site.api(), site.worker("one"), site.worker("two"));
    let client = api.client();
    ready(&client, 2).await;
    all_programs_end_once(&client).await;
    for worker in [&one, &two] {
        assert!(worker.log().contains("evaluation reported"), "{}", worker.log());
    }
    a_cancellation_reaches_the_worker(&site, &client).await;
    let tested = client.post("/self-test", &json!({})).await;
    assert_eq!(tested.status, 202, "{tested:?}");
    eventually_some("the fleet passes its self test", EVENT_TIMEOUT, async || {
        let status = client.get("/status").await.json();
        (status["components"]["fleet"]["passed"] == true).then_some(())
    })
    .await;
    let status = client.get("/status").await.json();
    assert_eq!(status["fleet"]["running"], 0, "{status}");
    assert_eq!(
        (&status["ready"], &status["fleet"]["capacity"]),
        (&json!(true), &json!(4)),
        "{status}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn on_sqs_fifty_programs_end_once_with_their_output_in_order() {
    let moto = Moto::start();
    let site = Site::on_sqs(&moto, LONG_LEASE);
    let (api, _one, _two) = (site.api(), site.worker("one"), site.worker("two"));
    let client = api.client();
    ready(&client, 2).await;
    all_programs_end_once(&client).await;
    a_cancellation_reaches_the_worker(&site, &client).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reader_sees_the_same_as_with_one_process() {
    let code = program(7);
    let directory = tempfile::tempdir().unwrap();
    let alone = stage::start(directory.path());
    let nats = Nats::start();
    let site = Site::on_nats(&nats, LONG_LEASE);
    let (api, _worker) = (site.api(), site.worker("one"));
    ready(&api.client(), 1).await;
    let mut seen = Vec::new();
    for client in [alone.client(), api.client()] {
        let id = client.submit_code(&code).await;
        let events = client.events(&id).await.rest().await;
        let mut kinds: Vec<String> = kinds(&events).into_iter().map(str::to_owned).collect();
        kinds.dedup();
        let mut ended = client.evaluation(&id).await;
        for member in ["id", "timing", "usage"] {
            ended.as_object_mut().unwrap().remove(member);
        }
        seen.push((kinds, stream_of(&events, "stdout"), stream_of(&events, "stderr"), ended));
    }
    assert_eq!(seen[0], seen[1]);
}

#[tokio::test(flavor = "multi_thread")]
async fn output_is_live_and_a_flood_slows_nobody() {
    let nats = Nats::start();
    let site = Site::on_nats(&nats, LONG_LEASE);
    let (api, _worker) = (site.api(), site.worker("one"));
    let client = api.client();
    ready(&client, 1).await;
    let flood = client.submit_code("while True: print('x' * 100_000)").await;
    let release = site.path("release");
    let live = client.submit_code(&waits_for(&release)).await;
    // Before it ends.
    has_printed(&client, &live, 1).await;
    fs::write(&release, "").unwrap();
    let live = client.wait(&live).await;
    assert_eq!(live["stdout"]["text"], "out\nend\n", "{live}");
    let flood = client.wait(&flood).await;
    assert_eq!(flood["outcome"], "output_exceeded", "{}", flood["outcome"]);
    assert_eq!(flood["stdout"]["truncated"], true);
    let total = flood["stdout"]["bytes_total"].as_u64().unwrap();
    assert!(total > 1 << 20, "{total}");
    assert_eq!(flood["stdout"]["text"].as_str().unwrap().len(), 1 << 20);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_that_drains_ends_what_runs_and_takes_nothing_new() {
    let nats = Nats::start();
    let site = Site::on_nats(&nats, LONG_LEASE);
    let (api, one) = (site.api(), site.worker("one"));
    let client = api.client();
    ready(&client, 1).await;
    let release = site.path("release");
    let running = client.submit_code(&waits_for(&release)).await;
    has_printed(&client, &running, 1).await;
    let path =
        format!("/workers/{}/drain", worker_named(&client, "one").await["id"].as_str().unwrap());
    assert_eq!(client.post(&path, &json!({})).await.status, 204);
    one.has_logged("the API asks this worker to drain").await;
    let waits = client.submit_code("print('waits')").await;
    assert_eq!(worker_named(&client, "one").await["state"], "draining");
    fs::write(&release, "").unwrap();
    assert_eq!(client.wait(&running).await["stdout"]["text"], "out\nend\n");
    one.has_logged("drained: nothing runs here any more").await;
    assert_eq!(client.evaluation(&waits).await["status"], "queued");
    let two = site.worker("two");
    assert_eq!(client.wait(&waits).await["stdout"]["text"], "waits\n");
    assert!(!one.log().contains(&waits));
    drop((one, two));
    eventually_some("both have left", EVENT_TIMEOUT, async || {
        super::site::workers(&client).await.is_empty().then_some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_signal_lets_programs_end_and_gives_up_those_that_do_not() {
    let nats = Nats::start();
    let site = Site::on_nats(&nats, LONG_LEASE);
    let (api, mut one) = (site.api(), site.worker_with("one", &["--drain-seconds", "2"]));
    let client = api.client();
    ready(&client, 1).await;
    let release = site.path("release");
    let soon = client.submit_code(&waits_for(&release)).await;
    let body = json!({ "code": waits_for(&site.path("later")), "max_attempts": 2 });
    let never = client.submit(&body).await;
    for id in [&soon, &never] {
        has_printed(&client, id, 1).await;
    }
    one.signal(Signal::TERM);
    one.has_logged("shutting down").await;
    fs::write(&release, "").unwrap();
    assert_eq!(client.wait(&soon).await["outcome"], "exited");
    assert_eq!(one.ended().code(), Some(0), "{}", one.log());
    let two = site.worker("two");
    has_printed(&client, &never, 2).await;
    fs::write(site.path("later"), "").unwrap();
    let ended = client.wait(&never).await;
    assert_eq!((&ended["outcome"], &ended["attempt"]), (&json!("exited"), &json!(2)), "{ended}");
    assert_eq!(output(&client.events(&never).await.rest().await), "out\nout\nend\n");
    drop(two);
}
