//! What is stored, in numbers: kept in the database by the transactions that change it.

use std::sync::{Mutex, PoisonError};

use rusqlite::Connection;

use super::StoreError;

/// The evaluations that have ended, and their bytes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Counters {
    pub(crate) entries: usize,
    pub(crate) bytes: usize,
}

impl Counters {
    /// As the transaction of `db` sees them.
    pub(crate) fn read(db: &Connection) -> Result<Self, StoreError> {
        let counter = |name: &str| {
            let query = "SELECT value FROM counters WHERE name = ?1";
            let value = db.prepare_cached(query)?.query_row([name], |row| row.get::<_, i64>(0))?;
            Ok::<_, StoreError>(usize::try_from(value).unwrap_or(0))
        };
        Ok(Self { entries: counter("entries")?, bytes: counter("bytes")? })
    }
}

/// The counters as of the last transaction, for readers that must not wait for the database. The
/// writer replaces them after each commit, before any caller learns of it: a client that has
/// seen an evaluation end finds it counted.
#[derive(Debug, Default)]
pub(super) struct Committed(Mutex<Counters>);

impl Committed {
    pub(super) fn new(counters: Counters) -> Self {
        Self(Mutex::new(counters))
    }

    pub(super) fn get(&self) -> Counters {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn set(&self, counters: Counters) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = counters;
    }
}
