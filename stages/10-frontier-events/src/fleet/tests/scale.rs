//! How far the design carries: `just simulate` prints what a fleet needs of its broker and of its database.

use std::time::Duration;

use shared::Evaluations as _;

use super::simulated::{Plan, Simulation};

/// Seconds of evaluations that are simulated, when there is no other number in [`SECONDS_ENV`].
const DEFAULT_SECONDS: u32 = 4;
const SECONDS_ENV: &str = "CRUCIBLE_SIMULATED_SECONDS";
/// A million in an hour.
const PER_SECOND: u32 = 278;
/// The longest of everything that may take long, in virtual time.
const END_TIMEOUT: Duration = Duration::from_mins(5);

/// A thousand workers, four of five of them busy at a million an hour. A broker that answers after
/// 10 ms, and a disk that flushes in 5 ms.
const THOUSAND: Plan = Plan {
    workers: 1_000,
    places: 1,
    run_ms: (500, 5_100),
    program_bytes: 2_000,
    latency: [Duration::from_millis(2), Duration::from_millis(10), Duration::from_millis(5)],
};

/// Memory of this process, in KiB.
fn rss_kib() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
    line.trim().trim_end_matches(" kB").parse().unwrap()
}

/// Nothing is left of any evaluation.
fn nothing_is_left(simulation: &Simulation) {
    let state = simulation.fleet.state();
    assert_eq!((state.sessions.len(), state.tokens.len(), state.offers.len()), (0, 0, 0));
    assert_eq!(state.leases.len(), 0);
}

/// Ten workers with four places each.
const TEN: Plan = Plan {
    workers: 10,
    places: 4,
    run_ms: (20, 100),
    program_bytes: 20,
    latency: [Duration::from_millis(1), Duration::from_millis(2), Duration::from_millis(1)],
};

#[tokio::test(start_paused = true)]
async fn ten_thousand_that_wait_are_drained_with_flat_memory() {
    const COUNT: u32 = 10_000;
    // An allocator keeps some of what was used.
    const MAX_GROWTH_KIB: u64 = 4 << 10;
    let simulation = Simulation::start(Plan { workers: 0, ..TEN }, 10_000);
    simulation.submit_over(COUNT, Duration::from_secs(1)).await;
    let waiting = simulation.queue.queue_stats().await.unwrap();
    assert_eq!((waiting.depth, simulation.broker.published.get()), (10_000, 0));
    let before = rss_kib();
    simulation.join(TEN.workers);
    let mut most_offers = 0;
    while simulation.journal.ended.get() < u64::from(COUNT) {
        tokio::time::sleep(Duration::from_millis(500)).await;
        let state = simulation.fleet.state();
        most_offers = most_offers.max(state.offers.len());
    }
    simulation.stop().await;
    let grown = rss_kib().saturating_sub(before);
    println!("{grown} KiB more after 10,000 evaluations; at most {most_offers} were offered");
    // Two tickets for each place, however many wait.
    assert!(most_offers <= 80, "{most_offers}");
    assert!(grown <= MAX_GROWTH_KIB, "{grown} KiB");
    assert_eq!(simulation.broker.published.get(), u64::from(COUNT));
    assert_eq!(simulation.journal.commits.get(), 3 * u64::from(COUNT));
    nothing_is_left(&simulation);
}

#[tokio::test(start_paused = true)]
async fn a_broker_that_is_away_for_ten_minutes_costs_time_and_nothing_else() {
    const AWAY: Duration = Duration::from_mins(10);
    let simulation = Simulation::start(Plan { run_ms: (5_000, 60_000), ..TEN }, 10_000);
    simulation.submit_over(40, Duration::from_secs(40)).await;
    simulation.broker.go_away(AWAY);
    // Accepted meanwhile, and what runs ends: neither needs the broker.
    simulation.submit_over(100, AWAY / 2).await;
    let running = simulation.requests.claims.get();
    simulation.until_ended(running, AWAY / 4).await;
    tokio::time::sleep(AWAY / 5).await;
    assert_eq!(
        (simulation.journal.ended.get(), simulation.requests.claims.get()),
        (running, running)
    );
    simulation.until_ended(140, AWAY).await;
    assert_eq!(simulation.journal.accepted.get(), 140);
    assert_eq!(simulation.journal.started.get(), 140, "each was started once");
    assert_eq!((simulation.journal.ended.get(), simulation.journal.retried.get()), (140, 0));
    let failed = simulation.broker.refused.get();
    // Once a second by the publisher with up to 16 tickets, and by each of the 40 places; two extensions a minute.
    assert!(failed < 600 * (16 + 40) + 40 * 60, "{failed} calls while it was away");
    simulation.stop().await;
    nothing_is_left(&simulation);
}

#[tokio::test(start_paused = true)]
async fn a_thousand_workers_end_a_million_evaluations_an_hour() {
    let seconds = std::env::var(SECONDS_ENV).map_or(DEFAULT_SECONDS, |text| text.parse().unwrap());
    let (started, before) = (std::time::Instant::now(), rss_kib());
    let simulation = Simulation::start(THOUSAND, 10_000);
    let count = PER_SECOND * seconds;
    simulation.submit_over(count, Duration::from_secs(seconds.into())).await;
    simulation.until_ended(count.into(), END_TIMEOUT).await;
    simulation.stop().await;
    let (count, took) = (u64::from(count), started.elapsed());
    let (broker, journal, requests) =
        (&simulation.broker, &simulation.journal, &simulation.requests);
    let (median, longest) = simulation.waits();
    println!(
        "{count} evaluations of {} workers in {seconds} s of virtual time, {took:.1?} of real time",
        THOUSAND.workers
    );
    println!("they waited {median:?} at the median and {longest:?} at most");
    println!("memory: {} KiB more at the end", rss_kib().saturating_sub(before));
    let rows = [
        ("broker: tickets published", broker.published.get()),
        ("broker: requests for a ticket", broker.asked.get()),
        ("broker: tickets delivered", broker.delivered.get()),
        ("broker: holds extended", broker.extended.get()),
        ("broker: tickets acknowledged", broker.acknowledged.get()),
        ("broker: bytes of tickets", broker.bytes.get()),
        ("API: claims", requests.claims.get()),
        ("API: requests with output", requests.outputs.get()),
        ("API: results", requests.results.get()),
        ("API: signs of life", requests.syncs.get()),
        ("API: bytes", requests.bytes.get()),
        ("database: changes", journal.commits.get()),
        ("database: events", journal.events.get()),
        ("database: bytes of JSON", journal.bytes.get()),
    ];
    for (what, total) in rows {
        println!("{what:32} {:10} /s {:8.2} for each evaluation", total / u64::from(seconds), {
            #[allow(clippy::cast_precision_loss, reason = "far below 2^52")]
            let each = total as f64 / count as f64;
            each
        });
    }
    // One ticket for each, which is claimed once: none was lost, none is published again.
    assert_eq!(
        [broker.published.get(), broker.delivered.get(), broker.acknowledged.get()],
        [count; 3]
    );
    assert_eq!([requests.claims.get(), requests.results.get()], [count; 2]);
    assert_eq!((requests.refused.get(), broker.refused.get()), (0, 0));
    // Accepted, started and ended: three changes, and no more.
    assert_eq!([journal.accepted.get(), journal.started.get(), journal.ended.get()], [count; 3]);
    assert_eq!((journal.commits.get(), journal.retried.get()), (3 * count, 0));
    // There is a free worker for each of them: what they wait for is a ticket.
    assert!(median < Duration::from_millis(100), "{median:?}");
    assert!(longest < Duration::from_secs(1), "{longest:?}");
    nothing_is_left(&simulation);
}
