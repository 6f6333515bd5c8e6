//! What a broker and a second worker cost, of a release build: `just scale` prints and judges the figures.

use std::time::{Duration, Instant};

use harness::{Client, Method};
use serde_json::json;

use crate::broker::system::{Moto, Nats};
use crate::fleet::site::{Site, ready};
use crate::stage;

/// Turns of each, when there is no other number in [`ROUNDS_ENV`].
const DEFAULT_ROUNDS: u32 = 40;
const ROUNDS_ENV: &str = "CRUCIBLE_ROUNDS";
/// Long enough that no worker is lost on a busy machine.
const LEASE_SECONDS: u32 = 60;
/// What a broker may add to an evaluation at the median, in milliseconds.
const MAX_BROKER_MS: f64 = 10.0;
/// The rate of two workers with half the processors each, beside one with all of them.
const MIN_RATE: f64 = 0.9;

fn rounds() -> u32 {
    std::env::var(ROUNDS_ENV).map_or(DEFAULT_ROUNDS, |text| text.parse().unwrap())
}

async fn evaluate(client: &Client) -> Duration {
    let request = client.request(Method::POST, "/eval").header("prefer", "wait=60");
    let started = Instant::now();
    let ended = client.send(request.json(&json!({ "code": "print(1)" }))).await;
    let took = started.elapsed();
    assert_eq!((ended.status, &ended.json()["outcome"]), (200, &json!("exited")), "{ended:?}");
    took
}

fn median_ms(mut times: Vec<Duration>) -> f64 {
    times.sort_unstable();
    times[times.len() / 2].as_secs_f64() * 1000.0
}

#[tokio::test(flavor = "multi_thread")]
async fn alone_what_a_broker_adds_to_an_evaluation() {
    let directory = tempfile::tempdir().unwrap();
    let (nats, moto) = (Nats::start(), Moto::start());
    let (on_nats, on_sqs) =
        (Site::on_nats(&nats, LEASE_SECONDS), Site::on_sqs(&moto, LEASE_SECONDS));
    let (alone, nats_api, sqs_api) = (stage::start(directory.path()), on_nats.api(), on_sqs.api());
    let _guard = [on_nats.worker("one"), on_sqs.worker("one")];
    let clients = [alone.client(), nats_api.client(), sqs_api.client()];
    ready(&clients[1], 1).await;
    ready(&clients[2], 1).await;
    let mut times: [Vec<Duration>; 3] = Default::default();
    for client in &clients {
        evaluate(client).await;
    }
    for _ in 0..rounds() {
        for (client, times) in clients.iter().zip(&mut times) {
            times.push(evaluate(client).await);
        }
    }
    let [memory, nats, sqs] = times.map(median_ms);
    let added = [nats - memory, sqs - memory];
    println!("median: memory {memory:.1} ms, NATS {nats:.1} ms, SQS (moto) {sqs:.1} ms");
    println!("a broker adds: NATS {:.1} ms, SQS (moto) {:.1} ms", added[0], added[1]);
    // Moto is a test server in Python: its figure is printed, and not judged.
    assert!(added[0] <= MAX_BROKER_MS, "more than {MAX_BROKER_MS} ms");
}

/// How many evaluations of a short program end in a second.
async fn rate(client: &Client, count: u32) -> f64 {
    let started = Instant::now();
    let mut ids = Vec::new();
    for _ in 0..count {
        ids.push(client.submit_code("print(sum(range(100_000)))").await);
    }
    for id in &ids {
        assert_eq!(client.wait(id).await["outcome"], "exited");
    }
    f64::from(count) / started.elapsed().as_secs_f64()
}

#[tokio::test(flavor = "multi_thread")]
async fn alone_two_workers_with_half_the_processors_each() {
    let processors = std::thread::available_parallelism().unwrap().get() / 2 * 2;
    let half = (processors / 2).max(1);
    let lists = [format!("0-{}", half - 1), format!("{half}-{}", processors.max(2) - 1)];
    let (all, count) = (format!("0-{}", processors.max(2) - 1), rounds());
    let nats = Nats::start();
    let site = Site::on_nats(&nats, LEASE_SECONDS);
    let api = site.api();
    let client = api.client();
    let [mut one, mut two] = [0.0; 2];
    // Each comes first once, so that a load that rises is no advantage.
    for with_two in [false, true, true, false] {
        let workers = if with_two {
            Vec::from(lists.clone().map(|list| site.worker_on(&list, half)))
        } else {
            vec![site.worker_on(&all, half * 2)]
        };
        ready(&client, workers.len() as u64).await;
        let rate = rate(&client, count * 2).await;
        *(if with_two { &mut two } else { &mut one }) += rate;
        for worker in &workers {
            // Each had its part.
            assert!(worker.log().contains("evaluation reported"), "{}", worker.log());
        }
        drop(workers);
        ready(&client, 0).await;
    }
    let times = two / one;
    println!("one worker {:.1} /s, two {:.1} /s: {times:.2} x", one / 2.0, two / 2.0);
    assert!(times >= MIN_RATE, "less than {MIN_RATE} x");
}
