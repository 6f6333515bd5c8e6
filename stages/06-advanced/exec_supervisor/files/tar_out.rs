//! Directories as tar.
//!
//! A file that grows or shrinks while it is read is written with the length that it had: cut off, or
//! filled up with zeros. What cannot be read is left out, and is the error at the end; sockets,
//! pipes and devices are left out and are none.

use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io::{self, Read, Write};
use std::os::unix::ffi::{OsStrExt as _, OsStringExt as _};
use std::path::{Path, PathBuf};

use rustix::fs::{
    AtFlags, CWD, Dir, FileType, Mode, OFlags, Stat, fstat, openat, readlinkat, statat,
};
use rustix::io::Errno;
use tar::{Builder, EntryType, Header};

use super::error::FileError;
use super::plain::unbuffered_output;

/// Directories within directories that are entered.
const MAX_DEPTH: usize = 256;

/// A tar that is being written.
pub(super) struct Archive<W: Write> {
    builder: Builder<W>,
    /// The first error.
    error: Option<FileError>,
}

/// Writes what is in a directory to standard output.
pub(super) fn write_dir(path: &[u8]) -> Result<(), FileError> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NONBLOCK | OFlags::CLOEXEC;
    let dir = openat(CWD, path, flags, Mode::empty()).map_err(FileError::at(path))?;
    let mut archive = Archive::new(unbuffered_output(path)?);
    archive.dir(&dir, Path::new(""), 0, &|_, _| true, &|_| true)?;
    archive.finish(path)
}

impl<W: Write> Archive<W> {
    pub(super) fn new(output: W) -> Self {
        Self { builder: Builder::new(output), error: None }
    }

    pub(super) fn finish(self, path: &[u8]) -> Result<(), FileError> {
        let finished = self.builder.into_inner().and_then(|mut output| output.flush());
        finished.map_err(FileError::of_io(path))?;
        self.error.map_or(Ok(()), Err)
    }

    /// Writes the entries below a directory that are wanted. Directories are entered whether they
    /// are wanted or not, unless that is not wanted either.
    pub(super) fn dir(
        &mut self,
        dir: &impl std::os::fd::AsFd,
        path: &Path,
        depth: usize,
        is_wanted: &dyn Fn(&Path, &Stat) -> bool,
        is_entered: &dyn Fn(&Path) -> bool,
    ) -> Result<(), FileError> {
        for name in self.names(dir, path) {
            let path = path.join(&name);
            let bytes = path.as_os_str().as_bytes();
            let found = match statat(dir, &name, AtFlags::SYMLINK_NOFOLLOW) {
                Ok(found) => found,
                Err(Errno::NOENT) => continue, // it was removed meanwhile
                Err(errno) => {
                    self.note(FileError::new(errno, bytes));
                    continue;
                }
            };
            if is_wanted(&path, &found) {
                self.entry(dir, &name, &path, &found)?;
            }
            if FileType::from_raw_mode(found.st_mode) == FileType::Directory && is_entered(&path) {
                let flags = OFlags::RDONLY
                    | OFlags::DIRECTORY
                    | OFlags::NOFOLLOW
                    | OFlags::NONBLOCK
                    | OFlags::CLOEXEC;
                match openat(dir, &name, flags, Mode::empty()) {
                    Ok(_) if depth >= MAX_DEPTH => self.note(FileError::new(Errno::LOOP, bytes)),
                    Ok(inner) if is_within(&found, &inner) => {
                        self.dir(&inner, &path, depth + 1, is_wanted, is_entered)?;
                    }
                    Ok(_) => {}
                    Err(errno) => self.note(FileError::new(errno, bytes)),
                }
            }
        }
        Ok(())
    }

    fn note(&mut self, error: FileError) {
        self.error.get_or_insert(error);
    }

    /// The names in a directory, in their order.
    fn names(&mut self, dir: &impl std::os::fd::AsFd, path: &Path) -> Vec<OsString> {
        let mut names = Vec::new();
        match Dir::read_from(dir) {
            Ok(entries) => names.extend(
                entries
                    .flatten()
                    .map(|entry| entry.file_name().to_bytes().to_vec())
                    .filter(|name| !matches!(name.as_slice(), b"." | b".."))
                    .map(OsString::from_vec),
            ),
            Err(errno) => self.note(FileError::new(errno, path.as_os_str().as_bytes())),
        }
        names.sort();
        names
    }

    fn entry(
        &mut self,
        dir: &impl std::os::fd::AsFd,
        name: &OsStr,
        path: &Path,
        found: &Stat,
    ) -> Result<(), FileError> {
        let bytes = path.as_os_str().as_bytes();
        let mut header = header(found);
        match FileType::from_raw_mode(found.st_mode) {
            FileType::Directory => {
                header.set_entry_type(EntryType::Directory);
                let name = [bytes, b"/"].concat();
                let name = PathBuf::from(OsString::from_vec(name));
                self.builder.append_data(&mut header, name, io::empty())
            }
            FileType::Symlink => match readlinkat(dir, name, Vec::new()) {
                Ok(target) => {
                    header.set_entry_type(EntryType::Symlink);
                    let target = PathBuf::from(OsString::from_vec(target.into_bytes()));
                    self.builder.append_link(&mut header, path, target)
                }
                Err(errno) => {
                    self.note(FileError::new(errno, bytes));
                    Ok(())
                }
            },
            FileType::RegularFile => {
                let flags = OFlags::RDONLY
                    | OFlags::NOFOLLOW
                    | OFlags::NONBLOCK
                    | OFlags::NOCTTY
                    | OFlags::CLOEXEC;
                match openat(dir, name, flags, Mode::empty()).and_then(|file| {
                    let size = fstat(&file)?;
                    Ok((file, size))
                }) {
                    Ok((file, found)) => {
                        let size = u64::try_from(found.st_size).unwrap_or(0);
                        header.set_size(size);
                        let content = Padded { file: file.into(), left: size };
                        self.builder.append_data(&mut header, path, content)
                    }
                    Err(errno) => {
                        self.note(FileError::new(errno, bytes));
                        Ok(())
                    }
                }
            }
            _ => Ok(()),
        }
        .map_err(FileError::of_io(bytes))
    }

    /// Writes an empty file.
    pub(super) fn empty_file(&mut self, path: &Path) -> Result<(), FileError> {
        let mut header = Header::new_gnu();
        header.set_mode(0o644);
        header.set_size(0);
        let appended = self.builder.append_data(&mut header, path, io::empty());
        appended.map_err(FileError::of_io(path.as_os_str().as_bytes()))
    }
}

/// Whether an open directory is the one that was looked at.
fn is_within(found: &Stat, opened: impl std::os::fd::AsFd) -> bool {
    fstat(opened).is_ok_and(|opened| (opened.st_dev, opened.st_ino) == (found.st_dev, found.st_ino))
}

fn header(found: &Stat) -> Header {
    let mut header = Header::new_gnu();
    header.set_mode(found.st_mode & 0o7777);
    header.set_uid(found.st_uid.into());
    header.set_gid(found.st_gid.into());
    header.set_mtime(u64::try_from(found.st_mtime).unwrap_or(0));
    header.set_size(0);
    header
}

/// A file with exactly so many bytes.
struct Padded {
    file: File,
    left: u64,
}

impl Read for Padded {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let wanted = usize::try_from(self.left).unwrap_or(usize::MAX).min(buffer.len());
        // An error in the middle of an entry would leave a tar that ends there.
        let mut length = self.file.read(&mut buffer[..wanted]).unwrap_or(0);
        if length == 0 {
            buffer[..wanted].fill(0);
            length = wanted;
        }
        self.left -= length as u64;
        Ok(length)
    }
}
