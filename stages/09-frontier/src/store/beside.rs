//! The database for a command, beside a server that may run.
//!
//! A command that makes or revokes a key must work while the server runs, which has the directory
//! locked. So it does not take the lock, and writes in a transaction of its own: SQLite orders it
//! after those of the server. Only a directory without a server is locked, and migrated first.

use std::path::Path;

use rusqlite::{Connection, TransactionBehavior};

use super::{DataDir, StoreError, connection, schema};

/// A connection to the database of a data directory.
pub(crate) struct Beside {
    connection: Connection,
    /// The lock, if no server has it.
    _directory: Option<DataDir>,
}

impl Beside {
    /// Opens the database in `path`, and creates it if there is none.
    ///
    /// # Errors
    ///
    /// [`StoreError`], when it is of another version, damaged, or cannot be used.
    pub(crate) fn open(path: &Path) -> Result<Self, StoreError> {
        let directory = match DataDir::lock(path) {
            Ok(directory) => Some(directory),
            Err(StoreError::InUse { .. }) => None,
            Err(error) => return Err(error),
        };
        let file = DataDir::database_in(path);
        let mut connection = connection::for_writing(&file)?;
        if let Some(directory) = &directory {
            schema::migrate(&mut connection, &file)?;
            directory.hand_over_files()?;
        } else {
            schema::require_current(&connection, &file)?;
        }
        Ok(Self { connection, _directory: directory })
    }

    /// Runs `work` in a transaction. When this returns, it is on disk.
    ///
    /// # Errors
    ///
    /// The error of `work`, or why the transaction was not committed.
    pub(crate) fn write<T>(
        &mut self,
        work: impl FnOnce(&Connection) -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        let immediate = TransactionBehavior::Immediate;
        let transaction = self.connection.transaction_with_behavior(immediate)?;
        let result = work(&transaction)?;
        transaction.commit()?;
        Ok(result)
    }

    /// Runs `query` on one state of the database.
    ///
    /// # Errors
    ///
    /// The error of `query`.
    pub(crate) fn read<T>(
        &mut self,
        query: impl FnOnce(&Connection) -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        query(&*self.connection.transaction()?)
    }
}
