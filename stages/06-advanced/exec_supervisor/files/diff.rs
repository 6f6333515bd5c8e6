//! What has changed since the root file system was made: a tar in the form of an OCI layer.
//!
//! A list of all paths is made of the finished root, on the host, and is its last file. Whatever has
//! a change time after that of the list was changed or created since; the system sets that time, and
//! no call of a program does. A path of the list that does not exist any more was deleted, and is an
//! empty file `.wh.NAME` in the tar.

use std::collections::BTreeSet;
use std::ffi::{OsStr, OsString};
use std::io::Write as _;
use std::os::unix::ffi::{OsStrExt as _, OsStringExt as _};
use std::path::{Path, PathBuf};

use rustix::fs::{CWD, Mode, OFlags, Stat, lstat, openat};
use rustix::io::Errno;

use super::error::FileError;
use super::plain::unbuffered_output;
use super::tar_out::Archive;

/// What is no part of the root file system, beside all that is mounted in it.
const SKIPPED: [&str; 3] = ["/proc", "/sys", "/dev"];
/// A device number does not tell: an overlay gives a file that of its layer.
const MOUNTS: &str = "/proc/self/mounts";
const MAX_LIST_BYTES: u64 = 64 << 20;

/// Writes the paths below a directory to standard output, each with a NUL behind it.
pub(super) fn baseline(root: &[u8]) -> Result<(), FileError> {
    let mut output = Vec::new();
    let mut dirs = vec![PathBuf::from("/")];
    let below = |path: &Path| {
        let path = path.as_os_str().as_bytes();
        PathBuf::from(OsString::from_vec([root, path].concat()))
    };
    while let Some(dir) = dirs.pop() {
        let entries = std::fs::read_dir(below(&dir));
        for entry in entries.map_err(FileError::of_io(dir.as_os_str().as_bytes()))?.flatten() {
            let path = dir.join(entry.file_name());
            output.extend_from_slice(path.as_os_str().as_bytes());
            output.push(0);
            if entry.file_type().is_ok_and(|kind| kind.is_dir()) && !is_skipped(&path, &[]) {
                dirs.push(path);
            }
        }
    }
    let written = unbuffered_output(root)?.write_all(&output);
    written.map_err(FileError::of_io(root))
}

/// Writes what has changed since `list` was made.
pub(super) fn diff(list: &[u8]) -> Result<(), FileError> {
    let made = lstat(list).map_err(FileError::at(list))?;
    let paths = std::fs::File::open(OsStr::from_bytes(list)).and_then(|file| {
        let mut paths = Vec::new();
        std::io::Read::read_to_end(&mut std::io::Read::take(file, MAX_LIST_BYTES), &mut paths)?;
        Ok(paths)
    });
    let paths = paths.map_err(FileError::of_io(list))?;
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let root = openat(CWD, "/", flags, Mode::empty()).map_err(FileError::at(b"/"))?;
    let mounts = mounts().map_err(FileError::of_io(MOUNTS.as_bytes()))?;
    let mut archive = Archive::new(unbuffered_output(b"/")?);
    let is_changed = |path: &Path, found: &Stat| {
        let is_later = (found.st_ctime, found.st_ctime_nsec) > (made.st_ctime, made.st_ctime_nsec);
        is_later && !is_skipped(path, &mounts)
    };
    let is_entered = |path: &Path| !is_skipped(path, &mounts);
    archive.dir(&root, Path::new(""), 0, &is_changed, &is_entered)?;
    for path in deleted(&paths, &mounts) {
        archive.empty_file(&path)?;
    }
    archive.finish(b"/")
}

/// The whiteouts of what was deleted; of a directory, it alone.
fn deleted(paths: &[u8], mounts: &[PathBuf]) -> BTreeSet<PathBuf> {
    let mut gone: BTreeSet<&Path> = BTreeSet::new();
    let mut whiteouts = BTreeSet::new();
    let paths = paths.split(|byte| *byte == 0).filter(|path| !path.is_empty());
    let mut paths: Vec<_> = paths.map(|path| Path::new(OsStr::from_bytes(path))).collect();
    paths.sort_unstable(); // a directory comes before what is in it
    for path in paths {
        if path.ancestors().skip(1).any(|above| gone.contains(above)) || is_skipped(path, mounts) {
            continue;
        }
        let is_gone = matches!(lstat(path), Err(Errno::NOENT | Errno::NOTDIR));
        if let (true, Some(name)) = (is_gone, path.file_name()) {
            gone.insert(path);
            let name = [b".wh.", name.as_bytes()].concat();
            let relative = path.strip_prefix("/").unwrap_or(path);
            whiteouts.insert(relative.with_file_name(OsString::from_vec(name)));
        }
    }
    whiteouts
}

/// Whether a path, relative to the root or absolute, is in something that is skipped.
fn is_skipped(path: &Path, mounts: &[PathBuf]) -> bool {
    let path = Path::new("/").join(path);
    let skipped = SKIPPED.iter().map(Path::new).chain(mounts.iter().map(PathBuf::as_path));
    skipped.into_iter().any(|skipped| path.starts_with(skipped))
}

/// What is mounted below the root.
fn mounts() -> std::io::Result<Vec<PathBuf>> {
    let mounts = std::fs::read(MOUNTS)?;
    let points = mounts.split(|byte| *byte == b'\n').filter_map(|line| {
        let point = line.split(|byte| *byte == b' ').nth(1)?;
        (point != b"/").then(|| PathBuf::from(OsString::from_vec(point.to_vec())))
    });
    Ok(points.collect())
}
