//! Rows of the audit log for a person, as they are stored: whether they are whole is for `verify`.

use data_encoding::HEXLOWER;
use rusqlite::{Connection, params};

use super::chain::Entry;
use super::table::entry;
use crate::store::StoreError;

/// A row as it is stored.
pub(crate) struct AuditRow {
    pub(crate) number: i64,
    pub(crate) entry: Entry,
    /// In hexadecimal digits.
    pub(crate) hash: String,
}

/// The newest rows with a number below `before`, at most `limit`.
pub(crate) fn rows_before(
    database: &Connection,
    before: i64,
    limit: usize,
) -> Result<Vec<AuditRow>, StoreError> {
    let select = "SELECT number, time, actor, peer, request_id, action, target, detail, hash \
                  FROM audit WHERE number < ?1 ORDER BY number DESC LIMIT ?2";
    let mut select = database.prepare_cached(select)?;
    let limit = i64::try_from(limit).unwrap_or(i64::MAX);
    let rows = select.query_map(params![before, limit], |row| {
        let hash: Vec<u8> = row.get(8)?;
        let hash = HEXLOWER.encode(&hash);
        Ok(AuditRow { number: row.get(0)?, entry: entry(row)?, hash })
    })?;
    Ok(rows.collect::<Result<_, _>>()?)
}
