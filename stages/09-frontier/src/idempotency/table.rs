//! The records, and what each step does to them.

use jiff::{SignedDuration, Timestamp};
use rusqlite::{Connection, OptionalExtension as _, params};
use uuid::Uuid;

use super::Record;
use crate::store::StoreError;

/// What a record is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// An evaluation.
    Evaluation,
    /// A batch.
    Batch,
    /// A sandbox that stays.
    Sandbox,
}

impl Kind {
    fn as_str(self) -> &'static str {
        match self {
            Self::Evaluation => "evaluation",
            Self::Batch => "batch",
            Self::Sandbox => "sandbox",
        }
    }
}

/// A record that may be new.
pub(super) struct Row {
    pub(super) record: Record,
    pub(super) fingerprint: [u8; 32],
    pub(super) kind: Kind,
    pub(super) resource: Uuid,
    pub(super) created_at: Timestamp,
}

/// What there was.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Found {
    /// Nothing: the record was inserted.
    Inserted,
    /// The same request, which made this.
    Done(Uuid),
    /// The same request, which is still being accepted.
    Pending,
    /// Another request.
    Other,
}

struct Existing {
    fingerprint: Vec<u8>,
    kind: String,
    resource: Vec<u8>,
    is_done: bool,
    created_at: i64,
}

pub(super) fn begin(
    database: &Connection,
    row: &Row,
    lifetime: SignedDuration,
) -> Result<Found, StoreError> {
    let select = "SELECT fingerprint, kind, resource, is_done, created_at FROM idempotency \
                  WHERE owner = ?1 AND key = ?2";
    let Record { owner, key } = &row.record;
    let existing = database.prepare_cached(select)?.query_row(params![owner, key], |existing| {
        Ok(Existing {
            fingerprint: existing.get(0)?,
            kind: existing.get(1)?,
            resource: existing.get(2)?,
            is_done: existing.get(3)?,
            created_at: existing.get(4)?,
        })
    });
    let oldest = (row.created_at - lifetime).as_microsecond();
    match existing.optional()? {
        Some(existing) if existing.created_at > oldest => Ok(compare(&existing, row)),
        _ => {
            let insert = "INSERT OR REPLACE INTO idempotency \
                          (owner, key, fingerprint, kind, resource, is_done, created_at) \
                          VALUES (?1, ?2, ?3, ?4, ?5, 0, ?6)";
            database.prepare_cached(insert)?.execute(params![
                owner,
                key,
                row.fingerprint,
                row.kind.as_str(),
                row.resource.as_bytes(),
                row.created_at.as_microsecond(),
            ])?;
            Ok(Found::Inserted)
        }
    }
}

fn compare(existing: &Existing, row: &Row) -> Found {
    if existing.fingerprint != row.fingerprint || existing.kind != row.kind.as_str() {
        return Found::Other;
    }
    match Uuid::from_slice(&existing.resource) {
        Ok(id) if existing.is_done => Found::Done(id),
        _ => Found::Pending,
    }
}

/// Completes a record when something was made, and removes it otherwise.
pub(super) fn end(database: &Connection, record: &Record, is_made: bool) -> Result<(), StoreError> {
    let step = if is_made {
        "UPDATE idempotency SET is_done = 1 WHERE owner = ?1 AND key = ?2"
    } else {
        "DELETE FROM idempotency WHERE owner = ?1 AND key = ?2 AND is_done = 0"
    };
    database.prepare_cached(step)?.execute(params![record.owner, record.key])?;
    Ok(())
}

/// Completes the records whose evaluation, batch or sandbox was accepted before a crash, and removes the
/// rest of those that are not done.
pub(super) fn recover(database: &Connection) -> Result<(), StoreError> {
    database.execute_batch(
        "UPDATE idempotency SET is_done = 1 WHERE is_done = 0 AND kind = 'evaluation' \
             AND resource IN (SELECT id FROM evaluations); \
         UPDATE idempotency SET is_done = 1 WHERE is_done = 0 AND kind = 'batch' \
             AND resource IN (SELECT id FROM batches WHERE is_accepted); \
         UPDATE idempotency SET is_done = 1 WHERE is_done = 0 AND kind = 'sandbox' \
             AND resource IN (SELECT id FROM sandboxes); \
         DELETE FROM idempotency WHERE is_done = 0;",
    )?;
    Ok(())
}

/// Removes at most `count` records that are older. Returns how many there were.
pub(super) fn purge(
    database: &Connection,
    oldest: Timestamp,
    count: u32,
) -> Result<usize, StoreError> {
    let delete = "DELETE FROM idempotency WHERE (owner, key) IN \
                  (SELECT owner, key FROM idempotency WHERE created_at <= ?1 LIMIT ?2)";
    Ok(database.prepare_cached(delete)?.execute(params![oldest.as_microsecond(), count])?)
}
