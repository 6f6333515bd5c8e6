//! The schema, and how a database of an earlier version is brought to it.
//!
//! A migration is a file of SQL that was released and does not change any more. `user_version` of the
//! database is the number of migrations it has had; each runs in a transaction with its number, so
//! that a crash leaves the schema of before or of after.

use std::path::Path;

use rusqlite::{Connection, TransactionBehavior};

use super::StoreError;

/// The migrations, in their order.
const MIGRATIONS: &[&str] = &[
    include_str!("../../migrations/0001_evaluations.sql"),
    include_str!("../../migrations/0002_accounts.sql"),
    include_str!("../../migrations/0003_artifacts.sql"),
    include_str!("../../migrations/0004_packs.sql"),
    include_str!("../../migrations/0005_pairs.sql"),
    include_str!("../../migrations/0006_sandboxes.sql"),
    include_str!("../../migrations/0007_owners.sql"),
];
/// Marks a file as a database of Crucible: "CRUC".
const APPLICATION_ID: i32 = 0x4352_5543;

/// Brings the database at `path` to the present schema.
pub(super) fn migrate(connection: &mut Connection, path: &Path) -> Result<(), StoreError> {
    let version = check(connection, path)?;
    for (index, migration) in MIGRATIONS.iter().enumerate().skip(version) {
        let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
        transaction.execute_batch(migration)?;
        transaction.pragma_update(None, "application_id", APPLICATION_ID)?;
        transaction.pragma_update(None, "user_version", known(index + 1))?;
        transaction.commit()?;
        tracing::info!(schema = index + 1, "database migrated");
    }
    Ok(())
}

/// Checks that the database is one of this program and not newer. Returns its version.
pub(super) fn check(connection: &Connection, path: &Path) -> Result<usize, StoreError> {
    let version: u32 = connection.pragma_query_value(None, "user_version", |row| row.get(0))?;
    let application: i32 =
        connection.pragma_query_value(None, "application_id", |row| row.get(0))?;
    let tables: u32 =
        connection.query_row("SELECT count(*) FROM sqlite_schema", [], |row| row.get(0))?;
    if application != APPLICATION_ID && (tables > 0 || version > 0) {
        return Err(StoreError::Foreign { path: path.to_owned() });
    }
    let newest = known(MIGRATIONS.len());
    if version > newest {
        let path = path.to_owned();
        return Err(StoreError::NewerSchema { path, found: version, known: newest });
    }
    Ok(usize::try_from(version).unwrap_or(usize::MAX))
}

/// Checks that the database has the present schema: a process beside the server does not migrate it.
pub(super) fn require_current(connection: &Connection, path: &Path) -> Result<(), StoreError> {
    let found = known(check(connection, path)?);
    if found == known(MIGRATIONS.len()) {
        return Ok(());
    }
    Err(StoreError::OlderSchema { path: path.to_owned(), found, known: known(MIGRATIONS.len()) })
}

fn known(migrations: usize) -> u32 {
    u32::try_from(migrations).unwrap_or(u32::MAX)
}
