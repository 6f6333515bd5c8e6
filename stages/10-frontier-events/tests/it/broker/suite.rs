//! The conformance suite: what every broker does, and what it says that it does.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures_util::future::{BoxFuture, join_all};
use stage_10_frontier_events::{Broker, BrokerOptions, Delivery, MemoryBroker, Ticket};
use uuid::Uuid;

use super::{checks, dead};

/// The environment of most checks.
pub(crate) const PYTHON: &str = "python";

/// Until a delivery expires, in the checks that wait for it. A busy machine may lose some seconds of it.
pub(crate) const VISIBILITY_TIMEOUT: Duration = Duration::from_secs(10);

/// A wait that is long enough for what must come, on a machine with a load of 20.
pub(crate) const ARRIVAL_TIMEOUT: Duration = Duration::from_secs(30);

/// A wait for what must not come.
pub(crate) const SILENCE_WINDOW: Duration = Duration::from_secs(1);

/// What a broker guarantees beside what all do.
#[derive(Clone, Copy, Default)]
pub(crate) struct Guarantees {
    /// First deliveries are in the order of publishing.
    pub(crate) order: bool,
    /// A ticket that is published twice within the window is delivered once.
    pub(crate) dedup: bool,
}

/// Opens brokers of one kind.
pub(crate) trait MakeBroker: Send + Sync {
    fn guarantees(&self) -> Guarantees;

    /// Another connection to the queues of that name, which are empty before the first.
    fn open<'a>(&'a self, name: &'a str, options: BrokerOptions) -> BoxFuture<'a, Arc<dyn Broker>>;

    /// Puts bytes into the queue of `python` of that name, as another program can.
    fn inject<'a>(&'a self, name: &'a str, bytes: &'a str) -> BoxFuture<'a, ()>;
}

/// The settings of checks in which a delivery expires.
pub(crate) fn short_lived() -> BrokerOptions {
    BrokerOptions { visibility: VISIBILITY_TIMEOUT, ..options() }
}

/// The settings of most checks: nothing expires.
pub(crate) fn options() -> BrokerOptions {
    BrokerOptions {
        visibility: ARRIVAL_TIMEOUT * 10,
        capacity: 100,
        max_deliveries: 5,
        ..BrokerOptions::default()
    }
}

pub(crate) fn ticket() -> Ticket {
    Ticket {
        evaluation: Uuid::now_v7(),
        attempt: 1,
        environment: PYTHON.to_owned(),
        group: Some("5f2a".to_owned()),
    }
}

pub(crate) type Checked = anyhow::Result<()>;

/// One check.
#[derive(Clone, Copy)]
pub(crate) struct Check {
    pub(crate) name: &'static str,
    pub(crate) run: for<'a> fn(&'a Bench<'a>) -> BoxFuture<'a, Checked>,
}

/// What a check works with: brokers on queues of its own.
pub(crate) struct Bench<'a> {
    make: &'a dyn MakeBroker,
    name: String,
}

impl Bench<'_> {
    pub(crate) async fn open(&self) -> Arc<dyn Broker> {
        self.open_with(options()).await
    }

    pub(crate) async fn open_with(&self, options: BrokerOptions) -> Arc<dyn Broker> {
        self.make.open(&self.name, options).await
    }

    pub(crate) async fn inject(&self, bytes: &str) {
        self.make.inject(&self.name, bytes).await;
    }

    pub(crate) fn guarantees(&self) -> Guarantees {
        self.make.guarantees()
    }
}

/// The next delivery of `python`, which must come.
pub(crate) async fn next(broker: &dyn Broker) -> anyhow::Result<Delivery> {
    let delivery = broker.receive(&[PYTHON.to_owned()], ARRIVAL_TIMEOUT).await?;
    delivery.ok_or_else(|| anyhow::anyhow!("no delivery within {ARRIVAL_TIMEOUT:?}"))
}

/// Fails when there is a delivery of `python`.
pub(crate) async fn none(broker: &dyn Broker, why: &str) -> Checked {
    let delivery = broker.receive(&[PYTHON.to_owned()], SILENCE_WINDOW).await?;
    anyhow::ensure!(delivery.is_none(), "{why}: {delivery:?}");
    Ok(())
}

/// How the checks ended.
pub(crate) struct Report(pub(crate) Vec<(&'static str, Checked)>);

impl Report {
    pub(crate) fn failed(&self) -> Vec<&'static str> {
        self.0.iter().filter(|(_, result)| result.is_err()).map(|(name, _)| *name).collect()
    }

    pub(crate) fn assert_passed(&self) {
        let failed = self.0.iter().filter_map(|(name, result)| {
            result.as_ref().err().map(|error| format!("{name}: {error:#}"))
        });
        let failed: Vec<_> = failed.collect();
        assert!(
            failed.is_empty(),
            "{} of {} failed:\n{}",
            failed.len(),
            self.0.len(),
            failed.join("\n")
        );
    }
}

/// Runs every check, all at once: each on queues of its own.
pub(crate) async fn broker_suite(make: &dyn MakeBroker) -> Report {
    run_checks(make, [checks::CHECKS, dead::CHECKS].concat()).await
}

pub(crate) async fn run_checks(make: &dyn MakeBroker, checks: Vec<Check>) -> Report {
    let runs = checks.iter().enumerate().map(async |(number, check)| {
        let bench = Bench { make, name: format!("check-{number}") };
        (check.name, (check.run)(&bench).await)
    });
    Report(join_all(runs).await)
}

/// Brokers in memory, one for each name.
#[derive(Default)]
pub(crate) struct Memory(Mutex<HashMap<String, Arc<MemoryBroker>>>);

impl Memory {
    pub(crate) fn broker(&self, name: &str, options: BrokerOptions) -> Arc<MemoryBroker> {
        let mut brokers = self.0.lock().unwrap();
        brokers.entry(name.to_owned()).or_insert_with(|| MemoryBroker::new(options).into()).clone()
    }
}

impl MakeBroker for Memory {
    fn guarantees(&self) -> Guarantees {
        Guarantees { order: true, dedup: true }
    }

    fn open<'a>(&'a self, name: &'a str, options: BrokerOptions) -> BoxFuture<'a, Arc<dyn Broker>> {
        Box::pin(async move { self.broker(name, options) as Arc<dyn Broker> })
    }

    fn inject<'a>(&'a self, name: &'a str, bytes: &'a str) -> BoxFuture<'a, ()> {
        Box::pin(async move { self.broker(name, options()).inject(PYTHON, bytes.to_owned()) })
    }
}
