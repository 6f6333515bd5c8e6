//! The journal in the database: a change of an evaluation and its events are one transaction.
//!
//! The events are the outbox: they are in the log if and only if the change is in its row.

use std::sync::Arc;

use serde_json::json;
use shared::{BoxFuture, Event, EventSink, EventType, Refusal};
use stage_02_queue::{Change, Journal, JournalError, Transition};

use crate::audit;
use crate::event_log::{SqliteEventLog, insert_events};
use crate::failpoint::failpoint;
use crate::files::FileStorage;
use crate::rows::{self, Ended};
use crate::storage::Unpublished;
use crate::store::{Store, StoreError};

/// Seconds after which a client may try again when the disk was full.
const FULL_RETRY_SECONDS: u64 = 30;

/// Commits each change together with its events.
pub(crate) struct SqliteJournal {
    /// The database.
    pub(crate) store: Arc<Store>,
    /// Where the events go.
    pub(crate) log: Arc<SqliteEventLog>,
    /// Where large outputs go.
    pub(crate) files: Arc<FileStorage>,
    /// The evaluations whose end is committed and not visible.
    pub(crate) unpublished: Arc<Unpublished>,
    /// Receives the events of committed changes.
    pub(crate) monitor: Arc<dyn EventSink>,
}

impl Journal for SqliteJournal {
    fn commit<'a>(&'a self, change: &'a Change) -> BoxFuture<'a, Result<(), JournalError>> {
        Box::pin(async move { self.write(change).await.map_err(journal_error) })
    }

    fn commit_all<'a>(&'a self, changes: &'a [Change]) -> BoxFuture<'a, Result<(), JournalError>> {
        Box::pin(async move { self.write_all(changes).await.map_err(journal_error) })
    }

    fn publish(&self, events: Vec<Event>) {
        for event in events {
            self.monitor.emit(event);
        }
    }

    fn is_durable(&self) -> bool {
        true
    }
}

impl SqliteJournal {
    // ANCHOR: write
    async fn write(&self, change: &Change) -> Result<(), StoreError> {
        let events = change.events.clone();
        match &change.transition {
            Transition::Accepted(_) | Transition::Started(_) => {
                self.write_all(std::slice::from_ref(change)).await
            }
            Transition::Retried(retried) => {
                let retried = retried.clone();
                // Its output comes before what follows, as at an end.
                self.log.release(retried.waiting.id);
                let write = self.log.commit_after_output(retried.waiting.id, move |db| {
                    rows::write_attempt(db, &retried.lost)?;
                    rows::update_live(db, &retried.waiting)?;
                    insert_events(db, &events)
                });
                write.await
            }
            Transition::Ended(ended) => {
                let ended = ended.clone();
                self.unpublished.insert(ended.id);
                self.log.release(ended.id);
                let files = Arc::clone(&self.files);
                let ended = if Ended::has_files(&ended) {
                    let ended = tokio::task::spawn_blocking(move || Ended::new(*ended, &files));
                    ended.await.unwrap_or(Err(StoreError::Panicked))?
                } else {
                    Ended::new(*ended, &files)?
                };
                let id = ended.evaluation().id;
                self.log.commit_after_output(id, move |db| end(db, &ended, &events)).await
            }
        }
    }

    /// Acceptances and starts in one transaction. Nothing else is changed together.
    async fn write_all(&self, changes: &[Change]) -> Result<(), StoreError> {
        let (changes, store) = (changes.to_vec(), Arc::clone(&self.store));
        let accepts = |change: &Change| matches!(change.transition, Transition::Accepted(_));
        let accepts = changes.iter().any(accepts);
        let write = self.log.commit(move |db| {
            if accepts {
                // Not at an end: the reserve is for the ends of what was accepted.
                store.check_space()?;
            }
            let mut numbered = Vec::new();
            for change in changes {
                match &change.transition {
                    Transition::Accepted(accepted) => {
                        rows::insert_accepted(db, accepted)?;
                        let entry = audit::of_submission(accepted);
                        entry.map(|entry| audit::table::append(db, &entry)).transpose()?;
                    }
                    Transition::Started(started) => rows::update_live(db, started)?,
                    Transition::Retried(_) | Transition::Ended(_) => continue,
                }
                numbered.extend(insert_events(db, &change.events)?);
            }
            Ok(numbered)
        });
        // A bug that a test puts back: what is not committed is visible.
        if accepts && failpoint("journal.early_publication").is_err() {
            return Ok(());
        }
        write.await
    }
    // ANCHOR_END: write
}

/// Writes the end of an evaluation and its events.
pub(crate) fn end(
    db: &rusqlite::Connection,
    ended: &Ended,
    events: &[Event],
) -> Result<Vec<stage_03_monitoring::SequencedEvent>, StoreError> {
    let mut numbered = insert_events(db, events)?;
    if rows::write_end(db, ended)? {
        numbered.extend(insert_events(db, &[saved(ended.evaluation().id)])?);
    }
    Ok(numbered)
}

/// The event that an evaluation is stored.
pub(crate) fn saved(id: uuid::Uuid) -> Event {
    Event::now(EventType::StorageSaved, Some(id), json!({}))
}

/// A full disk is a refusal: the client may try again.
fn journal_error(error: StoreError) -> JournalError {
    if error.is_full() {
        tracing::error!(%error, "no work is accepted");
        let detail = "the server has no room to store a submission; try again";
        let refusal = Refusal::new(http::StatusCode::SERVICE_UNAVAILABLE, detail);
        return JournalError(refusal.retry_after(FULL_RETRY_SECONDS).into());
    }
    JournalError(error.into())
}

#[cfg(test)]
mod tests;
