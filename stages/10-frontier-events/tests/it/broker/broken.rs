//! The suite's own test: a broker with a bug does not pass.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures_util::future::BoxFuture;
use stage_10_frontier_events::{
    Broker, BrokerError, BrokerOptions, BrokerStats, DeadLetter, Delivery, MemoryBroker, Ticket,
};

use super::suite::{Guarantees, MakeBroker, Memory, PYTHON, broker_suite};

#[derive(Clone, Copy, Debug, PartialEq)]
enum Bug {
    AckBeforeWork,
    NoRedelivery,
    NoBound,
    NoDedup,
    ExtendDoesNothing,
    Prefetch,
    AcceptsStaleReceipts,
    ReleasesAtOnce,
    IgnoresEnvironments,
    NeverDies,
    ForgetsDeadLetters,
    PublishesTwice,
    KeepsAcknowledged,
    RemovesNothing,
}

/// Each bug, and a check that must notice it.
const NOTICED_BY: &[(Bug, &str)] = &[
    (Bug::AckBeforeWork, "a dead receiver's ticket is delivered again"),
    (Bug::NoRedelivery, "a dead receiver's ticket is delivered again"),
    (Bug::NoBound, "a full broker refuses, and takes more after an ack"),
    (Bug::NoDedup, "a ticket that is published twice"),
    (Bug::ExtendDoesNothing, "a delivery that is extended stays"),
    (Bug::Prefetch, "the counts are right"),
    (Bug::AcceptsStaleReceipts, "a stale receipt changes nothing"),
    (Bug::ReleasesAtOnce, "a released ticket comes after its delay"),
    (Bug::IgnoresEnvironments, "a receiver gets its environments only"),
    (Bug::NeverDies, "after its last delivery a ticket is a dead letter"),
    (Bug::ForgetsDeadLetters, "what is no ticket blocks nothing"),
    (Bug::PublishesTwice, "first deliveries are in order"),
    (Bug::KeepsAcknowledged, "an acknowledged ticket never comes again"),
    (Bug::RemovesNothing, "a dead letter that is removed is gone"),
];

struct MakeBroken(Bug, Memory);

impl MakeBroker for MakeBroken {
    fn guarantees(&self) -> Guarantees {
        self.1.guarantees()
    }

    fn open<'a>(
        &'a self,
        name: &'a str,
        mut options: BrokerOptions,
    ) -> BoxFuture<'a, Arc<dyn Broker>> {
        match self.0 {
            Bug::NoRedelivery => options.visibility *= 1000,
            Bug::NoBound => options.capacity = u64::MAX,
            Bug::NoDedup | Bug::PublishesTwice => options.dedup_window = Duration::ZERO,
            Bug::NeverDies => options.max_deliveries = u32::MAX,
            _ => {}
        }
        let inner = self.1.broker(name, options);
        let broken = Broken { bug: self.0, inner, scratch: scratch(), fetched: Mutex::default() };
        Box::pin(async move { Arc::new(broken) as Arc<dyn Broker> })
    }

    fn inject<'a>(&'a self, name: &'a str, bytes: &'a str) -> BoxFuture<'a, ()> {
        self.1.inject(name, bytes)
    }
}

fn scratch() -> MemoryBroker {
    MemoryBroker::new(BrokerOptions {
        dedup_window: Duration::ZERO,
        visibility: Duration::from_hours(1),
        ..BrokerOptions::default()
    })
}

/// A broker in memory with one bug.
struct Broken {
    bug: Bug,
    inner: Arc<MemoryBroker>,
    // Makes deliveries of tickets that `inner` has no more.
    scratch: MemoryBroker,
    fetched: Mutex<Vec<Delivery>>,
}

impl Broken {
    async fn take(
        &self,
        environments: &[String],
        wait: Duration,
    ) -> Result<Option<Delivery>, BrokerError> {
        let all = [PYTHON, "one", "two", "three", "other"].map(str::to_owned);
        let environments =
            if self.bug == Bug::IgnoresEnvironments { &all[..] } else { environments };
        if let Some(fetched) = self.fetched.lock().unwrap().pop() {
            return Ok(Some(fetched));
        }
        let Some(delivery) = self.inner.receive(environments, wait).await? else { return Ok(None) };
        match self.bug {
            Bug::AckBeforeWork => {
                let ticket = delivery.ticket.clone();
                self.inner.ack(delivery).await?;
                self.scratch.publish(&ticket).await?;
                self.scratch.receive(&[ticket.environment], Duration::ZERO).await
            }
            Bug::Prefetch => {
                let more = self.inner.receive(environments, Duration::ZERO).await?;
                self.fetched.lock().unwrap().extend(more);
                Ok(Some(delivery))
            }
            _ => Ok(Some(delivery)),
        }
    }
}

fn is_bug<T: Default>(is: bool, result: Result<T, BrokerError>) -> Result<T, BrokerError> {
    if is { Ok(result.unwrap_or_default()) } else { result }
}

impl Broker for Broken {
    fn publish<'a>(&'a self, ticket: &'a Ticket) -> BoxFuture<'a, Result<(), BrokerError>> {
        Box::pin(async move {
            if self.bug == Bug::PublishesTwice {
                self.inner.publish(ticket).await?;
            }
            self.inner.publish(ticket).await
        })
    }

    fn receive<'a>(
        &'a self,
        environments: &'a [String],
        wait: Duration,
    ) -> BoxFuture<'a, Result<Option<Delivery>, BrokerError>> {
        Box::pin(self.take(environments, wait))
    }

    fn heartbeat_interval(&self) -> Duration {
        self.inner.heartbeat_interval()
    }

    fn extend<'a>(&'a self, delivery: &'a Delivery) -> BoxFuture<'a, Result<(), BrokerError>> {
        Box::pin(async move {
            if self.bug == Bug::ExtendDoesNothing {
                return Ok(());
            }
            let is_bug_here = matches!(self.bug, Bug::AcceptsStaleReceipts | Bug::AckBeforeWork);
            is_bug(is_bug_here, self.inner.extend(delivery).await)
        })
    }

    fn ack(&self, delivery: Delivery) -> BoxFuture<'_, Result<(), BrokerError>> {
        Box::pin(async move {
            if self.bug == Bug::KeepsAcknowledged {
                return self.inner.extend(&delivery).await;
            }
            let is_bug_here = matches!(self.bug, Bug::AcceptsStaleReceipts | Bug::AckBeforeWork);
            is_bug(is_bug_here, self.inner.ack(delivery).await)
        })
    }

    fn release(
        &self,
        delivery: Delivery,
        after: Duration,
    ) -> BoxFuture<'_, Result<(), BrokerError>> {
        let after = if self.bug == Bug::ReleasesAtOnce { Duration::ZERO } else { after };
        Box::pin(async move {
            is_bug(self.bug == Bug::AckBeforeWork, self.inner.release(delivery, after).await)
        })
    }

    fn dead_letters(&self, limit: usize) -> BoxFuture<'_, Result<Vec<DeadLetter>, BrokerError>> {
        let limit = if self.bug == Bug::ForgetsDeadLetters { 0 } else { limit };
        self.inner.dead_letters(limit)
    }

    fn requeue_dead<'a>(&'a self, id: &'a str) -> BoxFuture<'a, Result<(), BrokerError>> {
        self.inner.requeue_dead(id)
    }

    fn remove_dead<'a>(&'a self, id: &'a str) -> BoxFuture<'a, Result<(), BrokerError>> {
        Box::pin(async move {
            if self.bug == Bug::RemovesNothing {
                return Ok(());
            }
            self.inner.remove_dead(id).await
        })
    }

    fn stats(&self) -> BoxFuture<'_, Result<BrokerStats, BrokerError>> {
        self.inner.stats()
    }
}

#[tokio::test(start_paused = true)]
async fn a_broker_with_a_bug_does_not_pass_the_suite() {
    for (bug, check) in NOTICED_BY {
        let report = broker_suite(&MakeBroken(*bug, Memory::default())).await;
        let failed = report.failed();
        assert!(failed.contains(check), "{bug:?} is noticed by {failed:?} only");
    }
}
