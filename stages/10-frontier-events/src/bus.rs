//! The event bus: subscribers of the event log, none of which can harm the log or another subscriber.
//!
//! The log of stage 09 is the outbox: an event is committed with the change that it belongs to, numbered,
//! and visible after the change. The bus reads that log. A subscriber is a task of its own with a position
//! in the log and a bounded queue; what happens when the queue is full is its [`Lag`].
//!
//! 1. [`Topic`]: which events; [`Lag`] and [`Subscribe`]: how;
//! 2. [`BusReader`]: a subscriber that reads; `pump` fills its queue;
//! 3. `handlers`: functions that are called, async and on a thread; they may panic and hang;
//! 4. [`DurableHandler`]: a subscriber with a cursor in the database, which gets each event at least once;
//! 5. `history`: what is stored of a topic; `routes`: the same over HTTP; `suite`: how the bus verifies itself.
//!
//! | attack | setting | test |
//! |---|---|---|
//! | a subscriber that never reads | its own task waits, or drops, or ends it | `a_subscriber_that_never_reads_delays_nobody` |
//! | a subscriber that panics at each event | the panic is caught and counted | `a_handler_that_panics_gets_the_next_event` |
//! | a subscriber that hangs | its time is limited; on a thread, only that thread hangs | `a_handler_that_hangs_gets_the_next_event` |

mod cursor;
mod durable;
mod handlers;
mod history;
mod pump;
mod reader;
mod routes;
mod suite;
mod topic;

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use shared::{Event, EventSink};
use stage_03_monitoring::{EventLog, EventLogError, Filter, SubscribeError};
use stage_09_frontier::{Store, StoreError};
use tokio::sync::mpsc;
use tokio_util::sync::{CancellationToken, DropGuard};

pub use durable::{DurableHandler, Work};
pub use history::HistoryPage;
pub use reader::{BusItem, BusReader, ReadEnd};
pub(crate) use routes::{EventHistory, SOURCE};
pub use topic::{Topic, TopicError};

use pump::Pump;

/// What happens to a subscriber whose queue is full.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Lag {
    /// It falls behind: the events wait in the log, as long as the log stores them.
    Wait,
    /// Events are dropped, and a [`BusItem::Missed`] with their numbers stands in their place.
    Drop,
    /// It is disconnected, with the number of the last event that it was sent.
    Disconnect,
}

/// Where a subscriber starts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Start {
    /// At the next event; with an evaluation, at its first.
    Now,
    /// After the event with this number; 0 is the beginning of what is stored.
    After(u64),
}

/// How to subscribe.
#[derive(Debug, Clone)]
pub struct Subscribe {
    /// A name for reports.
    pub name: &'static str,
    /// Which events.
    pub topic: Topic,
    /// From where.
    pub start: Start,
    /// Events in its queue.
    pub queue: usize,
    /// What happens when that is full.
    pub lag: Lag,
}

impl Subscribe {
    /// Subscribes to `topic` from now on, with a queue of 256 that drops what is too much.
    pub fn to(name: &'static str, topic: Topic) -> Self {
        Self { name, topic, start: Start::Now, queue: 256, lag: Lag::Drop }
    }
}

/// What became of the events of one subscriber.
#[derive(Debug, Default)]
pub(crate) struct Counts {
    pub(crate) delivered: AtomicU64,
    pub(crate) dropped: AtomicU64,
    pub(crate) failed: AtomicU64,
    /// The number of the last event that was looked at.
    pub(crate) position: AtomicU64,
}

/// One subscriber, for reports.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SubscriberStats {
    /// Its name.
    pub name: &'static str,
    /// Events that it was sent.
    pub delivered: u64,
    /// Events that it missed.
    pub dropped: u64,
    /// Calls of its handler that failed, panicked or took too long.
    pub failed: u64,
    /// The number of the last event that was looked at for it.
    pub position: u64,
}

/// The bus over one event log.
pub struct EventBus {
    log: Arc<dyn EventLog>,
    sink: Arc<dyn EventSink>,
    store: Arc<Store>,
    subscribers: Arc<Subscribers>,
    /// Ends the tasks of the subscribers.
    stop: CancellationToken,
    _stop_guard: DropGuard,
}

/// The subscribers that there are.
#[derive(Default)]
struct Subscribers {
    next: AtomicU64,
    counts: Mutex<BTreeMap<u64, (&'static str, Arc<Counts>)>>,
}

impl EventBus {
    /// The bus over `log`. What is published goes into `sink`, which appends to that log; cursors are in
    /// `store`.
    ///
    /// # Errors
    ///
    /// When the tables of this stage cannot be created.
    pub async fn start(
        log: Arc<dyn EventLog>,
        sink: Arc<dyn EventSink>,
        store: Arc<Store>,
    ) -> Result<Arc<Self>, StoreError> {
        cursor::create_table(&store).await?;
        let stop = CancellationToken::new();
        let guard = stop.clone().drop_guard();
        let subscribers = Arc::default();
        Ok(Arc::new(Self { log, sink, store, subscribers, stop, _stop_guard: guard }))
    }

    /// Publishes an event that belongs to no change. Those of evaluations are published by the journal.
    pub fn publish(&self, event: Event) {
        self.sink.emit(event);
    }

    // ANCHOR: subscribe
    /// Subscribes. The events of one evaluation come in their order.
    ///
    /// # Errors
    ///
    /// When there is nothing to follow, such as an evaluation that does not exist.
    pub async fn subscribe(&self, how: Subscribe) -> Result<BusReader, SubscribeError> {
        let after = match how.start {
            Start::Now => None,
            Start::After(number) => Some(number),
        };
        let filter = how.topic.filter();
        let (position, newest) = self.log.position(filter, after).await?;
        let (sender, receiver) = mpsc::channel(how.queue.max(1));
        let (counts, place) = self.subscribers.add(how.name);
        counts.position.store(position, Ordering::Relaxed);
        let end = Arc::default();
        let pump = Pump {
            log: Arc::clone(&self.log),
            topic: how.topic,
            lag: how.lag,
            sender,
            newest,
            counts: Arc::clone(&counts),
            end: Arc::clone(&end),
        };
        let stop = self.stop.child_token();
        let guard = stop.clone().drop_guard();
        tokio::spawn(async move { stop.run_until_cancelled(pump.run(position)).await });
        Ok(BusReader { receiver, end, counts, _pump: guard, _place: place })
    }
    // ANCHOR_END: subscribe

    /// What became of the events of each subscriber.
    pub fn stats(&self) -> Vec<SubscriberStats> {
        let count = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        let counts = self.subscribers.lock();
        let stats = counts.values().map(|(name, counts)| SubscriberStats {
            name,
            delivered: count(&counts.delivered),
            dropped: count(&counts.dropped),
            failed: count(&counts.failed),
            position: count(&counts.position),
        });
        stats.collect()
    }

    /// The number of the newest event that can be read.
    ///
    /// # Errors
    ///
    /// When the log cannot be read.
    pub async fn newest(&self) -> Result<u64, SubscribeError> {
        Ok(self.log.position(Filter::Everything, None).await?.0)
    }

    /// Where the cursors are.
    pub(crate) fn store(&self) -> Arc<Store> {
        Arc::clone(&self.store)
    }

    /// A bus of the same kind for a check, with a log and a database of its own.
    pub(crate) async fn scratch(&self) -> Result<Arc<Self>, ScratchError> {
        let log = self.log.scratch().await?;
        let sink = Arc::new(LogSink(Arc::clone(&log)));
        Ok(Self::start(log, sink, Store::scratch()?).await?)
    }
}

/// Why there is no scratch bus.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ScratchError {
    #[error("no scratch log")]
    Log(#[from] EventLogError),
    #[error("no scratch database")]
    Store(#[from] StoreError),
}

/// Appends to a log, without a monitor in front.
struct LogSink(Arc<dyn EventLog>);

impl EventSink for LogSink {
    fn emit(&self, event: Event) {
        self.0.append(event);
    }
}

impl Subscribers {
    fn lock(&self) -> MutexGuard<'_, BTreeMap<u64, (&'static str, Arc<Counts>)>> {
        // No code panics while it holds the lock.
        self.counts.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn add(self: &Arc<Self>, name: &'static str) -> (Arc<Counts>, Place) {
        let (id, counts) = (self.next.fetch_add(1, Ordering::Relaxed), Arc::<Counts>::default());
        self.lock().insert(id, (name, Arc::clone(&counts)));
        (counts, Place { id, subscribers: Arc::clone(self) })
    }
}

/// The place of a subscriber in the reports, which ends with it.
pub(crate) struct Place {
    id: u64,
    subscribers: Arc<Subscribers>,
}

impl Drop for Place {
    fn drop(&mut self) {
        self.subscribers.lock().remove(&self.id);
    }
}

#[cfg(test)]
mod tests;
