//! A page of the list, by ranges of an index.
//!
//! An index ends with the id, so that the newest of one outcome are a range of it. A filter that has
//! several outcomes reads the first of each: at most twelve ranges, however much is stored.

use rusqlite::{Connection, Row, params};
use shared::{Evaluation, Outcome, Page, Query};
use uuid::Uuid;

use crate::files::FileStorage;
use crate::store::StoreError;

/// The columns of [`Stored`].
pub(super) const COLUMNS: &str = "record, stdout_file, stderr_file, bytes";
/// Bytes of the evaluations of one page. At least one is on it.
const MAX_PAGE_BYTES: i64 = 8 << 20;
/// All outcomes.
const OUTCOMES: [Outcome; 12] = [
    Outcome::Exited,
    Outcome::Signaled,
    Outcome::WallTimeExceeded,
    Outcome::CpuTimeExceeded,
    Outcome::MemoryExceeded,
    Outcome::PidsExceeded,
    Outcome::OutputExceeded,
    Outcome::DiskExceeded,
    Outcome::EngineError,
    Outcome::WorkerLost,
    Outcome::QueueTimeExceeded,
    Outcome::Cancelled,
];

/// A row of an evaluation that has ended.
pub(super) struct Stored {
    record: String,
    files: [Option<String>; 2],
    bytes: i64,
}

impl Stored {
    pub(super) fn from_row(row: &Row<'_>) -> rusqlite::Result<Self> {
        Ok(Self { record: row.get(0)?, files: [row.get(1)?, row.get(2)?], bytes: row.get(3)? })
    }

    /// The evaluation, with its outputs.
    pub(super) fn into_evaluation(self, files: &FileStorage) -> Result<Evaluation, StoreError> {
        let mut evaluation: Evaluation = serde_json::from_str(&self.record)?;
        let outputs = [&mut evaluation.stdout, &mut evaluation.stderr];
        for (output, file) in outputs.into_iter().zip(self.files) {
            let Some(digest) = file else { continue };
            let text = String::from_utf8(files.get(&digest)?);
            output.text = text.map_err(|_| StoreError::Damaged { digest })?;
        }
        Ok(evaluation)
    }
}

// ANCHOR: ids
/// The ids that pass the filters of a query, newest first: its limit, one more, and `spare` more.
pub(super) fn ids(db: &Connection, query: &Query, spare: usize) -> Result<Vec<Uuid>, StoreError> {
    let limit = query.limit + 1 + spare;
    let is_wanted = |outcome: &Outcome| {
        query.outcome.is_none_or(|wanted| wanted == *outcome)
            && query.status.is_none_or(|status| status == outcome.status())
    };
    let cursor = query.cursor.unwrap_or(Uuid::max()).into_bytes();
    let number = i64::try_from(limit).unwrap_or(i64::MAX);
    let is_plain = query.owner.is_none() && query.label.is_none();
    let mut ids = Vec::new();
    if is_plain && OUTCOMES.iter().all(is_wanted) {
        let sql = "SELECT id FROM evaluations WHERE id < ?1 AND outcome IS NOT NULL
                   ORDER BY id DESC LIMIT ?2";
        let mut query = db.prepare_cached(sql)?;
        let rows = query.query_map(params![cursor, number], id)?;
        return Ok(rows.collect::<Result<_, _>>()?);
    }
    let mut statement = db.prepare_cached(sql(query))?;
    let (key, value) = query.label.as_ref().map_or((None, None), |(k, v)| (Some(k), Some(v)));
    for outcome in OUTCOMES.iter().filter(|outcome| is_wanted(outcome)) {
        let rows = statement
            .query_map(params![cursor, number, outcome.as_str(), query.owner, key, value], id)?;
        for id in rows {
            ids.push(id?);
        }
    }
    ids.sort_unstable_by(|one, other| other.cmp(one));
    ids.truncate(limit);
    Ok(ids)
}
// ANCHOR_END: ids

/// The newest of one outcome. Each numbers all parameters, so that one call serves all four.
fn sql(query: &Query) -> &'static str {
    match (&query.label, &query.owner) {
        (None, None) => {
            "SELECT id FROM evaluations WHERE id < ?1 AND outcome = ?3 AND ?4 IS NULL
             AND ?5 IS NULL AND ?6 IS NULL ORDER BY id DESC LIMIT ?2"
        }
        (None, Some(_)) => {
            "SELECT id FROM evaluations INDEXED BY evaluations_by_owner
             WHERE owner = ?4 AND outcome = ?3 AND id < ?1
             AND ?5 IS NULL AND ?6 IS NULL ORDER BY id DESC LIMIT ?2"
        }
        (Some(_), None) => {
            "SELECT id FROM labels WHERE key = ?5 AND value = ?6 AND outcome = ?3 AND id < ?1
             AND ?4 IS NULL ORDER BY id DESC LIMIT ?2"
        }
        (Some(_), Some(_)) => {
            "SELECT id FROM labels INDEXED BY labels_by_owner
             WHERE owner = ?4 AND key = ?5 AND value = ?6 AND outcome = ?3 AND id < ?1
             ORDER BY id DESC LIMIT ?2"
        }
    }
}

fn id(row: &Row<'_>) -> rusqlite::Result<Uuid> {
    row.get(0).map(Uuid::from_bytes)
}

/// The evaluations of the first `limit` of `ids`, as far as the bytes of a page allow.
pub(super) fn page(
    db: &Connection,
    ids: &[Uuid],
    limit: usize,
    files: &FileStorage,
) -> Result<Page, StoreError> {
    let sql = format!("SELECT {COLUMNS} FROM evaluations WHERE id = ?1");
    let mut query = db.prepare_cached(&sql)?;
    let (mut page, mut bytes, mut last, mut read) = (Page::default(), 0, None, 0);
    for id in ids.iter().take(limit) {
        // One that was deleted meanwhile is not on the page.
        let row = query.query_map([id.into_bytes()], Stored::from_row)?.next().transpose()?;
        if let Some(row) = row {
            bytes += row.bytes;
            if bytes > MAX_PAGE_BYTES && !page.items.is_empty() {
                break;
            }
            page.items.push(row.into_evaluation(files)?.into());
        }
        (last, read) = (Some(*id), read + 1);
    }
    page.next_cursor = last.filter(|_| read < ids.len());
    Ok(page)
}
