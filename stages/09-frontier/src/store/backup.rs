//! Backup and restore of a data directory, and the check of its integrity.
//!
//! A backup is taken beside a server that runs. The database is copied as of one moment; files are
//! copied before it, and once more for what came in between. A file that is in the copy of the
//! database and in neither is one that was deleted meanwhile, and then the backup starts again.

use std::fs::OpenOptions;
use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use rusqlite::{Connection, OpenFlags};

use super::{DataDir, StoreError, connection, schema};
use crate::files::FileStorage;

/// How often a backup is started.
const ATTEMPTS: usize = 3;

/// What is in a data directory or in a backup.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Contents {
    /// Evaluations, those that have not ended included.
    pub evaluations: u64,
    /// Events.
    pub events: u64,
    /// Files of large outputs.
    pub files: usize,
}

/// Copies the data directory `from`, whose server may run, to the new directory `to`.
///
/// # Errors
///
/// When `to` exists, or `from` is damaged.
pub(crate) fn back_up(from: &Path, to: &Path) -> Result<Contents, StoreError> {
    if to.symlink_metadata().is_ok() {
        return Err(StoreError::Exists { path: to.to_owned() });
    }
    let source = open(from)?;
    DataDir::create(to)?;
    for _ in 0..ATTEMPTS {
        copy_files(&all_files(from)?, from, to)?;
        let copy = DataDir::database_in(to);
        std::fs::remove_file(&copy).ok(); // of an attempt before
        source.execute("VACUUM INTO ?1", [copy.to_string_lossy()])?;
        let needed = files_of(&open(to)?)?;
        copy_files(&needed, from, to).ok(); // what is missing is found below
        if let Ok(contents) = verify(to) {
            flush(to)?;
            return Ok(contents);
        }
    }
    verify(to)
}

/// Makes the data directory `to` of a backup. It must not exist, or be empty.
///
/// # Errors
///
/// When `to` has something, or the backup is damaged.
pub(crate) fn restore(from: &Path, to: &Path) -> Result<Contents, StoreError> {
    let contents = verify(from)?;
    if to.read_dir().is_ok_and(|mut entries| entries.next().is_some()) {
        return Err(StoreError::Exists { path: to.to_owned() });
    }
    DataDir::create(to)?;
    copy_files(&all_files(from)?, from, to)?;
    // The database last: without it the directory is not one of a server.
    let (database, copy) = (DataDir::database_in(from), DataDir::database_in(to));
    std::fs::copy(&database, &copy).map_err(|error| StoreError::io(&copy, error))?;
    flush(to)?;
    Ok(contents)
}

/// Checks the integrity of a data directory: of the database, and of each file that it refers to.
///
/// # Errors
///
/// What is damaged.
pub(crate) fn verify(directory: &Path) -> Result<Contents, StoreError> {
    let db = open(directory)?;
    let found: String = db.query_row("PRAGMA integrity_check(1)", [], |row| row.get(0))?;
    if found != "ok" {
        return Err(StoreError::Corrupt { found });
    }
    let orphans: i64 =
        db.query_row("SELECT count(*) FROM pragma_foreign_key_check", [], |row| row.get(0))?;
    if orphans > 0 {
        return Err(StoreError::Corrupt {
            found: format!("{orphans} rows without their evaluation"),
        });
    }
    let digests = files_of(&db)?;
    let files = FileStorage::at(directory.join(super::directory::FILES));
    for digest in &digests {
        files.get(digest)?;
    }
    let count = |table: &str| {
        let sql = format!("SELECT count(*) FROM {table}");
        let count: i64 = db.query_row(&sql, [], |row| row.get(0))?;
        Ok::<_, StoreError>(u64::try_from(count).unwrap_or(0))
    };
    let (evaluations, events) = (count("evaluations")?, count("events")?);
    Ok(Contents { evaluations, events, files: digests.len() })
}

/// A connection to an existing database, whose server may run.
fn open(directory: &Path) -> Result<Connection, StoreError> {
    let path = DataDir::database_in(directory);
    path.metadata().map_err(|error| StoreError::io(&path, error))?;
    let db = connection::open(&path, OpenFlags::empty())?;
    schema::check(&db, &path)?;
    Ok(db)
}

fn files_of(db: &Connection) -> Result<Vec<String>, StoreError> {
    let mut query = db.prepare("SELECT digest FROM files")?;
    let digests = query.query_map([], |row| row.get(0))?;
    Ok(digests.collect::<Result<_, _>>()?)
}

fn all_files(directory: &Path) -> Result<Vec<String>, StoreError> {
    FileStorage::at(directory.join(super::directory::FILES)).digests()
}

/// Copies those of the files whose content is what their name says.
///
/// Attack: the user of the server puts a link to a file of root's beside its own, for root to copy into a backup and to
/// give away with the next restore → the name of a copy is the hash of its content. Test:
/// `a_backup_has_no_file_that_the_server_did_not_write`.
fn copy_files(digests: &[String], from: &Path, to: &Path) -> Result<(), StoreError> {
    let files = |directory: &Path| FileStorage::at(directory.join(super::directory::FILES));
    let (source, target) = (files(from), files(to));
    for digest in digests {
        let copy = target.path(digest);
        // Deleted meanwhile, or no file of the server's; whether it is needed is checked at the end.
        let Some(content) = source.get(digest).ok().filter(|_| !copy.exists()) else { continue };
        DataDir::create(copy.parent().unwrap_or(to))?;
        let created = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&copy);
        created
            .and_then(|mut file| file.write_all(&content).and_then(|()| file.sync_all()))
            .map_err(|error| StoreError::io(&copy, error))?;
    }
    Ok(())
}

/// Flushes the database and the directory.
fn flush(directory: &Path) -> Result<(), StoreError> {
    for path in [DataDir::database_in(directory), PathBuf::from(directory)] {
        std::fs::File::open(&path)
            .and_then(|file| file.sync_all())
            .map_err(|error| StoreError::io(&path, error))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;
    use crate::store::Store;

    #[tokio::test]
    async fn a_backup_has_no_file_that_the_server_did_not_write() {
        let (parent, data) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let store = Store::open(DataDir::lock(data.path()).unwrap()).unwrap();
        let directory = store.directory().files();
        let files = FileStorage::open(directory.clone()).unwrap();
        let written = files.put(&[b"of the server"]).unwrap().digest().to_owned();
        let secret = parent.path().join("shadow");
        std::fs::write(&secret, "of root").unwrap();
        let strange = directory.join("sh");
        std::fs::create_dir(&strange).unwrap();
        symlink(&secret, strange.join("shadow")).unwrap();
        // Even one that is named by its content: that is known to the server, and the file is another's.
        let named = files.path(&crate::files::digest(b"of root"));
        std::fs::create_dir_all(named.parent().unwrap()).unwrap();
        symlink(&secret, &named).unwrap();
        let pipe = std::process::Command::new("mkfifo").arg(strange.join("pipe")).status();
        assert!(pipe.unwrap().success());
        let copies = [parent.path().join("backup"), parent.path().join("restored")];
        let contents = back_up(data.path(), &copies[0]).unwrap();
        assert_eq!(contents, restore(&copies[0], &copies[1]).unwrap());
        for copy in copies {
            let digests = FileStorage::at(copy.join("files")).digests().unwrap();
            assert_eq!(digests, [written.as_str()]);
        }
    }
}
