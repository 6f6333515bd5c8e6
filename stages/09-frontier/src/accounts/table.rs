//! The table of keys: each function is one statement, to be run in a transaction or a read.

use jiff::Timestamp;
use rusqlite::{Connection, OptionalExtension as _, Row, params};

use super::key::KeyDigest;
use super::record::{KeyRecord, Scopes};
use crate::store::StoreError;

const COLUMNS: &str = "id, name, scopes, created_at, expires_at, revoked_at, last_used_at";

/// Adds a key.
pub(crate) fn insert(
    database: &Connection,
    key: &KeyRecord,
    digest: &KeyDigest,
) -> Result<(), StoreError> {
    let insert = "INSERT INTO keys (id, name, digest, scopes, created_at, expires_at) \
                  VALUES (?1, ?2, ?3, ?4, ?5, ?6)";
    database.prepare_cached(insert)?.execute(params![
        key.id,
        key.name,
        digest.as_bytes(),
        key.scopes.bits(),
        key.created_at.as_microsecond(),
        key.expires_at.map(Timestamp::as_microsecond),
    ])?;
    Ok(())
}

/// The key with this digest.
pub(crate) fn find(
    database: &Connection,
    digest: &KeyDigest,
) -> Result<Option<KeyRecord>, StoreError> {
    let select = format!("SELECT {COLUMNS} FROM keys WHERE digest = ?1");
    let mut select = database.prepare_cached(&select)?;
    Ok(select.query_row([digest.as_bytes()], record).optional()?)
}

/// The key with this id.
pub(crate) fn get(database: &Connection, id: &str) -> Result<Option<KeyRecord>, StoreError> {
    let select = format!("SELECT {COLUMNS} FROM keys WHERE id = ?1");
    Ok(database.prepare_cached(&select)?.query_row([id], record).optional()?)
}

/// All keys, the oldest first.
pub(crate) fn list(database: &Connection) -> Result<Vec<KeyRecord>, StoreError> {
    let select = format!("SELECT {COLUMNS} FROM keys ORDER BY created_at, id");
    let mut select = database.prepare(&select)?;
    let records = select.query_map([], record)?.collect::<Result<_, _>>()?;
    Ok(records)
}

/// Revokes a key. False when it was revoked before.
pub(crate) fn revoke(database: &Connection, id: &str, now: Timestamp) -> Result<bool, StoreError> {
    let update = "UPDATE keys SET revoked_at = ?2 WHERE id = ?1 AND revoked_at IS NULL";
    Ok(database.execute(update, params![id, now.as_microsecond()])? == 1)
}

/// Records a use of a key.
pub(crate) fn touch(database: &Connection, id: &str, now: Timestamp) -> Result<(), StoreError> {
    let update = "UPDATE keys SET last_used_at = max(coalesce(last_used_at, 0), ?2) WHERE id = ?1";
    database.prepare_cached(update)?.execute(params![id, now.as_microsecond()])?;
    Ok(())
}

/// How many keys there are, and how many of them are valid at `now`.
pub(crate) fn count(database: &Connection, now: Timestamp) -> Result<(u64, u64), StoreError> {
    let count = "SELECT count(*), count(*) FILTER (WHERE revoked_at IS NULL \
                 AND (expires_at IS NULL OR expires_at > ?1)) FROM keys";
    let (all, active): (i64, i64) =
        database.query_row(count, [now.as_microsecond()], |row| Ok((row.get(0)?, row.get(1)?)))?;
    Ok((all.unsigned_abs(), active.unsigned_abs()))
}

fn record(row: &Row<'_>) -> rusqlite::Result<KeyRecord> {
    let time = |column| -> rusqlite::Result<Option<Timestamp>> {
        let micros: Option<i64> = row.get(column)?;
        Ok(micros.and_then(|micros| Timestamp::from_microsecond(micros).ok()))
    };
    Ok(KeyRecord {
        id: row.get(0)?,
        name: row.get(1)?,
        scopes: Scopes::from_bits(row.get(2)?),
        created_at: time(3)?.unwrap_or_default(),
        expires_at: time(4)?,
        revoked_at: time(5)?,
        last_used_at: time(6)?,
    })
}
