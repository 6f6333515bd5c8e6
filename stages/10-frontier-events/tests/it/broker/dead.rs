//! The checks: dead letters.

use std::time::Duration;

use anyhow::{bail, ensure};
use stage_10_frontier_events::{Broker, BrokerError, BrokerOptions, DeadLetter, DeadReason};

use super::suite::{
    ARRIVAL_TIMEOUT, Bench, Check, Checked, PYTHON, SILENCE_WINDOW, next, none, options, ticket,
};

pub(crate) const CHECKS: &[Check] = &[
    Check { name: "after its last delivery a ticket is a dead letter", run: |b| Box::pin(dies(b)) },
    Check { name: "a dead letter is requeued once", run: |b| Box::pin(requeued(b)) },
    Check { name: "what is no ticket blocks nothing", run: |b| Box::pin(poisoned(b)) },
    Check { name: "a dead letter that is removed is gone", run: |b| Box::pin(removed(b)) },
];

/// Dead letters, as soon as there are `number`: a broker moves one when a receiver looks for work.
async fn letters(broker: &dyn Broker, number: usize) -> anyhow::Result<Vec<DeadLetter>> {
    let started = tokio::time::Instant::now();
    loop {
        none(broker, "every ticket is dead").await?;
        let letters = broker.dead_letters(10).await?;
        if letters.len() == number {
            return Ok(letters);
        }
        ensure!(started.elapsed() < ARRIVAL_TIMEOUT, "{letters:?} instead of {number}");
    }
}

/// Kills a ticket by releasing it as often as it may be delivered.
async fn kill(broker: &dyn Broker, deliveries: u32) -> Checked {
    for number in 1..=deliveries {
        let delivery = next(broker).await?;
        ensure!(delivery.deliveries == number, "{delivery:?} is number {number}");
        broker.release(delivery, Duration::ZERO).await?;
    }
    Ok(())
}

async fn dies(bench: &Bench<'_>) -> Checked {
    let broker = bench.open_with(BrokerOptions { max_deliveries: 2, ..options() }).await;
    let published = ticket();
    broker.publish(&published).await?;
    kill(&*broker, 2).await?;
    let letters = letters(&*broker, 1).await?;
    ensure!(letters[0].ticket.as_ref() == Some(&published), "{letters:?}");
    ensure!(letters[0].reason == DeadReason::DeliveredTooOften, "{letters:?}");
    let counts = broker.stats().await?;
    ensure!((counts.waiting, counts.in_flight, counts.dead) == (0, 0, 1), "{counts:?}");
    Ok(())
}

async fn requeued(bench: &Bench<'_>) -> Checked {
    let settings = BrokerOptions { max_deliveries: 1, ..options() };
    let broker = bench.open_with(settings.clone()).await;
    let published = ticket();
    broker.publish(&published).await?;
    kill(&*broker, 1).await?;
    let id = letters(&*broker, 1).await?.remove(0).id;
    // The command is another process, and the window in which a ticket is accepted once is not over.
    let operator = bench.open_with(settings).await;
    operator.requeue_dead(&id).await?;
    let delivery = next(&*broker).await?;
    ensure!(delivery.ticket == published && delivery.deliveries == 1, "{delivery:?}");
    broker.ack(delivery).await?;
    for id in [id.as_str(), "0", "nonsense"] {
        let again = operator.requeue_dead(id).await;
        ensure!(matches!(again, Err(BrokerError::NoDeadLetter(_))), "{id}: {again:?}");
    }
    ensure!(operator.dead_letters(10).await?.is_empty(), "it is requeued");
    none(&*broker, "it is acknowledged").await
}

async fn poisoned(bench: &Bench<'_>) -> Checked {
    let broker = bench.open().await;
    let other =
        format!(r#"{{"evaluation":"{}","attempt":1,"environment":"other"}}"#, ticket().evaluation);
    bench.inject("no ticket").await;
    bench.inject(&other).await; // it would reach a worker that cannot run it
    let published = ticket();
    broker.publish(&published).await?;
    let delivery = next(&*broker).await?;
    ensure!(delivery.ticket == published, "{delivery:?}");
    broker.ack(delivery).await?;
    let letters = letters(&*broker, 2).await?;
    for letter in &letters {
        ensure!(letter.reason == DeadReason::NoTicket && letter.ticket.is_none(), "{letter:?}");
        let requeued = broker.requeue_dead(&letter.id).await;
        if !matches!(requeued, Err(BrokerError::NoDeadLetter(_))) {
            bail!("requeued: {requeued:?}");
        }
    }
    let more = broker.receive(&[PYTHON.to_owned(), "other".to_owned()], SILENCE_WINDOW).await?;
    ensure!(more.is_none(), "{more:?}");
    Ok(())
}

async fn removed(bench: &Bench<'_>) -> Checked {
    let broker = bench.open_with(BrokerOptions { max_deliveries: 1, ..options() }).await;
    bench.inject("no ticket").await;
    broker.publish(&ticket()).await?;
    kill(&*broker, 1).await?;
    for letter in letters(&*broker, 2).await? {
        broker.remove_dead(&letter.id).await?;
        let again = broker.remove_dead(&letter.id).await;
        ensure!(matches!(again, Err(BrokerError::UnknownDeadLetter(_))), "{letter:?}: {again:?}");
    }
    let nonsense = broker.remove_dead("nonsense").await;
    ensure!(matches!(nonsense, Err(BrokerError::UnknownDeadLetter(_))), "{nonsense:?}");
    ensure!(broker.dead_letters(10).await?.is_empty(), "they are removed");
    none(&*broker, "nothing is published by a removal").await
}
