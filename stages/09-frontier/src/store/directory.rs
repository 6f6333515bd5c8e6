//! The data directory: where it is, whose it is, and the lock of the process that uses it.

use std::fs::{DirBuilder, File, OpenOptions, TryLockError};
use std::io::{Read as _, Seek as _, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _, OpenOptionsExt as _, chown};
use std::path::{Path, PathBuf};

use rustix::process::geteuid;
use stage_06_advanced::ApiUser;

use super::StoreError;

const DATABASE: &str = "crucible.db";
const LOCK: &str = "crucible.lock";
pub(super) const FILES: &str = "files";

/// A directory that no other process uses.
#[derive(Debug)]
pub struct DataDir {
    path: PathBuf,
    /// The kernel releases the lock with the process, however that ends.
    _lock: File,
    /// Removes the directory with its last use, if it is for one process only.
    _scratch: Option<tempfile::TempDir>,
}

impl DataDir {
    /// Creates `path` if it does not exist, and locks it.
    ///
    /// # Errors
    ///
    /// [`StoreError::InUse`] when another process has it, [`StoreError::Io`] when it cannot be used.
    pub fn lock(path: &Path) -> Result<Self, StoreError> {
        Self::create(path)?;
        let file = path.join(LOCK);
        let mut lock = OpenOptions::new()
            .create(true)
            .truncate(false)
            .read(true)
            .write(true)
            .mode(0o600)
            .open(&file)
            .map_err(|error| StoreError::io(&file, error))?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                let mut holder = String::new();
                lock.read_to_string(&mut holder).ok(); // only for the message
                let holder = Some(holder.trim().to_owned()).filter(|pid| !pid.is_empty());
                return Err(StoreError::InUse { path: path.to_owned(), holder });
            }
            Err(TryLockError::Error(error)) => return Err(StoreError::io(&file, error)),
        }
        let id = format!("{}\n", std::process::id());
        lock.set_len(0)
            .and_then(|()| lock.rewind())
            .and_then(|()| lock.write_all(id.as_bytes()))
            .map_err(|error| StoreError::io(&file, error))?;
        Ok(Self { path: path.to_owned(), _lock: lock, _scratch: None })
    }

    /// A directory for this process alone, which is removed at its end.
    ///
    /// # Errors
    ///
    /// When it cannot be created.
    pub fn scratch() -> Result<Self, StoreError> {
        let parent = std::env::temp_dir();
        let scratch = tempfile::Builder::new().prefix("crucible-data-").tempdir();
        let scratch = scratch.map_err(|error| StoreError::io(parent, error))?;
        let locked = Self::lock(scratch.path())?;
        Ok(Self { _scratch: Some(scratch), ..locked })
    }

    /// Creates `path` for its owner alone, if it does not exist.
    ///
    /// # Errors
    ///
    /// When it cannot be created.
    pub fn create(path: &Path) -> Result<(), StoreError> {
        let created = DirBuilder::new().recursive(true).mode(0o700).create(path);
        created.map_err(|error| StoreError::io(path, error))
    }

    /// The same for `user`, if root creates it.
    ///
    /// # Errors
    ///
    /// When it cannot be created, or not given to the user.
    pub fn create_for(path: &Path, user: ApiUser) -> Result<(), StoreError> {
        let exists = path.exists();
        Self::create(path)?;
        if exists || !geteuid().is_root() {
            return Ok(());
        }
        let (uid, gid) = user.ids();
        chown(path, Some(uid), Some(gid)).map_err(|error| StoreError::io(path, error))
    }

    /// Gives a directory and all in it to `user`, if root has made it.
    ///
    /// # Errors
    ///
    /// When an owner cannot be changed.
    pub fn give_to(path: &Path, user: ApiUser) -> Result<(), StoreError> {
        if !geteuid().is_root() {
            return Ok(());
        }
        let at = |error| StoreError::io(path, error);
        let (uid, gid) = user.ids();
        chown(path, Some(uid), Some(gid)).map_err(at)?;
        if path.is_dir() {
            for entry in path.read_dir().map_err(at)? {
                Self::give_to(&entry.map_err(at)?.path(), user)?;
            }
        }
        Ok(())
    }

    /// The path of the directory.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The path of the database.
    pub fn database(&self) -> PathBuf {
        Self::database_in(&self.path)
    }

    /// The path of the database in `directory`.
    pub fn database_in(directory: &Path) -> PathBuf {
        directory.join(DATABASE)
    }

    /// The path of the directory of files.
    pub fn files(&self) -> PathBuf {
        self.path.join(FILES)
    }

    /// Gives new files to the owner of the directory, if root has created them: a command that root
    /// runs must not lock the server out.
    ///
    /// # Errors
    ///
    /// When the owner cannot be read or changed.
    pub(super) fn hand_over_files(&self) -> Result<(), StoreError> {
        if !geteuid().is_root() {
            return Ok(());
        }
        let at = |error| StoreError::io(&self.path, error);
        let owner = self.path.metadata().map_err(at)?;
        for entry in self.path.read_dir().map_err(at)? {
            let file = entry.map_err(at)?.path();
            // A file that was removed meanwhile needs no owner.
            let Ok(metadata) = file.symlink_metadata() else { continue };
            if metadata.is_file() && metadata.uid() != owner.uid() {
                let given = chown(&file, Some(owner.uid()), Some(owner.gid()));
                given.map_err(|error| StoreError::io(&file, error))?;
            }
        }
        Ok(())
    }
}
