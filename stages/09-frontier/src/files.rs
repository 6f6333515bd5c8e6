//! What is too large for a row: files that are named by their content.
//!
//! A file is written under a temporary name, flushed, renamed, and its directory flushed, before a
//! transaction refers to it. So a reference always has its file. The reverse does not hold: a crash in
//! between leaves a file without a reference, which the next start removes.

use std::collections::{HashMap, HashSet};
use std::fs::{File, OpenOptions};
use std::io::{Read as _, Seek as _, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use sha2::{Digest as _, Sha256};
use uuid::Uuid;

use crate::failpoint::failpoint;
use crate::store::{DataDir, StoreError, check_file};

/// The directory of files that are being written.
const TEMPORARY: &str = "new";
/// What of a file is in memory while it is checked.
const CHUNK_BYTES: usize = 64 << 10;

/// Files by the SHA-256 of their content.
#[derive(Debug)]
pub(crate) struct FileStorage {
    directory: PathBuf,
    /// How many writes hold each digest. A file is removed only when no write does: it may have found
    /// the file there, and is about to refer to it.
    held: Mutex<HashMap<String, usize>>,
}

/// A file that is there as long as this is held.
#[derive(Debug)]
pub(crate) struct HeldFile {
    storage: Arc<FileStorage>,
    digest: String,
    bytes: u64,
}

impl FileStorage {
    /// The files in `directory`, which is created.
    ///
    /// # Errors
    ///
    /// When it cannot be created, or what a crash left in it not be removed.
    pub(crate) fn open(directory: PathBuf) -> Result<Arc<Self>, StoreError> {
        let temporary = directory.join(TEMPORARY);
        DataDir::create(&temporary)?;
        for file in entries(&temporary)? {
            std::fs::remove_file(&file).map_err(|error| StoreError::io(&file, error))?;
        }
        Ok(Arc::new(Self { directory, held: Mutex::default() }))
    }

    /// The files in `directory` as they are.
    pub(crate) fn at(directory: PathBuf) -> Self {
        Self { directory, held: Mutex::default() }
    }

    /// The digests of all files.
    pub(crate) fn digests(&self) -> Result<Vec<String>, StoreError> {
        let mut digests = Vec::new();
        for directory in entries(&self.directory)? {
            if !directory.ends_with(TEMPORARY) && directory.is_dir() {
                let names = entries(&directory)?;
                let names = names.iter().filter_map(|file| file.file_name());
                digests.extend(names.map(|name| name.to_string_lossy().into_owned()));
            }
        }
        Ok(digests)
    }

    // ANCHOR: put
    /// Writes `content` to disk, unless it is there already.
    ///
    /// # Errors
    ///
    /// When it cannot be written. No file is left then.
    pub(crate) fn put(self: &Arc<Self>, content: &[u8]) -> Result<HeldFile, StoreError> {
        let digest = hex(&Sha256::digest(content));
        *self.held().entry(digest.clone()).or_default() += 1;
        let held = HeldFile {
            storage: Arc::clone(self),
            digest: digest.clone(),
            bytes: content.len() as u64,
        };
        let path = self.path(&digest);
        if path.exists() {
            return Ok(held);
        }
        check_file(&self.directory, content.len())?;
        let parent = path.parent().unwrap_or(&self.directory);
        DataDir::create(parent)?;
        let temporary = self.directory.join(TEMPORARY).join(Uuid::now_v7().to_string());
        let written = write(&temporary, content).and_then(|()| {
            failpoint("files.before_rename")?;
            std::fs::rename(&temporary, &path).map_err(|error| StoreError::io(&path, error))
        });
        if let Err(error) = written {
            std::fs::remove_file(&temporary).ok(); // it may not be there
            return Err(error);
        }
        failpoint("files.after_rename")?;
        flush_directory(parent)?;
        // The parent may be new.
        flush_directory(&self.directory)?;
        failpoint("files.after_directory_flush")?;
        Ok(held)
    }
    // ANCHOR_END: put

    /// The content of a file.
    ///
    /// # Errors
    ///
    /// [`StoreError::Damaged`] when it is missing, or not what its name says.
    pub(crate) fn get(&self, digest: &str) -> Result<Vec<u8>, StoreError> {
        let content = std::fs::read(self.path(digest)).ok();
        let content = content.filter(|content| hex(&Sha256::digest(content)) == digest);
        content.ok_or_else(|| StoreError::Damaged { digest: digest.to_owned() })
    }

    /// Opens a file whose content is what its name says, at its beginning. It blocks, and holds a small
    /// part in memory only.
    ///
    /// # Errors
    ///
    /// [`StoreError::Damaged`] when it is missing, or not what its name says.
    pub(crate) fn open_checked(&self, digest: &str) -> Result<File, StoreError> {
        let checked = File::open(self.path(digest)).and_then(|mut file| {
            let (mut hash, mut chunk) = (Sha256::new(), vec![0; CHUNK_BYTES]);
            loop {
                match file.read(&mut chunk)? {
                    0 => break,
                    length => hash.update(&chunk[..length]),
                }
            }
            file.rewind()?;
            Ok((hex(&hash.finalize()), file))
        });
        match checked {
            Ok((seen, file)) if seen == digest => Ok(file),
            _ => Err(StoreError::Damaged { digest: digest.to_owned() }),
        }
    }

    /// Removes a file that nothing refers to, unless a write holds it.
    pub(crate) fn remove(&self, digest: &str) {
        let held = self.held();
        if held.contains_key(digest) {
            return;
        }
        if let Err(error) = std::fs::remove_file(self.path(digest))
            && error.kind() != std::io::ErrorKind::NotFound
        {
            tracing::warn!(digest, %error, "a file was not removed");
        }
    }

    /// Removes every file that is not in `used`, as a crash leaves them. Returns their number.
    ///
    /// # Errors
    ///
    /// When the directory cannot be read.
    pub(crate) fn sweep(&self, used: &HashSet<String>) -> Result<usize, StoreError> {
        let unused: Vec<_> =
            self.digests()?.into_iter().filter(|digest| !used.contains(digest)).collect();
        for digest in &unused {
            self.remove(digest);
        }
        Ok(unused.len())
    }

    /// The path of the file with this digest, whether or not it is there.
    pub(crate) fn path(&self, digest: &str) -> PathBuf {
        self.directory.join(digest.get(..2).unwrap_or_default()).join(digest)
    }

    fn held(&self) -> MutexGuard<'_, HashMap<String, usize>> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl HeldFile {
    /// The digest of its content.
    pub(crate) fn digest(&self) -> &str {
        &self.digest
    }

    /// Its size.
    pub(crate) fn bytes(&self) -> u64 {
        self.bytes
    }
}

impl Drop for HeldFile {
    fn drop(&mut self) {
        let mut held = self.storage.held();
        if let Some(count) = held.get_mut(&self.digest) {
            *count -= 1;
            if *count == 0 {
                held.remove(&self.digest);
            }
        }
    }
}

fn write(path: &Path, content: &[u8]) -> Result<(), StoreError> {
    let at = |error| StoreError::io(path, error);
    let mut file =
        OpenOptions::new().write(true).create_new(true).mode(0o600).open(path).map_err(at)?;
    file.write_all(content).map_err(at)?;
    failpoint("files.before_flush")?;
    file.sync_all().map_err(at)?;
    failpoint("files.after_flush")
}

/// A rename is on disk when its directory is.
fn flush_directory(path: &Path) -> Result<(), StoreError> {
    File::open(path)
        .and_then(|directory| directory.sync_all())
        .map_err(|error| StoreError::io(path, error))
}

/// What is in a directory; nothing, if it does not exist.
fn entries(path: &Path) -> Result<Vec<PathBuf>, StoreError> {
    if !path.exists() {
        return Ok(Vec::new());
    }
    let list = path.read_dir().and_then(|list| list.map(|entry| Ok(entry?.path())).collect());
    list.map_err(|error: std::io::Error| StoreError::io(path, error))
}

/// Bytes as hexadecimal digits.
fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write as _;
    bytes.iter().fold(String::with_capacity(2 * bytes.len()), |mut text, byte| {
        write!(text, "{byte:02x}").ok(); // writing to a String cannot fail
        text
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_found_by_its_content_until_nothing_holds_it() {
        let directory = tempfile::tempdir().unwrap();
        let files = FileStorage::open(directory.path().join("files")).unwrap();
        let first = files.put(b"content").unwrap();
        let second = files.put(b"content").unwrap();
        let digest = first.digest().to_owned();
        assert_eq!(files.get(&digest).unwrap(), b"content");
        drop(first);
        files.remove(&digest);
        assert!(files.get(&digest).is_ok(), "the second write holds it");
        drop(second);
        assert_eq!(files.sweep(&HashSet::from([digest.clone()])).unwrap(), 0);
        assert_eq!(files.sweep(&HashSet::new()).unwrap(), 1);
        assert!(matches!(files.get(&digest), Err(StoreError::Damaged { .. })));
    }

    #[test]
    fn a_changed_file_is_damaged() {
        let directory = tempfile::tempdir().unwrap();
        let files = FileStorage::open(directory.path().join("files")).unwrap();
        let held = files.put(b"content").unwrap();
        std::fs::write(files.path(held.digest()), b"other").unwrap();
        assert!(matches!(files.get(held.digest()), Err(StoreError::Damaged { .. })));
    }
}
