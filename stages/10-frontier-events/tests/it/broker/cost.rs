//! What a ticket costs: `just broker-cost` prints the medians.

use std::time::{Duration, Instant};

use super::suite::{MakeBroker, Memory, next, options, ticket};
use super::system::{Moto, Nats};

/// Tickets for one median, when there is no other number in [`TICKETS_ENV`].
const DEFAULT_TICKETS: usize = 20;

/// How many tickets one median is of.
const TICKETS_ENV: &str = "CRUCIBLE_TICKETS";

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
    }
}
