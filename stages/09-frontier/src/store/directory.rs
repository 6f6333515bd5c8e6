//! The data directory: where it is, whose it is, and the lock of the process that uses it.

use std::fs::{DirBuilder, File, OpenOptions, TryLockError};
use std::io::{Read as _, Seek as _, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _, OpenOptionsExt as _, lchown};
use std::path::{Path, PathBuf};

use rustix::fs::OFlags;
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
    /// Attack: the user of the server puts a symbolic link to a file of root's in place of the lock, and waits for a
    /// command that root runs → no link is followed. Test: `a_link_in_place_of_a_file_is_not_followed`.
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
            .custom_flags(no_links())
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

    /// Creates `path` for its owner alone, if it does not exist. A missing parent becomes a directory like any
    /// other: the user of the server has to pass it, and is not the one who creates it.
    ///
    /// # Errors
    ///
    /// When it cannot be created.
    pub fn create(path: &Path) -> Result<(), StoreError> {
        let parents = path.parent().map_or(Ok(()), std::fs::create_dir_all);
        let own = || DirBuilder::new().recursive(true).mode(0o700).create(path);
        parents.and_then(|()| own()).map_err(|error| StoreError::io(path, error))
    }

    /// The same for `user`, if root creates it, or has created it and put nothing into it: systemd
    /// does that for a service.
    ///
    /// # Errors
    ///
    /// When it cannot be created, or not given to the user.
    pub fn create_for(path: &Path, user: ApiUser) -> Result<(), StoreError> {
        let at = |error| StoreError::io(path, error);
        Self::create(path)?;
        let owner = path.metadata().map_err(at)?.uid();
        let is_new = owner == 0 && path.read_dir().map_err(at)?.next().is_none();
        if !is_new || !geteuid().is_root() {
            return Ok(());
        }
        let (uid, gid) = user.ids();
        lchown(path, Some(uid), Some(gid)).map_err(at)
    }

    /// Gives a directory and all in it to `user`, if root has made it.
    ///
    /// Attack: the user of the server puts a symbolic link to a file of root's here, for root to give
    /// away → links are not followed. Test: `a_link_is_not_followed_when_files_are_handed_over`.
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
        lchown(path, Some(uid), Some(gid)).map_err(at)?;
        if path.symlink_metadata().map_err(at)?.is_dir() {
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
                let given = lchown(&file, Some(owner.uid()), Some(owner.gid()));
                given.map_err(|error| StoreError::io(&file, error))?;
            }
        }
        Ok(())
    }
}

/// Flags for opening a file in a directory of another user: no symbolic link is followed, and no pipe is waited for.
pub(crate) fn no_links() -> i32 {
    (OFlags::NOFOLLOW | OFlags::NONBLOCK).bits().cast_signed()
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    #[test]
    fn a_link_is_not_followed_when_files_are_handed_over() {
        if !geteuid().is_root() {
            return; // only root can give anything away
        }
        let (data, other) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let secret = other.path().join("secret");
        std::fs::write(&secret, "of root").unwrap();
        symlink(&secret, data.path().join("crucible.db-wal")).unwrap();
        symlink(other.path(), data.path().join("files")).unwrap();
        DataDir::give_to(data.path(), ApiUser::find(Some("64999")).unwrap()).unwrap();
        assert_eq!(data.path().metadata().unwrap().uid(), 64999);
        DataDir::lock(data.path()).unwrap().hand_over_files().unwrap();
        for path in [secret.as_path(), other.path()] {
            assert_eq!(path.metadata().unwrap().uid(), 0, "{}", path.display());
        }
    }

    #[test]
    fn a_link_in_place_of_a_file_is_not_followed() {
        let (data, other) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let secret = other.path().join("secret");
        std::fs::write(&secret, "of root").unwrap();
        symlink(&secret, data.path().join(LOCK)).unwrap();
        assert!(matches!(DataDir::lock(data.path()), Err(StoreError::Io { .. })));
        std::fs::remove_file(data.path().join(LOCK)).unwrap();
        symlink(&secret, data.path().join(DATABASE)).unwrap();
        assert!(crate::store::Beside::open(data.path()).is_err());
        assert_eq!(std::fs::read_to_string(&secret).unwrap(), "of root");
        // The directory itself may be found by a link: the operator has made that.
        let (real, link) = (other.path().join("real"), other.path().join("link"));
        std::fs::create_dir(&real).unwrap();
        symlink(&real, &link).unwrap();
        crate::store::Beside::open(&link).unwrap();
    }

    #[test]
    fn an_empty_directory_of_root_is_given_to_the_server_and_one_with_files_is_not() {
        if !geteuid().is_root() {
            return; // there is no other user then
        }
        let parent = tempfile::tempdir().unwrap();
        let (empty, used) = (parent.path().join("empty"), parent.path().join("used"));
        std::fs::create_dir(&empty).unwrap();
        std::fs::create_dir(&used).unwrap();
        std::fs::write(used.join("file"), "of another").unwrap();
        let server = || ApiUser::find(Some("64999")).unwrap();
        for path in [&empty, &used, &parent.path().join("new")] {
            DataDir::create_for(path, server()).unwrap();
        }
        let owner = |path: &Path| path.metadata().unwrap().uid();
        assert_eq!((owner(&empty), owner(&used)), (64999, 0));
        assert_eq!(owner(&parent.path().join("new")), 64999);
    }
}
