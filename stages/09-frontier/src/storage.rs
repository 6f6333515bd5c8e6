//! The storage of ended evaluations in the database.
//!
//! The journal has written an evaluation before the ledger inserts it here, so that inserting is only
//! making visible. In between, no read may find it: a client would see an end, and then, from the
//! ledger, a running evaluation again.

mod artifacts;
mod list;
mod retention;
mod self_test;

pub(crate) use retention::Retention;
pub use retention::Upkeep;

use std::collections::HashSet;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use rusqlite::{Connection, OptionalExtension as _};
use serde_json::json;
use shared::{BoxFuture, Evaluation, Event, EventSink, EventType, Page, Query};
use stage_02_queue::{Archive, ArchiveError, ArchiveLimits};
use stage_06_advanced::{StorageService, StorageUsage};
use tokio_util::sync::{CancellationToken, DropGuard};
use uuid::Uuid;

use crate::event_log::drop_orphans;
use crate::files::FileStorage;
use crate::journal::saved;
use crate::rows::{self, Ended};
use crate::store::{DataDir, Store, StoreError};

/// The evaluations whose end is committed, and that the ledger has not inserted yet.
#[derive(Default)]
pub(crate) struct Unpublished {
    ids: Mutex<HashSet<Uuid>>,
}

impl Unpublished {
    /// The end of this evaluation is about to be committed.
    pub(crate) fn insert(&self, id: Uuid) {
        self.ids().insert(id);
    }

    /// It is visible. False when it was not committed by the journal.
    fn remove(&self, id: Uuid) -> bool {
        self.ids().remove(&id)
    }

    fn ids(&self) -> MutexGuard<'_, HashSet<Uuid>> {
        self.ids.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Ended evaluations in the database, within limits.
pub struct SqliteStorage {
    inner: Arc<Inner>,
    /// Ends the deletions in the background.
    _background: DropGuard,
}

/// What the background task has as well.
struct Inner {
    store: Arc<Store>,
    files: Arc<FileStorage>,
    unpublished: Arc<Unpublished>,
    events: Arc<dyn EventSink>,
    limits: ArchiveLimits,
    retention: Retention,
    /// Evaluations that are being written without a journal: a read waits for them.
    unwritten: AtomicUsize,
}

impl SqliteStorage {
    /// The storage in `store`, which deletes what is beyond the limits in the background.
    pub(crate) fn open(
        journal: &crate::journal::SqliteJournal,
        limits: ArchiveLimits,
        retention: Retention,
    ) -> Arc<Self> {
        Self::open_with(journal, limits, retention, Upkeep::InBackground)
    }

    /// The same, with another start of the deletions.
    pub(crate) fn open_with(
        journal: &crate::journal::SqliteJournal,
        limits: ArchiveLimits,
        retention: Retention,
        upkeep: Upkeep,
    ) -> Arc<Self> {
        let inner = Arc::new(Inner {
            store: Arc::clone(&journal.store),
            files: Arc::clone(&journal.files),
            unpublished: Arc::clone(&journal.unpublished),
            events: Arc::clone(&journal.monitor),
            limits,
            retention,
            unwritten: AtomicUsize::new(0),
        });
        let stop = CancellationToken::new();
        if upkeep == Upkeep::InBackground {
            tokio::spawn(Arc::clone(&inner).delete_in_background(stop.clone()));
        }
        Arc::new(Self { inner, _background: stop.drop_guard() })
    }

    /// An empty storage in a temporary directory, for a check.
    async fn open_scratch(
        limits: ArchiveLimits,
        monitor: Arc<dyn EventSink>,
    ) -> Result<Arc<Self>, StoreError> {
        let store = Store::open(DataDir::scratch()?)?;
        let files = FileStorage::open(store.directory().files())?;
        let log = crate::event_log::SqliteEventLog::open(Arc::clone(&store)).await?;
        let unpublished = Arc::default();
        let journal = crate::journal::SqliteJournal { store, log, files, unpublished, monitor };
        Ok(Self::open(&journal, limits, Retention { days: None }))
    }
}

impl Archive for SqliteStorage {
    fn insert(&self, ended: Evaluation) {
        let id = ended.id;
        if !self.inner.unpublished.remove(id) {
            self.inner.clone().write_now(ended);
        }
        // The journal has committed this event with the end; this publishes it.
        self.inner.events.emit(saved(id));
    }

    fn get(&self, id: Uuid) -> BoxFuture<'_, Result<Option<Evaluation>, ArchiveError>> {
        Box::pin(async move { self.inner.find(id).await.map_err(archive_error) })
    }

    fn list<'a>(&'a self, query: &'a Query) -> BoxFuture<'a, Result<Page, ArchiveError>> {
        Box::pin(async move { self.inner.page(query.clone()).await.map_err(archive_error) })
    }
}

impl StorageService for SqliteStorage {
    fn delete(&self, id: Uuid) -> BoxFuture<'_, Result<bool, ArchiveError>> {
        Box::pin(async move {
            let deleted = self.inner.delete(vec![id], "asked").await.map_err(archive_error)?;
            Ok(deleted == 1)
        })
    }

    fn scratch(
        &self,
        events: Arc<dyn EventSink>,
    ) -> BoxFuture<'_, Result<Arc<dyn StorageService>, ArchiveError>> {
        let limits = self.inner.limits;
        Box::pin(async move {
            let scratch = Self::open_scratch(limits, events).await.map_err(archive_error)?;
            Ok(scratch as Arc<dyn StorageService>)
        })
    }

    fn usage(&self) -> StorageUsage {
        let (counters, limits) = (self.inner.store.counters(), self.inner.limits);
        StorageUsage {
            entries: counters.entries,
            max_entries: limits.entries,
            bytes: counters.bytes,
            max_bytes: limits.bytes,
        }
    }

    fn close(&self) -> BoxFuture<'_, ()> {
        Box::pin(self.inner.store.close())
    }
}

impl Inner {
    /// Writes an evaluation that no journal has committed: one of a self test.
    fn write_now(self: Arc<Self>, ended: Evaluation) {
        let files = Arc::clone(&self.files);
        let work = move |db: &Connection| rows::insert_ended(db, &Ended::new(ended, &files)?);
        self.unwritten.fetch_add(1, Ordering::Relaxed);
        self.store.clone().write_behind(work, move |written| {
            self.unwritten.fetch_sub(1, Ordering::Relaxed);
            if let Err(error) = written {
                tracing::error!(%error, "an evaluation was not stored");
            }
        });
    }

    /// Returns when everything that was inserted before can be found.
    async fn written(&self) -> Result<(), StoreError> {
        let is_done = self.unwritten.load(Ordering::Relaxed) == 0;
        if is_done { Ok(()) } else { self.store.write(|_| Ok(())).await }
    }

    async fn find(&self, id: Uuid) -> Result<Option<Evaluation>, StoreError> {
        self.written().await?;
        let files = Arc::clone(&self.files);
        let read = self.store.read(move |db| {
            let row = db
                .prepare_cached(&format!(
                    "SELECT {} FROM evaluations WHERE id = ?1 AND outcome IS NOT NULL",
                    list::COLUMNS
                ))?
                .query_row([id.into_bytes()], list::Stored::from_row)
                .optional()?;
            row.map(|row| row.into_evaluation(&files)).transpose()
        });
        let found = read.await?;
        Ok(found.filter(|_| !self.unpublished.ids().contains(&id)))
    }

    async fn page(&self, query: Query) -> Result<Page, StoreError> {
        self.written().await?;
        let files = Arc::clone(&self.files);
        // What is committed meanwhile is one more for each of the ids now; the rest is newer than
        // the snapshot that is read.
        let spare = self.unpublished.ids().len();
        let rows = self.store.read(move |db| list::ids(db, &query, spare).map(|ids| (ids, query)));
        let (mut ids, query) = rows.await?;
        {
            let unpublished = self.unpublished.ids();
            ids.retain(|id| !unpublished.contains(id));
        }
        let read = self.store.read(move |db| list::page(db, &ids, query.limit, &files));
        read.await
    }

    /// Deletes evaluations that have ended. Returns how many there were.
    async fn delete(&self, ids: Vec<Uuid>, reason: &'static str) -> Result<usize, StoreError> {
        let files = Arc::clone(&self.files);
        let work = move |db: &Connection| {
            let (mut deleted, mut unused) = (Vec::new(), Vec::new());
            for id in ids {
                if let Some(files) = rows::delete(db, id)? {
                    deleted.push(id);
                    unused.extend(files);
                }
            }
            drop_orphans(db)?;
            Ok((deleted, unused))
        };
        // On the thread of the writer: a later transaction may refer to one of the files.
        let after = move |(deleted, unused): (Vec<Uuid>, Vec<String>)| {
            for digest in &unused {
                files.remove(digest);
            }
            deleted
        };
        let deleted = self.store.write_and(work, after).await?;
        for id in &deleted {
            let data = json!({ "reason": reason });
            self.events.emit(Event::now(EventType::StorageDeleted, Some(*id), data));
        }
        Ok(deleted.len())
    }
}

fn archive_error(error: StoreError) -> ArchiveError {
    ArchiveError(error.into())
}
