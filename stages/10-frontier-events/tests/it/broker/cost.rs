//! What a ticket costs: `just broker-cost` prints the medians, and the rates of many at the same time.

use std::time::{Duration, Instant};

use futures_util::{StreamExt as _, stream};
use stage_10_frontier_events::BrokerOptions;

use super::suite::{MakeBroker, Memory, next, options, ticket};
use super::system::{Moto, Nats};

/// Tickets for one median, when there is no other number in [`TICKETS_ENV`].
const DEFAULT_TICKETS: usize = 20;

/// How many tickets one median is of.
const TICKETS_ENV: &str = "CRUCIBLE_TICKETS";

/// Tickets that the API has sent and that are not confirmed, and workers' places that wait for one.
const UNCONFIRMED: usize = 16;
const PLACES: usize = 32;

fn median(mut times: Vec<Duration>) -> f64 {
    times.sort_unstable();
    times[times.len() / 2].as_secs_f64() * 1000.0
}

#[tokio::test]
async fn alone_what_a_ticket_costs() {
    let (memory, nats, moto) = (Memory::default(), Nats::start(), Moto::start());
    let tickets = std::env::var(TICKETS_ENV).map_or(DEFAULT_TICKETS, |n| n.parse().unwrap());
    println!("median of {tickets} tickets in ms: publish, receive, ack, all");
    let brokers: [(&str, &dyn MakeBroker); 3] =
        [("memory", &memory), ("nats", &nats), ("sqs (moto)", &moto)];
    for (name, make) in brokers {
        let api = make.open("cost", options()).await;
        let worker = make.open("cost", options()).await;
        let mut times: [Vec<Duration>; 4] = Default::default();
        for _ in 0..tickets {
            let ticket = ticket();
            let start = Instant::now();
            api.publish(&ticket).await.unwrap();
            let published = Instant::now();
            let delivery = next(&*worker).await.unwrap();
            let received = Instant::now();
            worker.ack(delivery).await.unwrap();
            let end = Instant::now();
            times[0].push(published - start);
            times[1].push(received - published);
            times[2].push(end - received);
            times[3].push(end - start);
        }
        let left = worker.stats().await.unwrap();
        assert_eq!((left.waiting, left.in_flight, left.dead), (0, 0, 0), "{name}");
        let [publish, receive, ack, all] = times.map(median);
        println!("{name:12} {publish:8.3} {receive:8.3} {ack:8.3} {all:8.3}");
        let [published, received] = rates(make, tickets).await;
        println!(
            "{name:12} {published:8.0} published and {received:8.0} received and acknowledged a second"
        );
    }
}

/// Tickets in a second: published as the API does it, and received and acknowledged by many places.
async fn rates(make: &dyn MakeBroker, count: usize) -> [f64; 2] {
    let options = || BrokerOptions { capacity: 10_000, ..options() };
    let (api, worker) =
        (&*make.open("rates", options()).await, &*make.open("rates", options()).await);
    let start = Instant::now();
    let publishing = stream::iter(0..count).map(async |_| api.publish(&ticket()).await.unwrap());
    publishing.buffered(UNCONFIRMED).collect::<Vec<()>>().await;
    let published = Instant::now();
    let receiving = stream::iter(0..count)
        .map(async |_| worker.ack(next(worker).await.unwrap()).await.unwrap());
    receiving.buffer_unordered(PLACES).collect::<Vec<()>>().await;
    #[allow(clippy::cast_precision_loss, reason = "far below 2^52")]
    let rate = |took: Duration| count as f64 / took.as_secs_f64();
    [rate(published - start), rate(published.elapsed())]
}
