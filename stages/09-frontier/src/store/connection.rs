//! Connections to the database, and how each is configured.

use std::path::Path;
use std::time::Duration;

use rusqlite::{Connection, OpenFlags};

use super::StoreError;

/// How long a connection waits for a lock of another. It is a setting of each connection.
pub(super) const BUSY_TIMEOUT: Duration = Duration::from_secs(5);
/// The size that the WAL is cut to when it is reset.
const WAL_KEEP_BYTES: i64 = 16 << 20;
/// After so many pages the writer moves the WAL into the database.
const CHECKPOINT_PAGES: i64 = 1000;
/// Statements that a connection has prepared.
const CACHED_STATEMENTS: usize = 64;
/// The page cache of one connection in KiB, as SQLite takes it: negative.
const CACHE_KIB: i64 = -4096;

/// The connection of the writer. It creates the file.
pub(super) fn for_writing(path: &Path) -> Result<Connection, StoreError> {
    let connection = open(path, OpenFlags::SQLITE_OPEN_CREATE)?;
    connection.pragma_update(None, "journal_mode", "WAL")?;
    // FULL: the WAL is flushed at each commit. NORMAL would lose the last commits of a machine that
    // loses its power, and a client would have read what never was.
    connection.pragma_update(None, "synchronous", "FULL")?;
    connection.pragma_update(None, "foreign_keys", true)?;
    connection.pragma_update(None, "wal_autocheckpoint", CHECKPOINT_PAGES)?;
    connection.pragma_update(None, "journal_size_limit", WAL_KEEP_BYTES)?;
    Ok(connection)
}

/// A connection that reads only. It is not opened read-only: a reader of a WAL writes to its index.
pub(super) fn for_reading(path: &Path) -> Result<Connection, StoreError> {
    let connection = open(path, OpenFlags::empty())?;
    connection.pragma_update(None, "query_only", true)?;
    Ok(connection)
}

/// A connection with the settings of all. The file is none that a link leads to: its directory may be of another user
/// than this process. Test: `a_link_in_place_of_a_file_is_not_followed`.
pub(super) fn open(path: &Path, more: OpenFlags) -> Result<Connection, StoreError> {
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE
        | OpenFlags::SQLITE_OPEN_NO_MUTEX
        | OpenFlags::SQLITE_OPEN_NOFOLLOW
        | more;
    // SQLite refuses links in the whole path; those to the directory are the operator's.
    let file = match (path.parent().map(Path::canonicalize), path.file_name()) {
        (Some(Ok(directory)), Some(name)) => directory.join(name),
        _ => path.to_owned(),
    };
    let connection = Connection::open_with_flags(file, flags)?;
    connection.busy_timeout(BUSY_TIMEOUT)?;
    connection.set_prepared_statement_cache_capacity(CACHED_STATEMENTS);
    connection.pragma_update(None, "cache_size", CACHE_KIB)?;
    // What a query sorts is not written to a directory that may be full.
    connection.pragma_update(None, "temp_store", "MEMORY")?;
    Ok(connection)
}
