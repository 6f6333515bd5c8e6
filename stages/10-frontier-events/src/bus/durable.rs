//! Subscribers that get each event at least once, across a crash.
//!
//! The cursor of a subscriber is in the database. What a handler returns is written in the transaction
//! that moves the cursor, so that a crash leaves both or neither; what it does elsewhere is done before,
//! and may be done twice.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use backon::{BackoffBuilder as _, ExponentialBuilder};
use futures_util::FutureExt as _;
use rusqlite::Connection;
use shared::{BoxError, BoxFuture};
use stage_03_monitoring::{Gap, SequencedEvent, SubscribeError};
use stage_09_frontier::StoreError;

use super::handlers::HANDLER_TIMEOUT;
use super::reader::{BusItem, BusReader};
use super::{EventBus, Lag, Start, Subscribe, Topic, cursor};

/// How long a cursor may lag behind events that needed nothing.
pub(super) const CURSOR_INTERVAL: Duration = Duration::from_millis(500);
/// Calls for one event before it is skipped.
const MAX_TRIES: usize = 8;
/// The waits between them.
const MIN_RETRY_DELAY: Duration = Duration::from_millis(100);
const MAX_RETRY_DELAY: Duration = Duration::from_secs(10);

/// What a handler has to write for an event, in the transaction that moves the cursor.
pub type Work = Box<dyn FnOnce(&Connection) -> Result<(), StoreError> + Send>;

/// Handles the events of a durable subscriber, one after the other.
pub trait DurableHandler: Send + Sync + 'static {
    /// The name of its cursor.
    fn name(&self) -> &'static str;

    /// Handles one event. The cursor moves past it when the future has ended well, and what it returns
    /// is written. An error, a panic or 30 seconds without an end are a failure; it is called again for
    /// the same event, and after eight failures the event is skipped. While the disk is full, or the database slow,
    /// it is called again without an end.
    fn handle<'a>(
        &'a self,
        event: &'a Arc<SequencedEvent>,
    ) -> BoxFuture<'a, Result<Option<Work>, BoxError>>;

    /// What was returned is committed.
    fn committed(&self) {}

    /// The log has dropped events before they could be handled.
    fn missed(&self, gap: Gap) {
        let Gap { from, to } = gap;
        tracing::error!(subscriber = self.name(), from, to, "events were not handled");
    }
}

impl EventBus {
    /// Attaches a durable subscriber. Without a cursor it begins with the next event.
    ///
    /// # Errors
    ///
    /// When its cursor or the log cannot be read.
    pub async fn attach_durable(
        self: &Arc<Self>,
        handler: Arc<dyn DurableHandler>,
    ) -> Result<(), SubscribeError> {
        let name = handler.name();
        let stored = self.store.read(move |db| cursor::read(db, name));
        let stored = stored.await.map_err(|error| SubscribeError::Unavailable(error.into()))?;
        let newest = self.newest().await?;
        let after = match stored {
            Some(number) if number > newest => {
                tracing::warn!(subscriber = name, number, newest, "the cursor is ahead of the log");
                newest
            }
            Some(number) => number,
            None => newest,
        };
        let how = Subscribe {
            name,
            topic: Topic::Everything,
            start: Start::After(after),
            queue: 64,
            lag: Lag::Wait,
        };
        let reader = self.subscribe(how).await?;
        let store = Arc::clone(&self.store);
        // From now on it has a cursor: what comes while the server is down is handled later.
        let write = store.write(move |db| cursor::write(db, name, after));
        write.await.map_err(|error| SubscribeError::Unavailable(error.into()))?;
        tokio::spawn(Durable { handler, store, reader, cursor: after, written: after }.run());
        Ok(())
    }
}

/// Why an event was not handled.
struct Failure {
    error: String,
    /// Whether it is of the disk or the database, and of no event: another try will succeed some time.
    is_of_disk: bool,
}

impl Failure {
    fn of_handler(what: &str) -> Self {
        Self { error: what.to_owned(), is_of_disk: false }
    }

    fn of(error: &(dyn std::error::Error + 'static)) -> Self {
        let of_store = error.downcast_ref::<StoreError>();
        let is_of_disk = of_store
            .is_some_and(|error| error.is_full() || matches!(error, StoreError::TooSlow { .. }));
        Self { error: error.to_string(), is_of_disk }
    }
}

struct Durable {
    handler: Arc<dyn DurableHandler>,
    store: Arc<stage_09_frontier::Store>,
    reader: BusReader,
    /// The last event that was handled.
    cursor: u64,
    /// The cursor in the database.
    written: u64,
}

impl Durable {
    // ANCHOR: durable
    async fn run(mut self) {
        let mut ticks = tokio::time::interval(CURSOR_INTERVAL);
        ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            let is_behind = self.cursor > self.written;
            let item = tokio::select! {
                item = self.reader.next() => item,
                _ = ticks.tick(), if is_behind => {
                    self.write(None).await.ok(); // it is logged, and tried again
                    continue;
                }
            };
            match item {
                Ok(BusItem::Event(event)) => {
                    if !is_behind {
                        // A tick that was due while nothing happened would be a flush right after the event,
                        // in the way of what its evaluation writes next.
                        ticks.reset();
                    }
                    self.handle(&event).await;
                }
                Ok(BusItem::Missed(gap)) => {
                    self.handler.missed(gap);
                    self.cursor = gap.to;
                }
                Err(_) => break,
            }
        }
        self.write(None).await.ok();
    }

    async fn handle(&mut self, event: &Arc<SequencedEvent>) {
        let delays = ExponentialBuilder::default()
            .with_min_delay(MIN_RETRY_DELAY)
            .with_max_delay(MAX_RETRY_DELAY)
            .with_max_times(MAX_TRIES - 1)
            .with_jitter();
        let mut delays = delays.build();
        self.cursor = event.sequence;
        while let Err(Failure { error, is_of_disk }) = self.attempt(event).await {
            let (subscriber, number) = (self.handler.name(), event.sequence);
            self.reader.count_failure();
            let Some(delay) = delays.next().or(is_of_disk.then_some(MAX_RETRY_DELAY)) else {
                tracing::error!(subscriber, number, error, "an event was skipped");
                return;
            };
            tracing::warn!(subscriber, number, error, "an event is handled again");
            tokio::time::sleep(delay).await;
        }
    }

    async fn attempt(&mut self, event: &Arc<SequencedEvent>) -> Result<(), Failure> {
        let call = AssertUnwindSafe(self.handler.handle(event)).catch_unwind();
        let result = tokio::time::timeout(HANDLER_TIMEOUT, call).await;
        let result = result.map_err(|_| Failure::of_handler("it took too long"))?;
        let result = result.map_err(|_| Failure::of_handler("it panicked"))?;
        let Some(work) = result.map_err(|error| Failure::of(&*error))? else { return Ok(()) };
        match self.write(Some(work)).await {
            Ok(()) => self.handler.committed(),
            // The server ends, and its next start begins with this event.
            Err(StoreError::Closed) => {}
            Err(error) => return Err(Failure::of(&error)),
        }
        Ok(())
    }
    // ANCHOR_END: durable

    async fn write(&mut self, work: Option<Work>) -> Result<(), StoreError> {
        let (name, number) = (self.handler.name(), self.cursor);
        let write = self.store.write(move |db| {
            work.map_or(Ok(()), |work| work(db))?;
            cursor::write(db, name, number)
        });
        let result = write.await;
        match &result {
            Ok(()) => self.written = number,
            // The server ends. What needed a write was written with its cursor.
            Err(StoreError::Closed) => {}
            Err(error) => tracing::warn!(subscriber = name, %error, "the cursor was not moved"),
        }
        result
    }
}
