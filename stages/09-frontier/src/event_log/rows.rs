//! Events as rows.

use std::sync::Arc;

use jiff::Timestamp;
use rusqlite::{Connection, OptionalExtension as _, Row, params};
use serde_json::value::RawValue;
use shared::Event;
use stage_03_monitoring::{Filter, Gap, Next, SequencedEvent, StoredEvent};
use uuid::Uuid;

use crate::store::StoreError;
use crate::time::{from_nanoseconds, nanoseconds};

/// The kinds of the last event of an evaluation, as a list of SQL.
const FINAL: &str = "('evaluation.completed', 'evaluation.failed', 'evaluation.cancelled')";

/// What an event takes on disk beside its data, approximately.
const EVENT_ROW_BYTES: i64 = 100;
/// Events that one call of [`drop_orphans`] deletes.
const MAX_ORPHANS: i64 = 500;

/// Inserts events in their order, and returns them with their numbers.
pub(crate) fn insert_events(
    db: &Connection,
    events: &[Event],
) -> Result<Vec<SequencedEvent>, StoreError> {
    let mut insert = db
        .prepare_cached("INSERT INTO events (subject, kind, time, data) VALUES (?1, ?2, ?3, ?4)")?;
    let mut numbered = Vec::with_capacity(events.len());
    for event in events {
        let event = StoredEvent::from(event);
        let subject = event.subject.map(Uuid::into_bytes);
        let (kind, time) = (event.kind.as_str(), nanoseconds(event.time));
        let sequence = insert.insert(params![subject, kind, time, event.data.get()])?;
        numbered.push(SequencedEvent { sequence: number(sequence), event });
    }
    Ok(numbered)
}

/// The highest number that was given, also to an event that was deleted.
pub(crate) fn newest_number(db: &Connection) -> Result<u64, StoreError> {
    let query = "SELECT seq FROM sqlite_sequence WHERE name = 'events'";
    let newest = db.prepare_cached(query)?.query_row([], |row| row.get(0)).optional()?;
    Ok(number(newest.unwrap_or(0)))
}

/// Bytes that the events of an evaluation take, approximately.
pub(crate) fn event_bytes(db: &Connection, id: Uuid) -> Result<usize, StoreError> {
    let sql =
        "SELECT count(*) * ?2 + coalesce(sum(length(data)), 0) FROM events WHERE subject = ?1";
    let bytes = db
        .prepare_cached(sql)?
        .query_row(params![id.into_bytes(), EVENT_ROW_BYTES], |row| row.get::<_, i64>(0))?;
    Ok(usize::try_from(bytes).unwrap_or(0))
}

/// How many events are stored.
pub(super) fn count(db: &Connection) -> Result<u64, StoreError> {
    Ok(number(db.query_row("SELECT count(*) FROM events", [], |row| row.get(0))?))
}

/// The highest number of an event that was deleted, before which a reader of everything has a gap.
pub(super) fn dropped(db: &Connection) -> Result<u64, StoreError> {
    let query = "SELECT value FROM counters WHERE name = 'dropped_event'";
    Ok(number(db.prepare_cached(query)?.query_row([], |row| row.get(0))?))
}

/// Deletes the events of an evaluation. A reader of everything gets a gap up to the last of them.
pub(crate) fn drop_events(db: &Connection, id: Uuid) -> Result<(), StoreError> {
    let id = id.into_bytes();
    db.prepare_cached(
        "UPDATE counters SET value = max(value, coalesce(
             (SELECT max(number) FROM events WHERE subject = ?1), 0))
         WHERE name = 'dropped_event'",
    )?
    .execute([id])?;
    db.prepare_cached("DELETE FROM events WHERE subject = ?1")?.execute([id])?;
    Ok(())
}

/// Deletes a few events that belong to no stored evaluation, such as those of workers. A reader of
/// everything has a gap there already.
pub(crate) fn drop_orphans(db: &Connection) -> Result<(), StoreError> {
    db.prepare_cached(
        "DELETE FROM events WHERE number IN (
             SELECT number FROM events
             WHERE number <= (SELECT value FROM counters WHERE name = 'dropped_event')
             AND (subject IS NULL
                  OR NOT EXISTS (SELECT 1 FROM evaluations WHERE evaluations.id = subject))
             ORDER BY number LIMIT ?1)",
    )?
    .execute([MAX_ORPHANS])?;
    Ok(())
}

/// Which numbers the events of an evaluation have.
pub(super) struct Extent {
    /// The first that is stored.
    pub(super) first: u64,
    /// The highest that was dropped; 0 if none was.
    pub(super) dropped: u64,
    /// The last one, if it has ended.
    pub(super) last: Option<u64>,
}

/// None when no event of this evaluation is stored.
pub(super) fn extent(db: &Connection, id: Uuid) -> Result<Option<Extent>, StoreError> {
    let id = id.into_bytes();
    // An event that it was deleted comes after that, and is not one of its own.
    let first = db
        .prepare_cached(
            "SELECT number FROM events WHERE subject = ?1 AND kind NOT LIKE 'storage.%'
             ORDER BY number LIMIT 1",
        )?
        .query_row([id], |row| row.get(0))
        .optional()?;
    let Some(first) = first else { return Ok(None) };
    let dropped = db
        .prepare_cached("SELECT dropped_event FROM evaluations WHERE id = ?1")?
        .query_row([id], |row| row.get(0))
        .optional()?;
    let last = db
        .prepare_cached(&format!(
            "SELECT number FROM events WHERE subject = ?1 AND kind IN {FINAL}
             ORDER BY number DESC LIMIT 1"
        ))?
        .query_row([id], |row| row.get(0))
        .optional()?;
    Ok(Some(Extent {
        first: number(first),
        dropped: number(dropped.unwrap_or(0)),
        last: last.map(number),
    }))
}

/// What comes after the event numbered `last`, of the events up to `visible`.
pub(super) fn next(
    db: &Connection,
    filter: Filter,
    last: u64,
    visible: u64,
) -> Result<Option<Next>, StoreError> {
    let mut end = None;
    let dropped = match filter {
        Filter::Everything => dropped(db)?,
        Filter::Evaluation(id) => {
            let Some(extent) = extent(db, id)? else { return Ok(None) };
            end = extent.last;
            extent.dropped
        }
    };
    if last < dropped {
        return Ok(Some(Next::Gap(Gap { from: last + 1, to: dropped })));
    }
    if end.is_some_and(|end| end <= last) {
        return Ok(Some(Next::End));
    }
    let event = page(db, filter, last, visible, 1)?.pop();
    Ok(Some(event.map_or(Next::Pending, |event| Next::Event(Arc::new(event)))))
}

/// Events after the number `last`, up to `visible`, oldest first.
pub(super) fn page(
    db: &Connection,
    filter: Filter,
    last: u64,
    visible: u64,
    limit: usize,
) -> Result<Vec<SequencedEvent>, StoreError> {
    let (last, visible) = (integer(last), integer(visible));
    let limit = i64::try_from(limit).unwrap_or(i64::MAX);
    let (columns, range) = (
        "number, subject, kind, time, data",
        "number > ?1 AND number <= ?2 ORDER BY number LIMIT ?3",
    );
    match filter {
        Filter::Everything => db
            .prepare_cached(&format!("SELECT {columns} FROM events WHERE {range}"))?
            .query_and_then(params![last, visible, limit], event)?
            .collect(),
        // What the storage reports about an evaluation comes after its end, and is not part of it.
        Filter::Evaluation(id) => db
            .prepare_cached(&format!(
                "SELECT {columns} FROM events
                 WHERE subject = ?4 AND kind NOT LIKE 'storage.%' AND {range}"
            ))?
            .query_and_then(params![last, visible, limit, id.into_bytes()], event)?
            .collect(),
    }
}

fn event(row: &Row<'_>) -> Result<SequencedEvent, StoreError> {
    let subject = row.get::<_, Option<[u8; 16]>>(1)?.map(Uuid::from_bytes);
    let kind = row.get_ref(2)?.as_str().map_err(rusqlite::Error::from)?.into();
    let time: Timestamp = from_nanoseconds(row.get(3)?);
    let data = RawValue::from_string(row.get(4)?)?;
    let event = StoredEvent { kind, subject, time, data };
    Ok(SequencedEvent { sequence: number(row.get(0)?), event })
}

/// A number of SQLite, which has a sign.
fn number(value: i64) -> u64 {
    u64::try_from(value).unwrap_or(0)
}

fn integer(value: u64) -> i64 {
    i64::try_from(value).unwrap_or(i64::MAX)
}
