//! What is too large for a row: files that are named by their content.
//!
//! A file is written under a temporary name, flushed, renamed, and its directory flushed, before a
//! transaction refers to it. So a reference always has its file. The reverse does not hold: a crash in
//! between leaves a file without a reference, which the next start removes.
//!
//! A flush takes as long for a small file as for a large one. So what an evaluation leaves in many files is
//! one file here, a pack: they follow each other in it, and a row says where each begins.

use std::collections::{HashMap, HashSet};
use std::fs::{File, OpenOptions};
use std::io::{self, Read as _, Seek as _, SeekFrom, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use data_encoding::HEXLOWER;
use sha2::{Digest as _, Sha256};
use uuid::Uuid;

use crate::failpoint::failpoint;
use crate::store::{DataDir, StoreError, check_file, no_links};

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
    /// Digests of files that have their name, but perhaps not on disk yet. Another write that finds such a
    /// file must not refer to it before.
    unflushed: Mutex<HashSet<String>>,
    /// How often a file or a directory was flushed.
    flushes: AtomicU64,
}

/// Where in a file something is, and what its content has to be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Part {
    /// The file.
    pub(crate) file: String,
    /// Where it begins.
    pub(crate) offset: u64,
    /// Its size.
    pub(crate) bytes: u64,
    /// The SHA-256 of its content.
    pub(crate) digest: String,
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
        Ok(Arc::new(Self::at(directory)))
    }

    /// The files in `directory` as they are.
    pub(crate) fn at(directory: PathBuf) -> Self {
        let (held, unflushed) = (Mutex::default(), Mutex::default());
        Self { directory, held, unflushed, flushes: AtomicU64::new(0) }
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
    /// Writes a file with these parts, one after the other, unless it is there already. What that costs
    /// does not depend on their number.
    ///
    /// # Errors
    ///
    /// When it cannot be written. No file is left then.
    pub(crate) fn put(self: &Arc<Self>, parts: &[&[u8]]) -> Result<HeldFile, StoreError> {
        let hash = parts.iter().fold(Sha256::new(), Sha256::chain_update);
        let digest = HEXLOWER.encode(&hash.finalize());
        *self.held().entry(digest.clone()).or_default() += 1;
        let held = HeldFile {
            storage: Arc::clone(self),
            digest: digest.clone(),
            bytes: parts.iter().map(|part| part.len() as u64).sum(),
        };
        let path = self.path(&digest);
        let parent = path.parent().unwrap_or(&self.directory);
        if !path.exists() {
            check_file(&self.directory, held.bytes)?;
            DataDir::create(parent)?;
            self.unflushed().insert(digest.clone());
            let temporary = self.directory.join(TEMPORARY).join(Uuid::now_v7().to_string());
            let written = self.write(&temporary, parts).and_then(|()| {
                failpoint("files.before_rename")?;
                std::fs::rename(&temporary, &path).map_err(|error| StoreError::io(&path, error))
            });
            if let Err(error) = written {
                std::fs::remove_file(&temporary).ok(); // it may not be there
                return Err(error);
            }
        } else if !self.unflushed().contains(&digest) {
            return Ok(held);
        }
        failpoint("files.after_rename")?;
        // A rename is on disk when its directory is, and the parent may be new.
        for directory in [parent, &self.directory] {
            let opened = File::open(directory);
            opened
                .and_then(|directory| self.flush(&directory))
                .map_err(|error| StoreError::io(directory, error))?;
        }
        self.unflushed().remove(&digest);
        failpoint("files.after_directory_flush")?;
        Ok(held)
    }
    // ANCHOR_END: put

    fn write(&self, path: &Path, parts: &[&[u8]]) -> Result<(), StoreError> {
        let at = |error| StoreError::io(path, error);
        let mut file =
            OpenOptions::new().write(true).create_new(true).mode(0o600).open(path).map_err(at)?;
        for part in parts {
            file.write_all(part).map_err(at)?;
        }
        failpoint("files.before_flush")?;
        self.flush(&file).map_err(at)?;
        failpoint("files.after_flush")
    }

    fn flush(&self, file: &File) -> io::Result<()> {
        self.flushes.fetch_add(1, Ordering::Relaxed);
        file.sync_all()
    }

    /// How often a file or a directory was flushed.
    #[cfg(test)]
    pub(crate) fn flushes(&self) -> u64 {
        self.flushes.load(Ordering::Relaxed)
    }

    /// The content of a file.
    ///
    /// # Errors
    ///
    /// [`StoreError::Damaged`] when it is missing, or not what its name says.
    pub(crate) fn get(&self, digest: &str) -> Result<Vec<u8>, StoreError> {
        let mut content = Vec::new();
        let read = open(&self.path(digest)).and_then(|mut file| file.read_to_end(&mut content));
        let content =
            read.is_ok().then_some(content).filter(|content| self::digest(content) == digest);
        content.ok_or_else(|| StoreError::Damaged { digest: digest.to_owned() })
    }

    /// Opens the file of a part whose content is what its digest says, at its beginning. It blocks, and
    /// holds a small piece in memory only.
    ///
    /// # Errors
    ///
    /// [`StoreError::Damaged`] when it is missing, or not what its digest says.
    pub(crate) fn open_checked(&self, part: &Part) -> Result<File, StoreError> {
        let checked = open(&self.path(&part.file)).and_then(|mut file| {
            file.seek(SeekFrom::Start(part.offset))?;
            let (mut hash, mut chunk) = (Sha256::new(), vec![0; CHUNK_BYTES]);
            let mut content = (&mut file).take(part.bytes);
            loop {
                match content.read(&mut chunk)? {
                    0 => break,
                    length => hash.update(&chunk[..length]),
                }
            }
            file.seek(SeekFrom::Start(part.offset))?;
            Ok((HEXLOWER.encode(&hash.finalize()), file))
        });
        match checked {
            Ok((seen, file)) if seen == part.digest => Ok(file),
            _ => Err(StoreError::Damaged { digest: part.digest.clone() }),
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

    fn unflushed(&self) -> MutexGuard<'_, HashSet<String>> {
        self.unflushed.lock().unwrap_or_else(PoisonError::into_inner)
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

/// Opens a file, and nothing else: root makes backups of what another user owns.
fn open(path: &Path) -> io::Result<File> {
    let file = OpenOptions::new().read(true).custom_flags(no_links()).open(path)?;
    if file.metadata()?.is_file() { Ok(file) } else { Err(io::ErrorKind::InvalidInput.into()) }
}

/// The SHA-256 of a content, as hexadecimal digits.
pub(crate) fn digest(content: &[u8]) -> String {
    HEXLOWER.encode(&Sha256::digest(content))
}

/// What is in a directory; nothing, if it does not exist.
fn entries(path: &Path) -> Result<Vec<PathBuf>, StoreError> {
    if !path.exists() {
        return Ok(Vec::new());
    }
    let list = path.read_dir().and_then(|list| list.map(|entry| Ok(entry?.path())).collect());
    list.map_err(|error: std::io::Error| StoreError::io(path, error))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_found_by_its_content_until_nothing_holds_it() {
        let directory = tempfile::tempdir().unwrap();
        let files = FileStorage::open(directory.path().join("files")).unwrap();
        let first = files.put(&[b"content"]).unwrap();
        let second = files.put(&[b"con", b"tent"]).unwrap();
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
        let held = files.put(&[b"content"]).unwrap();
        std::fs::write(files.path(held.digest()), b"other").unwrap();
        assert!(matches!(files.get(held.digest()), Err(StoreError::Damaged { .. })));
    }

    #[test]
    fn a_pack_costs_the_flushes_of_one_file_and_each_part_is_checked() {
        let directory = tempfile::tempdir().unwrap();
        let files = FileStorage::open(directory.path().join("files")).unwrap();
        files.put(&[b"one"]).unwrap();
        let of_one = files.flushes();
        let contents: Vec<_> = (0..64_usize).map(|n| format!("<{n}>").repeat(n)).collect();
        let parts: Vec<_> = contents.iter().map(String::as_bytes).collect();
        let held = files.put(&parts).unwrap();
        assert_eq!(files.flushes(), 2 * of_one, "64 files, and the flushes of one");
        files.put(&parts).unwrap();
        assert_eq!(files.flushes(), 2 * of_one, "it is there");
        let mut offset = 0;
        for content in &parts {
            let (file, bytes) = (held.digest().to_owned(), content.len() as u64);
            let part = Part { file, offset, bytes, digest: digest(content) };
            let mut read = Vec::new();
            files.open_checked(&part).unwrap().take(bytes).read_to_end(&mut read).unwrap();
            assert_eq!(read, *content);
            let moved = Part { offset: offset + 1, ..part };
            assert!(bytes == 0 || files.open_checked(&moved).is_err(), "{moved:?}");
            offset += bytes;
        }
        assert_eq!(held.bytes(), offset);
    }
}
