//! The rows of the audit log.

use rusqlite::{Connection, OptionalExtension as _, Row, params};

use super::chain::{Entry, GENESIS, Hash, Head};
use crate::store::StoreError;

/// The counter of rows that were ever written.
const COUNTER: &str = "audit_rows";
const COLUMNS: &str =
    "number, time, actor, peer, request_id, action, target, detail, previous, hash";

/// What is wrong with the log, at the first place where something is.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum AuditMismatch {
    /// A row is not what it was when it was written, or its hash is not.
    #[error("row {0} was changed")]
    Changed(i64),
    /// Between two rows is one missing, or one too many.
    #[error("a row before row {0} was removed or inserted")]
    Chain(i64),
    /// The newest rows are missing, or rows were added without the counter.
    #[error("there are {found} rows, and {counted} were written")]
    Count {
        /// Rows that are there.
        found: i64,
        /// Rows that were written.
        counted: i64,
    },
    /// The log is not the one that the given head is from.
    #[error("row {0} is not there, or is not the one of the given head")]
    Head(i64),
}

/// A log whose chain is whole.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Verified {
    /// Rows that were read.
    pub rows: i64,
    /// The newest.
    pub head: Head,
}

/// Appends a row. The transaction has to be for writing from its beginning, so that no other process
/// appends meanwhile.
pub(crate) fn append(database: &Connection, entry: &Entry) -> Result<Head, StoreError> {
    let last = head(database)?;
    let number = last.number + 1;
    let hash = entry.hash(number, last.hash);
    let insert =
        format!("INSERT INTO audit ({COLUMNS}) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10)");
    database.prepare_cached(&insert)?.execute(params![
        number,
        entry.time,
        entry.actor,
        entry.peer,
        entry.request_id,
        entry.action,
        entry.target,
        entry.detail,
        last.hash.0,
        hash.0,
    ])?;
    let count = "UPDATE counters SET value = value + 1 WHERE name = ?1";
    database.prepare_cached(count)?.execute([COUNTER])?;
    Ok(Head { number, hash })
}

/// The newest row.
pub(crate) fn head(database: &Connection) -> Result<Head, StoreError> {
    let select = "SELECT number, hash FROM audit ORDER BY number DESC LIMIT 1";
    let newest = database.prepare_cached(select)?.query_row([], |row| {
        let hash: Vec<u8> = row.get(1)?;
        Ok((row.get(0)?, hash))
    });
    let Some((number, hash)) = newest.optional()? else {
        return Ok(Head { number: 0, hash: GENESIS });
    };
    // A hash of another length was put there by hand; `verify` finds it.
    Ok(Head { number, hash: Hash::from_bytes(&hash).unwrap_or(GENESIS) })
}

/// Reads the log from its beginning, and checks each row. With `known` also that the log has that
/// row.
pub(crate) fn verify(
    database: &Connection,
    known: Option<Head>,
) -> Result<Result<Verified, AuditMismatch>, StoreError> {
    let mut select = database.prepare(&format!("SELECT {COLUMNS} FROM audit ORDER BY number"))?;
    let mut rows = select.query([])?;
    let mut last = Head { number: 0, hash: GENESIS };
    let mut is_known = known.is_none_or(|known| known == last);
    while let Some(row) = rows.next()? {
        last = match next(row, last)? {
            Ok(head) => head,
            Err(mismatch) => return Ok(Err(mismatch)),
        };
        is_known |= known == Some(last);
    }
    let count = "SELECT value FROM counters WHERE name = ?1";
    let counted: i64 = database.query_row(count, [COUNTER], |row| row.get(0))?;
    if counted != last.number {
        return Ok(Err(AuditMismatch::Count { found: last.number, counted }));
    }
    match known {
        Some(known) if !is_known => Ok(Err(AuditMismatch::Head(known.number))),
        _ => Ok(Ok(Verified { rows: last.number, head: last })),
    }
}

/// The same for the newest rows, at most `count` of them.
pub(crate) fn verify_newest(
    database: &Connection,
    count: i64,
) -> Result<Result<Verified, AuditMismatch>, StoreError> {
    let newest = head(database)?.number;
    let select = format!("SELECT {COLUMNS} FROM audit WHERE number >= ?1 ORDER BY number");
    let mut select = database.prepare_cached(&select)?;
    let mut rows = select.query([newest - count + 1])?;
    let (mut last, mut checked) = (Head { number: 0, hash: GENESIS }, 0);
    while let Some(row) = rows.next()? {
        let number: i64 = row.get(0)?;
        if checked == 0 && number > 1 {
            // What the first of them continues was checked before, or is for `verify`.
            let previous: Vec<u8> = row.get(8)?;
            last =
                Head { number: number - 1, hash: Hash::from_bytes(&previous).unwrap_or(GENESIS) };
        }
        last = match next(row, last)? {
            Ok(head) => head,
            Err(mismatch) => return Ok(Err(mismatch)),
        };
        checked += 1;
    }
    Ok(Ok(Verified { rows: checked, head: last }))
}

/// What a row says, whose first eight columns are the number and these.
pub(super) fn entry(row: &Row<'_>) -> rusqlite::Result<Entry> {
    Ok(Entry {
        time: row.get(1)?,
        actor: row.get(2)?,
        peer: row.get(3)?,
        request_id: row.get(4)?,
        action: row.get(5)?,
        target: row.get(6)?,
        detail: row.get(7)?,
    })
}

/// Checks one row against the one before it.
fn next(row: &Row<'_>, last: Head) -> rusqlite::Result<Result<Head, AuditMismatch>> {
    let number: i64 = row.get(0)?;
    let entry = entry(row)?;
    let (previous, hash): (Vec<u8>, Vec<u8>) = (row.get(8)?, row.get(9)?);
    let (Some(previous), Some(hash)) = (Hash::from_bytes(&previous), Hash::from_bytes(&hash))
    else {
        return Ok(Err(AuditMismatch::Changed(number)));
    };
    if entry.hash(number, previous) != hash {
        return Ok(Err(AuditMismatch::Changed(number)));
    }
    if number != last.number + 1 || previous != last.hash {
        return Ok(Err(AuditMismatch::Chain(number)));
    }
    Ok(Ok(Head { number, hash }))
}

#[cfg(test)]
mod tests {
    use super::*;

    const SCHEMA: &str = include_str!("../../migrations/0002_accounts.sql");

    fn log(rows: i64) -> Connection {
        let database = Connection::open_in_memory().unwrap();
        let counters = "CREATE TABLE counters (name TEXT PRIMARY KEY, value INTEGER) STRICT;";
        database.execute_batch(counters).unwrap();
        database.execute_batch(SCHEMA).unwrap();
        for number in 1..=rows {
            append(&database, &entry(number)).unwrap();
        }
        database
    }

    fn entry(number: i64) -> Entry {
        Entry {
            time: number,
            actor: "key".into(),
            peer: String::new(),
            request_id: "r".into(),
            action: "evaluation.submit".into(),
            target: number.to_string(),
            detail: "{}".into(),
        }
    }

    fn mismatch(database: &Connection) -> AuditMismatch {
        verify(database, None).unwrap().unwrap_err()
    }

    #[test]
    fn a_log_that_was_only_appended_to_is_whole() {
        let database = log(100);
        let verified = verify(&database, None).unwrap().unwrap();
        assert_eq!((verified.rows, verified.head), (100, head(&database).unwrap()));
        assert_eq!(verify(&log(0), None).unwrap().unwrap().rows, 0);
    }

    #[test]
    fn a_changed_row_is_found() {
        for (column, value) in [
            ("time", "7"),
            ("actor", "'other'"),
            ("peer", "'192.0.2.1'"),
            ("request_id", "'s'"),
            ("action", "'key.create'"),
            ("target", "'9'"),
            ("detail", "'{\"a\":1}'"),
            ("hash", "x'00'"),
            ("hash", "zeroblob(32)"),
            ("previous", "zeroblob(32)"),
        ] {
            let database = log(10);
            let update = format!("UPDATE audit SET {column} = {value} WHERE number = 5");
            database.execute_batch(&update).unwrap();
            assert_eq!(mismatch(&database), AuditMismatch::Changed(5), "{column}");
        }
    }

    #[test]
    fn a_removed_or_inserted_row_is_found() {
        let database = log(10);
        database.execute_batch("DELETE FROM audit WHERE number = 5").unwrap();
        assert_eq!(mismatch(&database), AuditMismatch::Chain(6));
        // The numbers are closed up: their own hashes no longer hold.
        database.execute_batch("UPDATE audit SET number = number - 1 WHERE number > 5;").unwrap();
        assert_eq!(mismatch(&database), AuditMismatch::Changed(5));
        let first = log(10);
        first.execute_batch("DELETE FROM audit WHERE number = 1").unwrap();
        assert_eq!(mismatch(&first), AuditMismatch::Chain(2));
        // A row that is whole in itself, in the place of another.
        let database = log(10);
        let (forged, previous) = (entry(99), GENESIS);
        let hash = forged.hash(5, previous);
        let update = "UPDATE audit SET time = 99, target = '99', previous = ?1, hash = ?2 \
                      WHERE number = 5";
        database.execute(update, params![previous.0, hash.0]).unwrap();
        assert_eq!(mismatch(&database), AuditMismatch::Chain(5));
    }

    #[test]
    fn the_newest_rows_are_checked_by_themselves() {
        let database = log(100);
        let verified = verify_newest(&database, 10).unwrap().unwrap();
        assert_eq!((verified.rows, verified.head), (10, head(&database).unwrap()));
        assert_eq!(verify_newest(&log(3), 10).unwrap().unwrap().rows, 3);
        assert_eq!(verify_newest(&log(0), 10).unwrap().unwrap().rows, 0);
        database.execute_batch("UPDATE audit SET actor = 'x' WHERE number = 95").unwrap();
        assert_eq!(verify_newest(&database, 10).unwrap(), Err(AuditMismatch::Changed(95)));
        assert!(verify_newest(&database, 5).unwrap().is_ok());
    }

    #[test]
    fn removed_newest_rows_are_found_by_the_counter() {
        let database = log(10);
        database.execute_batch("DELETE FROM audit WHERE number > 7").unwrap();
        assert_eq!(mismatch(&database), AuditMismatch::Count { found: 7, counted: 10 });
        // After that, new rows continue a chain that is whole; the counter still has them.
        append(&database, &entry(8)).unwrap();
        assert_eq!(mismatch(&database), AuditMismatch::Count { found: 8, counted: 11 });
        // With the counter corrected, only a head from elsewhere finds it.
        let database = log(10);
        let known = head(&database).unwrap();
        let cut = "DELETE FROM audit WHERE number > 7; UPDATE counters SET value = 7 \
                   WHERE name = 'audit_rows';";
        database.execute_batch(cut).unwrap();
        assert!(verify(&database, None).unwrap().is_ok());
        assert_eq!(verify(&database, Some(known)).unwrap(), Err(AuditMismatch::Head(10)));
        let whole = log(12);
        assert!(verify(&whole, Some(known)).unwrap().is_ok(), "an earlier head is in it");
    }
}
