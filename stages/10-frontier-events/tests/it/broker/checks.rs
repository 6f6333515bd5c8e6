//! The checks: tickets that are published, held, acknowledged and given back.

use std::time::Duration;

use anyhow::{bail, ensure};
use stage_10_frontier_events::{BrokerError, BrokerOptions, BrokerStats, Ticket};

use super::suite::{
    ARRIVAL_TIMEOUT, Bench, Check, Checked, PYTHON, SILENCE_WINDOW, VISIBILITY_TIMEOUT, next, none,
    options, short_lived, ticket,
};

pub(crate) const CHECKS: &[Check] = &[
    Check { name: "a ticket arrives as it was published", run: |b| Box::pin(arrives(b)) },
    Check { name: "a receiver is woken by a publish", run: |b| Box::pin(woken(b)) },
    Check {
        name: "a full broker refuses, and takes more after an ack",
        run: |b| Box::pin(full(b)),
    },
    Check { name: "first deliveries are in order", run: |b| Box::pin(order(b)) },
    Check { name: "a receiver gets its environments only", run: |b| Box::pin(environments(b)) },
    Check {
        name: "a dead receiver's ticket is delivered again",
        run: |b| Box::pin(redelivered(b)),
    },
    Check { name: "a delivery that is extended stays", run: |b| Box::pin(extended(b)) },
    Check { name: "a stale receipt changes nothing", run: |b| Box::pin(stale(b)) },
    Check { name: "a released ticket comes after its delay", run: |b| Box::pin(released(b)) },
    Check { name: "an acknowledged ticket never comes again", run: |b| Box::pin(acknowledged(b)) },
    Check { name: "a held ticket is no other receiver's", run: |b| Box::pin(held_once(b)) },
    Check { name: "a ticket that is published twice", run: |b| Box::pin(published_twice(b)) },
    Check { name: "the counts are right", run: |b| Box::pin(counted(b)) },
    Check { name: "a name that is none is refused", run: |b| Box::pin(names(b)) },
];

async fn arrives(bench: &Bench<'_>) -> Checked {
    let (api, worker) = (bench.open().await, bench.open().await);
    for group in [Some("5f2a".to_owned()), None] {
        let published = Ticket { group, ..ticket() };
        api.publish(&published).await?;
        let delivery = next(&*worker).await?;
        ensure!(delivery.ticket == published, "{delivery:?} instead of {published:?}");
        ensure!(delivery.deliveries == 1, "{delivery:?}");
        worker.ack(delivery).await?;
    }
    Ok(())
}

async fn woken(bench: &Bench<'_>) -> Checked {
    let (api, worker) = (bench.open().await, bench.open().await);
    none(&*worker, "nothing was published").await?;
    let published = ticket();
    let publish = async {
        tokio::time::sleep(SILENCE_WINDOW).await; // the receiver waits by then, and the check holds if not
        api.publish(&published).await
    };
    let (received, sent) = tokio::join!(next(&*worker), publish);
    sent?;
    worker.ack(received?).await?;
    Ok(())
}

async fn full(bench: &Bench<'_>) -> Checked {
    let broker = bench.open_with(BrokerOptions { capacity: 3, ..options() }).await;
    for _ in 0..3 {
        broker.publish(&ticket()).await?;
    }
    let held = next(&*broker).await?;
    match broker.publish(&ticket()).await {
        Err(BrokerError::Full { environment, capacity: 3 }) if environment == PYTHON => {}
        other => bail!("a fourth ticket, one of them held: {other:?}"),
    }
    broker.publish(&Ticket { environment: "other".to_owned(), ..ticket() }).await?;
    broker.ack(held).await?;
    broker.publish(&ticket()).await?;
    Ok(())
}

async fn order(bench: &Bench<'_>) -> Checked {
    let broker = bench.open().await;
    let published: Vec<Ticket> = (0..20).map(|_| ticket()).collect();
    for ticket in &published {
        broker.publish(ticket).await?;
    }
    let mut received = Vec::new();
    for _ in &published {
        let delivery = next(&*broker).await?;
        received.push(delivery.ticket.clone());
        broker.ack(delivery).await?;
    }
    if !bench.guarantees().order {
        received.sort_by_key(|ticket| ticket.evaluation); // version 7: by time
    }
    ensure!(received == published, "{received:#?}\ninstead of\n{published:#?}");
    none(&*broker, "all are acknowledged").await
}

async fn environments(bench: &Bench<'_>) -> Checked {
    let broker = bench.open().await;
    let mut published = Vec::new();
    for environment in ["one", "two", "three"] {
        let ticket = Ticket { environment: environment.to_owned(), ..ticket() };
        broker.publish(&ticket).await?;
        published.push(ticket);
    }
    none(&*broker, "no ticket is for python").await?;
    let both = ["two".to_owned(), "three".to_owned(), "four".to_owned()];
    let mut received = Vec::new();
    for _ in 0..2 {
        let Some(delivery) = broker.receive(&both, ARRIVAL_TIMEOUT).await? else {
            bail!("no delivery")
        };
        received.push(delivery.ticket.clone());
        broker.ack(delivery).await?;
    }
    received.sort_by_key(|ticket| ticket.evaluation);
    ensure!(received == published[1..], "{received:?}");
    let more = broker.receive(&both, SILENCE_WINDOW).await?;
    ensure!(more.is_none(), "{more:?}");
    ensure!(broker.receive(&[], Duration::ZERO).await?.is_none(), "no environment");
    Ok(())
}

async fn redelivered(bench: &Bench<'_>) -> Checked {
    let (dies, worker) =
        (bench.open_with(short_lived()).await, bench.open_with(short_lived()).await);
    dies.publish(&ticket()).await?;
    let lost = next(&*dies).await?;
    none(&*worker, "it is held").await?;
    let expected = lost.ticket.clone();
    drop(lost);
    drop(dies);
    let delivery = next(&*worker).await?;
    ensure!(delivery.ticket == expected && delivery.deliveries == 2, "{delivery:?}");
    worker.ack(delivery).await?;
    none(&*worker, "it is acknowledged").await
}

async fn extended(bench: &Bench<'_>) -> Checked {
    let (worker, other) =
        (bench.open_with(short_lived()).await, bench.open_with(short_lived()).await);
    worker.publish(&ticket()).await?;
    let held = next(&*worker).await?;
    ensure!(worker.heartbeat_interval() < VISIBILITY_TIMEOUT / 2, "a heartbeat may be late by one");
    let extend = async {
        let mut interval = tokio::time::interval(worker.heartbeat_interval());
        for _ in 0..7 {
            interval.tick().await;
            worker.extend(&held).await?;
        }
        anyhow::Ok(())
    };
    let environments = [PYTHON.to_owned()];
    let watch = other.receive(&environments, VISIBILITY_TIMEOUT * 2);
    let (extended, seen) = tokio::join!(extend, watch);
    extended?;
    let seen = seen?;
    ensure!(seen.is_none(), "delivered to another: {seen:?}");
    worker.ack(held).await?;
    none(&*other, "it is acknowledged").await
}

async fn stale(bench: &Bench<'_>) -> Checked {
    let first = bench.open_with(short_lived()).await;
    let second = bench.open_with(short_lived()).await;
    first.publish(&ticket()).await?;
    let cut_off = next(&*first).await?;
    let held = next(&*second).await?;
    ensure!(held.deliveries == 2, "{held:?}");
    // On a busy machine the first receiver's clock may have started late.
    tokio::time::sleep(SILENCE_WINDOW).await;
    let extended = first.extend(&cut_off).await;
    ensure!(matches!(extended, Err(BrokerError::Stale)), "extended: {extended:?}");
    let acknowledged = first.ack(cut_off).await;
    ensure!(matches!(acknowledged, Err(BrokerError::Stale)), "acknowledged: {acknowledged:?}");
    second.release(held, Duration::ZERO).await?;
    let delivery = next(&*second).await?; // it is still there
    second.ack(delivery).await?;
    Ok(())
}

async fn released(bench: &Bench<'_>) -> Checked {
    let broker = bench.open().await;
    broker.publish(&ticket()).await?;
    let delivery = next(&*broker).await?;
    broker.release(delivery, Duration::ZERO).await?;
    let delivery = next(&*broker).await?;
    let started = tokio::time::Instant::now();
    broker.release(delivery, Duration::from_secs(2)).await?;
    let delivery = next(&*broker).await?;
    let after = started.elapsed();
    // SQS counts in whole seconds, by its own clock.
    ensure!(after >= Duration::from_millis(900), "after {after:?}");
    ensure!(delivery.deliveries == 3, "{delivery:?}");
    broker.ack(delivery).await?;
    Ok(())
}

async fn acknowledged(bench: &Bench<'_>) -> Checked {
    let broker = bench.open_with(short_lived()).await;
    broker.publish(&ticket()).await?;
    let delivery = next(&*broker).await?;
    broker.ack(delivery).await?;
    let more = broker.receive(&[PYTHON.to_owned()], VISIBILITY_TIMEOUT * 2).await?;
    ensure!(more.is_none(), "{more:?}");
    Ok(())
}

async fn held_once(bench: &Bench<'_>) -> Checked {
    let broker = bench.open().await;
    let mut receivers = Vec::new();
    for _ in 0..4 {
        receivers.push(bench.open().await);
    }
    for _ in 0..12 {
        broker.publish(&ticket()).await?;
    }
    let environments = [PYTHON.to_owned()];
    let runs = receivers.iter().map(async |receiver| {
        let mut held = Vec::new();
        while let Some(delivery) = receiver.receive(&environments, SILENCE_WINDOW).await? {
            held.push(delivery);
        }
        anyhow::Ok(held)
    });
    let mut seen = Vec::new();
    for held in futures_util::future::join_all(runs).await {
        seen.extend(held?.iter().map(|delivery| delivery.ticket.evaluation));
    }
    let received = seen.len();
    seen.sort_unstable();
    seen.dedup();
    ensure!(received == 12 && seen.len() == 12, "{received} deliveries of {} tickets", seen.len());
    Ok(())
}

async fn published_twice(bench: &Bench<'_>) -> Checked {
    let broker = bench.open().await;
    let published = ticket();
    broker.publish(&published).await?;
    broker.publish(&published).await?;
    let again = Ticket { attempt: 2, ..published.clone() };
    broker.publish(&again).await?;
    let mut attempts = Vec::new();
    while let Some(delivery) = broker.receive(&[PYTHON.to_owned()], SILENCE_WINDOW).await? {
        attempts.push(delivery.ticket.attempt);
        broker.ack(delivery).await?;
    }
    attempts.sort_unstable();
    let expected: &[u32] = if bench.guarantees().dedup { &[1, 2] } else { &[1, 1, 2] };
    ensure!(attempts == expected, "attempts {attempts:?} instead of {expected:?}");
    Ok(())
}

async fn counted(bench: &Bench<'_>) -> Checked {
    let broker = bench.open().await;
    let empty = broker.stats().await?;
    ensure!(empty == BrokerStats::default(), "{empty:?}");
    for environment in [PYTHON, PYTHON, "other"] {
        broker.publish(&Ticket { environment: environment.to_owned(), ..ticket() }).await?;
    }
    let held = next(&*broker).await?;
    let counts = broker.stats().await?;
    let expected = BrokerStats { waiting: 2, in_flight: 1, dead: 0 };
    ensure!(counts == expected, "{counts:?}");
    broker.ack(held).await?;
    let counts = broker.stats().await?;
    let expected = BrokerStats { waiting: 2, in_flight: 0, dead: 0 };
    ensure!(counts == expected, "{counts:?}");
    Ok(())
}

async fn names(bench: &Bench<'_>) -> Checked {
    let broker = bench.open().await;
    for name in ["", "*", ">", "a.b", "A", "a b", "../dead", &"a".repeat(41)] {
        let published = broker.publish(&Ticket { environment: name.to_owned(), ..ticket() }).await;
        ensure!(matches!(published, Err(BrokerError::Environment(_))), "{name:?}: {published:?}");
        let received = broker.receive(&[name.to_owned()], Duration::ZERO).await;
        ensure!(matches!(received, Err(BrokerError::Environment(_))), "{name:?}: {received:?}");
    }
    Ok(())
}
