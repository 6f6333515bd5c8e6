//! One regular file, read and written.

use std::fs::{DirBuilder, File};
use std::io::{self, Read as _, Write as _};
use std::os::fd::AsFd as _;
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;

use rustix::fs::{FileType, Mode, OFlags, fstat, ftruncate, open, unlink};
use rustix::io::Errno;

use super::error::{FileError, Kind};

const CHUNK_BYTES: usize = 64 << 10;
const FLAGS: OFlags = OFlags::NONBLOCK.union(OFlags::NOCTTY).union(OFlags::CLOEXEC);

/// Writes a regular file of at most `max_bytes` to standard output. Its size is announced on
/// standard error first, and no more than that is written: a reader that gets less knows that
/// something is missing.
pub(super) fn read(path: &[u8], max_bytes: u64) -> Result<(), FileError> {
    let file = open(path, OFlags::RDONLY | FLAGS, Mode::empty()).map_err(FileError::at(path))?;
    let size = regular_size(&file, path)?;
    let too_large = || FileError::without_errno(Kind::TooLarge, path);
    if size > max_bytes {
        return Err(too_large());
    }
    let (mut file, mut output, mut left) = (File::from(file), unbuffered_output(path)?, max_bytes);
    if size > 0 {
        eprintln!("{{\"size\":{size}}}");
        let copied = io::copy(&mut file.take(size), &mut output).map_err(FileError::of_io(path))?;
        return if copied == size { Ok(()) } else { Err(FileError::at(path)(Errno::IO)) };
    }
    let mut chunk = vec![0; CHUNK_BYTES];
    loop {
        let length = file.read(&mut chunk).map_err(FileError::of_io(path))?;
        if length == 0 {
            return Ok(());
        }
        // Some files of the kernel do not name their size.
        left = left.checked_sub(length as u64).ok_or_else(too_large)?;
        output.write_all(&chunk[..length]).map_err(FileError::of_io(path))?;
    }
}

/// Writes standard input to a regular file, which is created with the directories above it. What it
/// had before is overwritten in place, so that its owner, its mode and its other names stay.
pub(super) fn write(path: &[u8]) -> Result<(), FileError> {
    let flags = OFlags::WRONLY | FLAGS;
    let mode = Mode::from_raw_mode(0o666); // without what the mask of the process forbids
    let create = || open(path, flags | OFlags::CREATE | OFlags::EXCL, mode);
    let mut is_new = false;
    let opened = match open(path, flags, Mode::empty()) {
        Err(Errno::NOENT) => {
            make_parents(path)?;
            let created = create();
            is_new = created.is_ok();
            // It was created meanwhile, or is a link to a file that does not exist.
            created.or_else(|_| open(path, flags | OFlags::CREATE, mode))
        }
        opened => opened,
    };
    let file = opened.map_err(FileError::at(path))?;
    regular_size(&file, path)?;
    ftruncate(&file, 0).map_err(FileError::at(path))?;
    let mut file = File::from(file);
    let written = copy(&mut file, path);
    if written.is_err() && is_new {
        unlink(path).ok(); // half a file is no file
    }
    written
}

fn copy(file: &mut File, path: &[u8]) -> Result<(), FileError> {
    let mut input = io::stdin().lock();
    let mut chunk = vec![0; CHUNK_BYTES];
    loop {
        let length = input.read(&mut chunk).map_err(FileError::of_io(path))?;
        if length == 0 {
            return Ok(());
        }
        file.write_all(&chunk[..length]).map_err(FileError::of_io(path))?;
    }
}

fn make_parents(path: &[u8]) -> Result<(), FileError> {
    let parent = Path::new(std::ffi::OsStr::from_bytes(path)).parent();
    let Some(parent) = parent.filter(|parent| !parent.as_os_str().is_empty()) else {
        return Ok(());
    };
    DirBuilder::new().recursive(true).create(parent).map_err(FileError::of_io(path))
}

/// The size of a regular file; an error for everything else.
fn regular_size(file: impl std::os::fd::AsFd, path: &[u8]) -> Result<u64, FileError> {
    let found = fstat(file).map_err(FileError::at(path))?;
    match FileType::from_raw_mode(found.st_mode) {
        FileType::RegularFile => Ok(u64::try_from(found.st_size).unwrap_or(0)),
        FileType::Directory => Err(FileError::new(Errno::ISDIR, path)),
        _ => Err(FileError::without_errno(Kind::NotRegular, path)),
    }
}

/// Standard output without the lines of the standard library.
pub(super) fn unbuffered_output(path: &[u8]) -> Result<File, FileError> {
    let output = io::stdout().as_fd().try_clone_to_owned();
    output.map(File::from).map_err(FileError::of_io(path))
}
