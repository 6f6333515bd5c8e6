//! What is deleted, and when: by age, by number and by bytes, the first to end first; of the owner that has most, when
//! there is too much.
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
        let found = self.store.read(move |db| {
            let mut found = too_old(db, oldest)?;
            if found.ids.is_empty() {
                found = beyond(db, limits)?;
            }
            Ok(found)
        });
        let Found { ids, has_more } = found.await?;
        if !ids.is_empty() {
            self.delete(ids, "room").await?;
        }
        Ok(has_more)
    }
    // ANCHOR_END: step
}

/// What is to be deleted in one step.
#[derive(Debug, Default)]
struct Found {
    ids: Vec<Uuid>,
    /// Whether another step is needed.
    has_more: bool,
}

/// The first to end that ended before `oldest`.
fn too_old(db: &Connection, oldest: i64) -> Result<Found, StoreError> {
    let mut rows = db.prepare_cached(
        "SELECT id, ended_at FROM evaluations WHERE last_event IS NOT NULL
         ORDER BY last_event LIMIT ?1",
    )?;
    let columns = |row: &rusqlite::Row<'_>| Ok((row.get(0)?, row.get::<_, Option<i64>>(1)?));
    let mut ids = Vec::new();
    for row in rows.query_map([limit(STEP)], columns)? {
        let (id, ended) = row?;
        if ended.is_none_or(|ended| ended >= oldest) {
            break;
        }
        ids.push(Uuid::from_bytes(id));
    }
    let has_more = !ids.is_empty();
    Ok(Found { ids, has_more })
}

/// What is beyond the limits: the first to end of the owner that has most.
///
/// Attack: one key leaves files of 16 MiB, and within seconds the results of all other keys are deleted → what a key
/// has stored makes room for its own first. Test: `the_owner_that_has_most_makes_room`.
fn beyond(db: &Connection, limits: ArchiveLimits) -> Result<Found, StoreError> {
    let Counters { mut entries, mut bytes, .. } = Counters::read(db)?;
    let by_bytes = bytes > limits.bytes;
    let is_over =
        |entries, bytes| (entries > limits.entries || bytes > limits.bytes) && entries > 1;
    if !is_over(entries, bytes) {
        return Ok(Found::default());
    }
    let mut ids = Vec::new();
    for (owner, ahead) in owners(db, by_bytes)? {
        // The one that has just ended stays, however large: a client may wait for it.
        let mut rows = db.prepare_cached(
            "SELECT id, bytes FROM evaluations WHERE owner = ?1 AND last_event IS NOT NULL
             AND last_event < (SELECT max(last_event) FROM evaluations WHERE last_event IS NOT NULL)
             ORDER BY last_event LIMIT ?2",
        )?;
        let columns = |row: &rusqlite::Row<'_>| Ok((row.get(0)?, row.get::<_, i64>(1)?));
        let mut taken = 0;
        for row in rows.query_map(params![owner, limit(STEP)], columns)? {
            if !is_over(entries, bytes) || (taken > 0 && taken >= ahead) {
                break;
            }
            let (id, size) = row?;
            ids.push(Uuid::from_bytes(id));
            taken += if by_bytes { size } else { 1 };
            entries = entries.saturating_sub(1);
            bytes = bytes.saturating_sub(usize::try_from(size).unwrap_or(0));
        }
        if !ids.is_empty() {
            break;
        }
    }
    let has_more = !ids.is_empty() && is_over(entries, bytes);
    Ok(Found { ids, has_more })
}

/// The owners that have most, the first of them first, and how much each has more than the next.
fn owners(db: &Connection, by_bytes: bool) -> Result<Vec<(String, i64)>, StoreError> {
    // The first may have nothing but what has just ended.
    let mut rows = db.prepare_cached(
        "SELECT owner, iif(?1, bytes, entries) AS has FROM stored_by_owner ORDER BY has DESC, owner LIMIT 3",
    )?;
    let rows = rows.query_map([by_bytes], |row| Ok((row.get(0)?, row.get(1)?)))?;
    let owners: Vec<(String, i64)> = rows.collect::<Result<_, _>>()?;
    let of_next = owners.iter().skip(1).map(|(_, has)| *has).chain([0]);
    Ok(owners.iter().zip(of_next).map(|((owner, has), next)| (owner.clone(), has - next)).collect())
}

fn limit(step: usize) -> i64 {
    i64::try_from(step).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::{DataDir, Store};

    const DAY: i64 = 86_400_000_000_000;

    /// Evaluations that ended in this order, each at this day, of so many bytes and of this owner.
    async fn ended(rows: Vec<(i64, i64, &'static str)>) -> (std::sync::Arc<Store>, Vec<Uuid>) {
        let store = Store::open(DataDir::scratch().unwrap()).unwrap();
        let write = store.write(move |db| {
            let mut ids = Vec::new();
            for (last_event, (day, bytes, owner)) in (1_i64..).zip(rows) {
                let id = Uuid::now_v7();
                db.execute(
                    "INSERT INTO evaluations (id, status, outcome, owner, attempt, submitted_at,
                         ended_at, record, bytes, last_event)
                     VALUES (?1, 'completed', 'exited', ?5, 1, 0, ?2, '{}', ?3, ?4)",
                    params![id.into_bytes(), day * DAY, bytes, last_event, owner],
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

    /// Which of them are deleted, in their order, by as many steps as it takes.
    async fn deleted(
        rows: Vec<(i64, i64, &'static str)>,
        entries: usize,
        bytes: usize,
        oldest: i64,
    ) -> Vec<usize> {
        let (store, ids) = ended(rows).await;
        let limits = ArchiveLimits { entries, bytes };
        let steps = store.write(move |db| {
            let mut deleted = Vec::new();
            loop {
                let mut found = too_old(db, oldest)?;
                if found.ids.is_empty() {
                    found = beyond(db, limits)?;
                }
                assert!(found.ids.len() <= STEP && (!found.has_more || !found.ids.is_empty()));
                for id in &found.ids {
                    crate::rows::delete(db, *id)?.unwrap();
                }
                deleted.extend(found.ids);
                if !found.has_more {
                    break;
                }
            }
            let sums =
                "SELECT owner, count(*), sum(bytes) FROM evaluations GROUP BY owner ORDER BY owner";
            let counted = "SELECT owner, entries, bytes FROM stored_by_owner ORDER BY owner";
            let [sums, counted] = [sums, counted].map(|sql| {
                let mut rows = db.prepare(sql).unwrap();
                let columns = |row: &rusqlite::Row<'_>| Ok((row.get(0)?, row.get(1)?, row.get(2)?));
                let rows = rows.query_map([], columns).unwrap();
                rows.collect::<Result<Vec<(String, i64, i64)>, _>>().unwrap()
            });
            assert_eq!(sums, counted);
            Ok(deleted)
        });
        let found = steps.await.unwrap();
        found.iter().map(|id| ids.iter().position(|other| other == id).unwrap()).collect()
    }

    #[tokio::test]
    async fn number_bytes_and_age_each_delete_the_first_to_end() {
        let rows = || vec![(1, 10, ""), (2, 10, ""), (3, 10, ""), (4, 100, "")];
        assert_eq!(deleted(rows(), 10, 1000, i64::MIN).await, [0; 0]);
        assert_eq!(deleted(rows(), 3, 1000, i64::MIN).await, [0]);
        assert_eq!(deleted(rows(), 10, 115, i64::MIN).await, [0, 1]);
        assert_eq!(deleted(rows(), 10, 1000, 3 * DAY).await, [0, 1]);
        assert_eq!(deleted(rows(), 10, 50, i64::MIN).await, [0, 1, 2], "the last one stays");
    }

    #[tokio::test]
    async fn the_owner_that_has_most_makes_room() {
        let rows = || vec![(1, 10, "a"), (1, 40, "b"), (1, 40, "b"), (1, 10, "a"), (1, 10, "a")];
        assert_eq!(deleted(rows(), 10, 80, i64::MIN).await, [1]);
        assert_eq!(
            deleted(rows(), 10, 50, i64::MIN).await,
            [1, 2],
            "down to what the next one has"
        );
        assert_eq!(deleted(rows(), 3, 1000, i64::MIN).await, [0, 3], "by number");
        assert_eq!(deleted(rows(), 2, 1000, i64::MIN).await, [0, 3, 1], "one of each is left");
        let rows = || vec![(1, 10, "a"), (1, 10, "a"), (1, 100, "b")];
        assert_eq!(deleted(rows(), 10, 110, i64::MIN).await, [0], "what has just ended stays");
        assert_eq!(deleted(rows(), 1, 1000, i64::MIN).await, [0, 1]);
    }

    #[tokio::test]
    async fn a_clock_that_goes_back_changes_nothing_about_the_order() {
        let rows = vec![(30, 10, ""), (2, 10, ""), (1, 10, "")];
        assert_eq!(deleted(rows, 1, 1000, i64::MIN).await, [0, 1]);
    }

    #[tokio::test]
    async fn steps_are_small() {
        let rows = vec![(1, 10, ""); 3 * STEP];
        assert_eq!(deleted(rows, 1, 1000, i64::MIN).await.len(), 3 * STEP - 1);
    }
}
