//! The event log in the database. Its numbers go on after a restart.
//!
//! An event is visible when it is on disk, and not before: a reader that comes back after a crash has
//! no number that the log does not know. Two ways lead in:
//!
//! * the events of a change of an evaluation are in the transaction of the change
//!   ([`SqliteEventLog::commit`]), and become visible when the ledger publishes them;
//! * all others, such as output, are collected in a buffer that the writer empties with its next
//!   group ([`EventLog::append`]).
//!
//! Readers are served from [`Tail`], the newest events in memory, and from the database before that.
//! No stream has a transaction open while it waits: each event is a read of its own.

mod buffer;
mod rows;
mod tail;
mod writes;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use shared::{BoxError, BoxFuture, Event};
use stage_03_monitoring::{
    EventLog, EventLogError, Filter, Gap, History, LogMismatch, LogStats, Next, SequencedEvent,
    SubscribeError,
};
use tokio::sync::watch;
use uuid::Uuid;

use crate::store::{Connection, DataDir, Store, StoreError};
use buffer::Buffer;
pub(crate) use rows::{drop_events, drop_orphans, event_bytes, insert_events, newest_number};
use tail::{Cached, Tail};
use writes::Writes;

/// Events of one evaluation that a history returns.
const MAX_HISTORY: usize = 4096;

/// Numbers, stores and serves events, by way of the database.
pub(crate) struct SqliteEventLog {
    store: Arc<Store>,
    tail: Arc<Tail>,
    buffer: Arc<Buffer>,
    writes: Writes,
    gaps: AtomicU64,
}

impl SqliteEventLog {
    /// The log in `store`, which goes on with the number after the last one that was given.
    ///
    /// # Errors
    ///
    /// When the database cannot be read.
    pub(crate) async fn open(store: Arc<Store>) -> Result<Arc<Self>, StoreError> {
        let (newest, count) = store.read(|db| Ok((newest_number(db)?, rows::count(db)?))).await?;
        let (tail, buffer) = (Arc::new(Tail::new(newest, count)), Arc::<Buffer>::default());
        let writes = Writes::new(&store, &tail, &buffer);
        Ok(Arc::new(Self { store, tail, buffer, writes, gaps: AtomicU64::new(0) }))
    }

    // ANCHOR: commit
    /// Runs `change` in a transaction, which returns the events that it has inserted. They become
    /// visible when they are appended, which the ledger does when the change itself is visible.
    ///
    /// # Errors
    ///
    /// When the change was not committed.
    pub(crate) fn commit(
        &self,
        change: impl FnOnce(&Connection) -> Result<Vec<SequencedEvent>, StoreError> + Send + 'static,
    ) -> BoxFuture<'static, Result<(), StoreError>> {
        let tail = Arc::clone(&self.tail);
        self.store.write_and(change, move |events| tail.committed(events, true))
    }
    // ANCHOR_END: commit

    /// The same with a change that all output of an evaluation comes before, which was released.
    ///
    /// Attack: a program prints while the disk is full, and ends in the moment in which there is room again, so that its
    /// end gets a number and its output a later one → the end is not committed; tried again, it is behind the output. Test:
    /// `an_end_waits_for_output_that_met_a_full_disk`.
    ///
    /// # Errors
    ///
    /// When the change was not committed, or output waits.
    pub(crate) fn commit_after_output(
        &self,
        id: Uuid,
        change: impl FnOnce(&Connection) -> Result<Vec<SequencedEvent>, StoreError> + Send + 'static,
    ) -> BoxFuture<'static, Result<(), StoreError>> {
        let buffer = Arc::clone(&self.buffer);
        self.commit(move |db| {
            // In the thread of the writer: a write that has failed has put its events back.
            if buffer.has_output(id) { Err(StoreError::OutputWaits) } else { change(db) }
        })
    }

    /// Writes what is held of the output of an evaluation, before its end is committed.
    pub(crate) fn release(&self, id: Uuid) {
        if self.buffer.release(id) {
            self.writes.schedule();
        }
    }

    /// As after a write of this event that met a full disk, with its retry still to come.
    #[cfg(test)]
    pub(crate) fn meet_a_full_disk(&self, event: Event) {
        self.buffer.push(event);
        self.buffer.failed();
    }

    /// Returns when everything that was appended before is visible.
    async fn written(&self) -> Result<(), StoreError> {
        if self.buffer.retry() {
            self.writes.schedule();
        }
        if self.buffer.is_unwritten() { self.store.write(|_| Ok(())).await } else { Ok(()) }
    }

    async fn next(&self, filter: Filter, last: u64) -> Result<Option<Next>, StoreError> {
        let visible = match self.tail.after(filter, last) {
            Cached::Event(event) => return Ok(Some(Next::Event(event))),
            Cached::Pending => return Ok(Some(Next::Pending)),
            Cached::Unknown { visible } => visible,
        };
        let next = self.store.read(move |db| rows::next(db, filter, last, visible)).await?;
        if matches!(next, Some(Next::Gap(_))) {
            self.gaps.fetch_add(1, Ordering::Relaxed);
        }
        Ok(next)
    }

    async fn follow(
        &self,
        filter: Filter,
        after: Option<u64>,
    ) -> Result<(u64, watch::Receiver<u64>), SubscribeError> {
        self.written().await.map_err(unavailable)?;
        // Before the log is read: what is published in between wakes this reader.
        let (newest, receiver) = self.tail.watch(filter);
        if let Some(last) = after.filter(|last| *last > newest) {
            tracing::debug!(last, newest, "a reader is ahead of the log");
            return Err(SubscribeError::FutureId { newest });
        }
        let last = match (filter, after) {
            (Filter::Everything, None) => newest,
            (Filter::Everything, Some(0)) => {
                self.store.read(rows::dropped).await.map_err(unavailable)?
            }
            (_, after) => after.unwrap_or(0),
        };
        if let Filter::Evaluation(id) = filter {
            let end = self.store.read(move |db| rows::extent(db, id)).await.map_err(unavailable)?;
            let extent = end.ok_or(SubscribeError::Unknown)?;
            if extent.last.is_some_and(|end| end <= last) {
                return Err(SubscribeError::Ended);
            }
        }
        Ok((last, receiver))
    }

    async fn stored(&self, id: Uuid, after: u64) -> Result<Option<History>, StoreError> {
        self.written().await?;
        let visible = self.tail.visible();
        self.store
            .read(move |db| {
                let Some(extent) = rows::extent(db, id)? else { return Ok(None) };
                let missed = (after < extent.dropped)
                    .then(|| Gap { from: after.max(extent.first - 1) + 1, to: extent.dropped });
                let filter = Filter::Evaluation(id);
                let events = rows::page(db, filter, after, visible, MAX_HISTORY)?;
                let events = events.into_iter().map(Arc::new).collect();
                Ok(Some(History { missed, events }))
            })
            .await
    }
}

impl EventLog for SqliteEventLog {
    fn append(&self, event: Event) {
        if !self.tail.publish(&event) && self.buffer.push(event) {
            self.writes.schedule();
        }
    }

    fn read_after(
        &self,
        filter: Filter,
        last: u64,
    ) -> BoxFuture<'_, Result<Option<Next>, EventLogError>> {
        Box::pin(async move { self.next(filter, last).await.map_err(boxed) })
    }

    fn position(
        &self,
        filter: Filter,
        after: Option<u64>,
    ) -> BoxFuture<'_, Result<(u64, watch::Receiver<u64>), SubscribeError>> {
        Box::pin(self.follow(filter, after))
    }

    fn history(
        &self,
        id: Uuid,
        after: u64,
    ) -> BoxFuture<'_, Result<Option<History>, EventLogError>> {
        Box::pin(async move { self.stored(id, after).await.map_err(boxed) })
    }

    fn scratch(&self) -> BoxFuture<'_, Result<Arc<dyn EventLog>, EventLogError>> {
        Box::pin(async move {
            let store = DataDir::scratch().and_then(Store::open).map_err(boxed)?;
            Ok(Self::open(store).await.map_err(boxed)? as Arc<dyn EventLog>)
        })
    }

    fn stats(&self) -> LogStats {
        LogStats { gaps: self.gaps.load(Ordering::Relaxed), ..self.tail.stats() }
    }

    fn check_invariants(&self) -> Result<LogStats, LogMismatch> {
        self.tail.check()?;
        Ok(self.stats())
    }
}

fn boxed(error: StoreError) -> EventLogError {
    EventLogError(error.into())
}

fn unavailable(error: StoreError) -> SubscribeError {
    SubscribeError::Unavailable(BoxError::from(error))
}
