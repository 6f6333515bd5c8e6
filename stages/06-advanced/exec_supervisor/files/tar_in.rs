//! A tar, read into a directory.
//!
//! Attack: an entry names `..`, an absolute path, or a path through a link that an entry before it
//! has made → such an entry is an error, and nothing of it is written. Test:
//! `a_tar_cannot_leave_its_directory`.

use std::ffi::OsStr;
use std::io::{self, Read};
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Component, Path};

use rustix::io::Errno;
use tar::{Archive, Entry, EntryType};

use super::error::{FileError, Kind};

/// Reads a tar from standard input into a directory, which is created.
pub(super) fn read_into(path: &[u8]) -> Result<(), FileError> {
    let dir = Path::new(OsStr::from_bytes(path));
    std::fs::create_dir_all(dir).map_err(FileError::of_io(path))?;
    let mut archive = Archive::new(io::stdin().lock());
    let mut directories = Vec::new();
    for entry in archive.entries().map_err(FileError::of_io(path))? {
        let mut entry = entry.map_err(FileError::of_io(path))?;
        let name = entry.path_bytes().into_owned();
        if !is_inside(Path::new(OsStr::from_bytes(&name))) {
            return Err(FileError::without_errno(Kind::Permission, &name));
        }
        match entry.header().entry_type() {
            // Its mode may forbid what is to come into it: last.
            EntryType::Directory => directories.push(entry),
            EntryType::Regular
            | EntryType::Continuous
            | EntryType::GNUSparse
            | EntryType::Link
            | EntryType::Symlink => unpack(&mut entry, dir, &name)?,
            // Settings of the archive.
            EntryType::XGlobalHeader => {}
            // A device, a pipe.
            _ => return Err(FileError::without_errno(Kind::NotRegular, &name)),
        }
    }
    directories.sort_by_cached_key(|entry| std::cmp::Reverse(entry.path_bytes().into_owned()));
    for mut entry in directories {
        let name = entry.path_bytes().into_owned();
        unpack(&mut entry, dir, &name)?;
    }
    // What comes behind the end of the archive is read, so that its writer does not fail.
    io::copy(&mut archive.into_inner(), &mut io::sink()).map_err(FileError::of_io(path))?;
    Ok(())
}

/// Writes an entry below the directory. The crate looks where its path leads, links among it.
fn unpack(entry: &mut Entry<impl Read>, dir: &Path, name: &[u8]) -> Result<(), FileError> {
    let is_inside = entry.unpack_in(dir).map_err(error(name))?;
    if is_inside { Ok(()) } else { Err(FileError::without_errno(Kind::Permission, name)) }
}

fn is_inside(path: &Path) -> bool {
    path.components().all(|part| matches!(part, Component::Normal(_) | Component::CurDir))
}

/// The crate wraps the system's errors in its own, which have no number.
fn error(path: &[u8]) -> impl Fn(io::Error) -> FileError {
    move |error| {
        let mut source: Option<&(dyn std::error::Error + 'static)> =
            error.get_ref().map(|inner| inner as _);
        let mut errno = Errno::from_io_error(&error);
        while let (None, Some(inner)) = (errno, source) {
            errno = inner.downcast_ref::<io::Error>().and_then(Errno::from_io_error);
            source = inner.source();
        }
        match (errno, error.kind()) {
            (Some(errno), _) => FileError::new(errno, path),
            (None, io::ErrorKind::PermissionDenied) => FileError::new(Errno::ACCESS, path),
            (None, io::ErrorKind::NotFound) => FileError::new(Errno::NOENT, path),
            (None, _) => FileError::without_errno(Kind::Other, path),
        }
    }
}
