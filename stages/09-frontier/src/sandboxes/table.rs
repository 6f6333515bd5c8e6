//! The rows of sandboxes.

use jiff::Timestamp;
use rusqlite::{Connection, OptionalExtension as _, Row, params};
use uuid::Uuid;

use super::state::{EndReason, Ended, Record};
use crate::store::StoreError;

/// Sandboxes that have ended and are kept. The oldest are removed.
const MAX_ENDED: u32 = 10_000;
const COLUMNS: &str = "id, owner, fixed, labels, created_at, expires_at, lifetime_seconds, \
                       ended_at, end_reason";

/// What a list is about.
#[derive(Debug, Clone, Default)]
pub(super) struct Query {
    /// Those of this owner; None is all.
    pub(super) owner: Option<String>,
    pub(super) label: Option<(String, String)>,
    pub(super) is_ended: Option<bool>,
    /// Those before this one.
    pub(super) before: Option<Uuid>,
    pub(super) limit: usize,
}

/// A new sandbox.
pub(super) fn insert(database: &Connection, record: &Record) -> Result<(), StoreError> {
    let insert = format!(
        "INSERT INTO sandboxes ({COLUMNS}) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, NULL, NULL)"
    );
    database.prepare_cached(&insert)?.execute(params![
        record.id.as_bytes(),
        record.owner,
        serde_json::to_string(&record.fixed)?,
        serde_json::to_string(&record.labels)?,
        record.created_at.as_microsecond(),
        record.expires_at.as_microsecond(),
        i64::try_from(record.lifetime_seconds).unwrap_or(i64::MAX),
    ])?;
    Ok(())
}

/// A sandbox has another end of its life.
pub(super) fn renew(database: &Connection, record: &Record) -> Result<(), StoreError> {
    let update = "UPDATE sandboxes SET expires_at = ?2, lifetime_seconds = ?3 WHERE id = ?1";
    database.prepare_cached(update)?.execute(params![
        record.id.as_bytes(),
        record.expires_at.as_microsecond(),
        i64::try_from(record.lifetime_seconds).unwrap_or(i64::MAX),
    ])?;
    Ok(())
}

/// A sandbox has ended. The first reason stays.
pub(super) fn end(database: &Connection, id: Uuid, ended: Ended) -> Result<(), StoreError> {
    let update = "UPDATE sandboxes SET ended_at = ?2, end_reason = ?3 \
                  WHERE id = ?1 AND ended_at IS NULL";
    let at = ended.at.as_microsecond();
    database.prepare_cached(update)?.execute(params![id.as_bytes(), at, ended.reason.as_str()])?;
    purge(database)
}

/// Ends the sandboxes of a server that was before, and removes the oldest records. Returns how many were ended.
pub(super) fn recover(database: &Connection, now: Timestamp) -> Result<usize, StoreError> {
    let update = "UPDATE sandboxes SET ended_at = ?1, end_reason = ?2 WHERE ended_at IS NULL";
    let reason = EndReason::ServerRestarted.as_str();
    let ended = database.execute(update, params![now.as_microsecond(), reason])?;
    purge(database)?;
    Ok(ended)
}

/// Removes the oldest records of what has ended.
pub(super) fn purge(database: &Connection) -> Result<(), StoreError> {
    let delete = "DELETE FROM sandboxes WHERE ended_at IS NOT NULL AND id <= coalesce((SELECT id FROM \
                  sandboxes WHERE ended_at IS NOT NULL ORDER BY id DESC LIMIT 1 OFFSET ?1), x'')";
    database.execute(delete, [MAX_ENDED])?;
    Ok(())
}

/// The sandbox with this id.
pub(super) fn get(database: &Connection, id: Uuid) -> Result<Option<Record>, StoreError> {
    let select = format!("SELECT {COLUMNS} FROM sandboxes WHERE id = ?1");
    let found = database.prepare_cached(&select)?.query_row([id.as_bytes()], columns).optional()?;
    found.map(record).transpose()
}

/// One page of sandboxes, newest first.
pub(super) fn list(database: &Connection, query: &Query) -> Result<Vec<Record>, StoreError> {
    let select = format!(
        "SELECT {COLUMNS} FROM sandboxes WHERE (?1 IS NULL OR owner = ?1) \
         AND (?2 IS NULL OR EXISTS (SELECT 1 FROM json_each(labels) WHERE key = ?2 AND value = ?3)) \
         AND (?4 IS NULL OR (ended_at IS NOT NULL) = ?4) AND (?5 IS NULL OR id < ?5) \
         ORDER BY id DESC LIMIT ?6"
    );
    let (key, value) = query.label.clone().unzip();
    let limit = i64::try_from(query.limit).unwrap_or(i64::MAX);
    let before = query.before.map(Uuid::into_bytes);
    let mut select = database.prepare_cached(&select)?;
    let found = select
        .query_map(params![query.owner, key, value, query.is_ended, before, limit], columns)?;
    found.map(|row| record(row?)).collect()
}

type Columns = ([u8; 16], String, String, String, i64, i64, i64, Option<i64>, Option<String>);

fn columns(row: &Row<'_>) -> rusqlite::Result<Columns> {
    Ok((
        row.get(0)?,
        row.get(1)?,
        row.get(2)?,
        row.get(3)?,
        row.get(4)?,
        row.get(5)?,
        row.get(6)?,
        row.get(7)?,
        row.get(8)?,
    ))
}

fn record(columns: Columns) -> Result<Record, StoreError> {
    let (id, owner, fixed, labels, created_at, expires_at, lifetime, ended_at, reason) = columns;
    let time = |micros| Timestamp::from_microsecond(micros).unwrap_or(Timestamp::UNIX_EPOCH);
    let reason = reason.and_then(|name| EndReason::named(&name));
    Ok(Record {
        id: Uuid::from_bytes(id),
        owner,
        fixed: serde_json::from_str(&fixed)?,
        labels: serde_json::from_str(&labels)?,
        created_at: time(created_at),
        expires_at: time(expires_at),
        lifetime_seconds: u64::try_from(lifetime).unwrap_or_default(),
        ended: ended_at
            .map(|at| Ended { at: time(at), reason: reason.unwrap_or(EndReason::EngineError) }),
    })
}

#[cfg(test)]
mod tests {
    use super::super::state::now;
    use super::*;
    use crate::store::Store;

    #[tokio::test]
    async fn rows_are_found_by_owner_label_and_state_and_end_once() {
        let store = Store::scratch().unwrap();
        let new = Record::for_test;
        let records = [new("a", "x"), new("b", "x"), new("a", "y"), new("a", "x")];
        for record in records.clone() {
            store.write(move |database| insert(database, &record)).await.unwrap();
        }
        let ended = Ended { at: now(), reason: EndReason::IdleTimeout };
        let first = records[0].id;
        store.write(move |database| end(database, first, ended)).await.unwrap();
        let again = Ended { at: now(), reason: EndReason::Removed };
        store.write(move |database| end(database, first, again)).await.unwrap();
        let read = store.read(move |database| get(database, first)).await.unwrap().unwrap();
        assert_eq!(read, Record { ended: Some(ended), ..records[0].clone() });
        let found = async |query: Query| {
            let query = Query { limit: 10, ..query };
            let found = store.read(move |database| list(database, &query)).await.unwrap();
            found.into_iter().map(|record| record.id).collect::<Vec<_>>()
        };
        let ids = |at: &[usize]| at.iter().map(|at| records[*at].id).collect::<Vec<_>>();
        assert_eq!(found(Query::default()).await, ids(&[3, 2, 1, 0]));
        let owner = Some("a".to_owned());
        let label = Some(("task".to_owned(), "x".to_owned()));
        let query = Query { owner, label, ..Query::default() };
        assert_eq!(found(query.clone()).await, ids(&[3, 0]));
        assert_eq!(found(Query { is_ended: Some(false), ..query.clone() }).await, ids(&[3]));
        assert_eq!(found(Query { before: Some(records[3].id), ..query }).await, ids(&[0]));
        let recovered = store.write(|database| recover(database, now())).await.unwrap();
        assert_eq!(recovered, 3);
        let all = store.read(|database| list(database, &Query { limit: 9, ..Query::default() }));
        let reasons: Vec<_> =
            all.await.unwrap().iter().map(|one| one.ended.unwrap().reason).collect();
        assert_eq!(reasons[..3], [EndReason::ServerRestarted; 3]);
        assert_eq!(reasons[3], EndReason::IdleTimeout);
    }
}
