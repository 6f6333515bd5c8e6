//! A broker and a journal that count, and take as long as they are told to, in virtual time.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use serde::Serialize;
use shared::{BoxFuture, Event};
use stage_02_queue::{Change, Journal, JournalError, Transition};
use tokio::sync::Semaphore;
use tokio::time::{Instant, sleep, timeout};

use crate::broker::{
    Broker, BrokerError, BrokerStats, DeadLetter, Delivery, Hold, Receipt, Ticket,
};

/// How often a delivery is extended, as at the brokers with their defaults.
const HEARTBEAT_INTERVAL: Duration = Duration::from_secs(10);
/// For how long a ticket is held.
const VISIBILITY: Duration = Duration::from_secs(30);

/// A number that only rises.
#[derive(Debug, Default)]
pub(super) struct Count(AtomicU64);

impl Count {
    pub(super) fn add(&self, more: u64) {
        self.0.fetch_add(more, Ordering::Relaxed);
    }

    pub(super) fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// Bytes of something as JSON.
pub(super) fn json_bytes(value: &impl Serialize) -> u64 {
    serde_json::to_vec(value).unwrap().len() as u64
}

/// A broker that holds its tickets in memory and may be away.
#[derive(Debug)]
pub(super) struct CountedBroker {
    /// How long each call takes.
    latency: Duration,
    waiting: Mutex<VecDeque<Ticket>>,
    /// One permit for each ticket.
    ready: Semaphore,
    away_until: Mutex<Option<Instant>>,
    pub(super) published: Count,
    pub(super) refused: Count,
    pub(super) asked: Count,
    pub(super) delivered: Count,
    pub(super) extended: Count,
    pub(super) acknowledged: Count,
    pub(super) bytes: Count,
}

impl CountedBroker {
    pub(super) fn new(latency: Duration) -> Arc<Self> {
        Arc::new(Self {
            latency,
            waiting: Mutex::default(),
            ready: Semaphore::new(0),
            away_until: Mutex::default(),
            published: Count::default(),
            refused: Count::default(),
            asked: Count::default(),
            delivered: Count::default(),
            extended: Count::default(),
            acknowledged: Count::default(),
            bytes: Count::default(),
        })
    }

    /// It is away for that time from now on, and has lost what it had.
    pub(super) fn go_away(&self, time: Duration) {
        *self.away_until.lock().unwrap() = Some(Instant::now() + time);
        self.waiting.lock().unwrap().clear();
        self.ready.forget_permits(usize::MAX >> 4);
    }

    async fn reach(&self) -> Result<(), BrokerError> {
        sleep(self.latency).await;
        let until = *self.away_until.lock().unwrap();
        if until.is_some_and(|until| Instant::now() < until) {
            self.refused.add(1);
            return Err(BrokerError::Unavailable("it is away".into()));
        }
        Ok(())
    }
}

impl Broker for CountedBroker {
    fn publish<'a>(&'a self, ticket: &'a Ticket) -> BoxFuture<'a, Result<(), BrokerError>> {
        Box::pin(async {
            self.reach().await?;
            self.published.add(1);
            self.bytes.add(json_bytes(ticket));
            self.waiting.lock().unwrap().push_back(ticket.clone());
            self.ready.add_permits(1);
            Ok(())
        })
    }

    fn receive<'a>(
        &'a self,
        _environments: &'a [String],
        wait: Duration,
    ) -> BoxFuture<'a, Result<Option<Delivery>, BrokerError>> {
        Box::pin(async move {
            self.reach().await?;
            self.asked.add(1);
            let Ok(permit) = timeout(wait, self.ready.acquire()).await else { return Ok(None) };
            permit.unwrap().forget();
            let Some(ticket) = self.waiting.lock().unwrap().pop_front() else { return Ok(None) };
            self.delivered.add(1);
            self.bytes.add(json_bytes(&ticket));
            let hold = Hold::new(Instant::now(), VISIBILITY);
            Ok(Some(Delivery { ticket, deliveries: 1, receipt: Receipt::Memory(0), hold }))
        })
    }

    fn heartbeat_interval(&self) -> Duration {
        HEARTBEAT_INTERVAL
    }

    fn extend<'a>(&'a self, _delivery: &'a Delivery) -> BoxFuture<'a, Result<(), BrokerError>> {
        Box::pin(async {
            self.reach().await?;
            self.extended.add(1);
            Ok(())
        })
    }

    fn ack(&self, _delivery: Delivery) -> BoxFuture<'_, Result<(), BrokerError>> {
        Box::pin(async {
            self.reach().await?;
            self.acknowledged.add(1);
            Ok(())
        })
    }

    fn release(
        &self,
        delivery: Delivery,
        _after: Duration,
    ) -> BoxFuture<'_, Result<(), BrokerError>> {
        Box::pin(async move { self.publish(&delivery.ticket).await })
    }

    fn dead_letters(&self, _limit: usize) -> BoxFuture<'_, Result<Vec<DeadLetter>, BrokerError>> {
        Box::pin(async { Ok(Vec::new()) })
    }

    fn requeue_dead<'a>(&'a self, id: &'a str) -> BoxFuture<'a, Result<(), BrokerError>> {
        Box::pin(async { Err(BrokerError::NoDeadLetter(id.to_owned())) })
    }

    fn remove_dead<'a>(&'a self, id: &'a str) -> BoxFuture<'a, Result<(), BrokerError>> {
        self.requeue_dead(id)
    }

    fn stats(&self) -> BoxFuture<'_, Result<BrokerStats, BrokerError>> {
        Box::pin(async { Ok(BrokerStats::default()) })
    }
}

/// A journal whose commits take as long as a flush.
#[derive(Debug, Default)]
pub(super) struct CountedJournal {
    /// How long each commit takes.
    pub(super) latency: Duration,
    pub(super) commits: Count,
    pub(super) accepted: Count,
    pub(super) started: Count,
    pub(super) retried: Count,
    pub(super) ended: Count,
    pub(super) events: Count,
    pub(super) bytes: Count,
}

impl Journal for CountedJournal {
    fn commit<'a>(&'a self, change: &'a Change) -> BoxFuture<'a, Result<(), JournalError>> {
        self.commit_all(std::slice::from_ref(change))
    }

    fn commit_all<'a>(&'a self, changes: &'a [Change]) -> BoxFuture<'a, Result<(), JournalError>> {
        Box::pin(async move {
            sleep(self.latency).await;
            self.commits.add(1);
            for change in changes {
                let (count, bytes) = match &change.transition {
                    Transition::Accepted(new) => {
                        (&self.accepted, json_bytes(&new.evaluation) + json_bytes(&new.submission))
                    }
                    Transition::Started(evaluation) => (&self.started, json_bytes(evaluation)),
                    Transition::Retried(retried) => (&self.retried, json_bytes(&retried.lost)),
                    Transition::Ended(evaluation) => (&self.ended, json_bytes(evaluation)),
                };
                count.add(1);
                self.bytes.add(bytes + change.events.iter().map(json_bytes).sum::<u64>());
                self.events.add(change.events.len() as u64);
            }
            Ok(())
        })
    }

    fn publish(&self, _events: Vec<Event>) {}

    /// What is committed is counted as if it were on a disk.
    fn is_durable(&self) -> bool {
        true
    }
}
