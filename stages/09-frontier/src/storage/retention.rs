//! What is deleted, and when: by age, by number and by bytes, the first to end first.
//!
//! Deletions go in small steps, between which other writes get their turn.

use std::sync::Arc;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use rusqlite::{Connection, params};
use stage_02_queue::ArchiveLimits;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::{Inner, SqliteStorage};
use crate::store::{Counters, StoreError};
use crate::time::nanoseconds;

/// Evaluations that one transaction deletes.
const STEP: usize = 50;
/// Between two looks at what is stored.
const CHECK_INTERVAL: Duration = Duration::from_secs(1);
/// Between two steps.
const STEP_INTERVAL: Duration = Duration::from_millis(5);

/// What makes an evaluation be deleted, beside the limits of number and bytes.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Retention {
    /// Its age. None means that no age does.
    pub days: Option<u32>,
}

/// What starts a deletion.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Upkeep {
    /// The storage looks by itself, again and again.
    #[default]
    InBackground,
    /// A later stage calls [`SqliteStorage::retain`].
    Called,
}

impl SqliteStorage {
    /// Deletes what is beyond the limits or too old, in small steps, until nothing is.
    ///
    /// # Errors
    ///
    /// When something could not be deleted, or the database is closed.
    pub async fn retain(&self) -> Result<(), StoreError> {
        while self.inner.step().await? {
            tokio::time::sleep(STEP_INTERVAL).await;
        }
        Ok(())
    }

    /// Whether evaluations are deleted because of their age, so that time alone makes one too old.
    pub fn deletes_by_age(&self) -> bool {
        self.inner.retention.days.is_some()
    }
}

impl Inner {
    pub(super) async fn delete_in_background(self: Arc<Self>, stop: CancellationToken) {
        let mut pause = CHECK_INTERVAL;
        loop {
            tokio::select! {
                () = stop.cancelled() => return,
                () = tokio::time::sleep(pause) => {}
            }
            pause = match self.step().await {
                Ok(true) => STEP_INTERVAL,
                Ok(false) => CHECK_INTERVAL,
                Err(StoreError::Closed) => return,
                Err(error) => {
                    tracing::error!(%error, "what is too old was not deleted; it is tried again");
                    CHECK_INTERVAL
                }
            };
        }
    }

    // ANCHOR: step
    /// Deletes a few. True when there may be more.
    async fn step(&self) -> Result<bool, StoreError> {
        let limits = self.limits;
        let oldest = self
            .retention
            .days
            .and_then(|days| {
                Timestamp::now().checked_sub(SignedDuration::from_hours(24 * i64::from(days))).ok()
            })
            .map_or(i64::MIN, nanoseconds);
        let ids = self.store.read(move |db| beyond(db, limits, oldest)).await?;
        let found = ids.len();
        if found > 0 {
            self.delete(ids, "room").await?;
        }
        Ok(found == STEP)
    }
    // ANCHOR_END: step
}

/// The first to end, as many as are beyond the limits or ended before `oldest`, and at most a step.
fn beyond(db: &Connection, limits: ArchiveLimits, oldest: i64) -> Result<Vec<Uuid>, StoreError> {
    let now = Counters::read(db)?;
    let mut rows = db.prepare_cached(
        "SELECT id, bytes, ended_at FROM evaluations WHERE last_event IS NOT NULL
         ORDER BY last_event LIMIT ?1",
    )?;
    let step = i64::try_from(STEP).unwrap_or(i64::MAX);
    let rows = rows.query_map(params![step], |row| {
        Ok((row.get(0)?, row.get::<_, i64>(1)?, row.get::<_, Option<i64>>(2)?))
    })?;
    let (mut entries, mut bytes, mut ids) = (now.entries, now.bytes, Vec::new());
    for row in rows {
        let (id, size, ended) = row?;
        // The one that has just ended stays, however large: a client may wait for it.
        let is_beyond = (entries > limits.entries || bytes > limits.bytes) && entries > 1;
        if !is_beyond && ended.is_none_or(|ended| ended >= oldest) {
            break;
        }
        ids.push(Uuid::from_bytes(id));
        entries = entries.saturating_sub(1);
        bytes = bytes.saturating_sub(usize::try_from(size).unwrap_or(0));
    }
    Ok(ids)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::{DataDir, Store};

    const DAY: i64 = 86_400_000_000_000;

    /// Evaluations that ended in this order, each at this day and of so many bytes.
    async fn ended(rows: Vec<(i64, i64)>) -> (std::sync::Arc<Store>, Vec<Uuid>) {
        let store = Store::open(DataDir::scratch().unwrap()).unwrap();
        let write = store.write(move |db| {
            let mut ids = Vec::new();
            for (last_event, (day, bytes)) in (1_i64..).zip(rows) {
                let id = Uuid::now_v7();
                db.execute(
                    "INSERT INTO evaluations (id, status, outcome, owner, attempt, submitted_at,
                         ended_at, record, bytes, last_event)
                     VALUES (?1, 'completed', 'exited', '', 1, 0, ?2, '{}', ?3, ?4)",
                    params![id.into_bytes(), day * DAY, bytes, last_event],
                )?;
                db.execute("UPDATE counters SET value = value + 1 WHERE name = 'entries'", [])?;
                let sql = "UPDATE counters SET value = value + ?1 WHERE name = 'bytes'";
                db.execute(sql, [bytes])?;
                ids.push(id);
            }
            Ok(ids)
        });
        let ids = write.await.unwrap();
        (store, ids)
    }

    async fn deleted(
        rows: Vec<(i64, i64)>,
        entries: usize,
        bytes: usize,
        oldest: i64,
    ) -> Vec<usize> {
        let (store, ids) = ended(rows).await;
        let limits = ArchiveLimits { entries, bytes };
        let found = store.read(move |db| beyond(db, limits, oldest)).await.unwrap();
        found.iter().map(|id| ids.iter().position(|other| other == id).unwrap()).collect()
    }

    #[tokio::test]
    async fn number_bytes_and_age_each_delete_the_first_to_end() {
        let rows = || vec![(1, 10), (2, 10), (3, 10), (4, 100)];
        assert_eq!(deleted(rows(), 10, 1000, i64::MIN).await, [0; 0]);
        assert_eq!(deleted(rows(), 3, 1000, i64::MIN).await, [0]);
        assert_eq!(deleted(rows(), 10, 115, i64::MIN).await, [0, 1]);
        assert_eq!(deleted(rows(), 10, 1000, 3 * DAY).await, [0, 1]);
        assert_eq!(deleted(rows(), 10, 50, i64::MIN).await, [0, 1, 2], "the last one stays");
    }

    #[tokio::test]
    async fn a_clock_that_goes_back_changes_nothing_about_the_order() {
        let rows = vec![(30, 10), (2, 10), (1, 10)];
        assert_eq!(deleted(rows, 1, 1000, i64::MIN).await, [0, 1]);
    }

    #[tokio::test]
    async fn one_step_is_small() {
        let rows = vec![(1, 10); 3 * STEP];
        assert_eq!(deleted(rows, 1, 1000, i64::MIN).await.len(), STEP);
    }
}
