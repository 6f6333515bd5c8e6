//! The files that a program has left in its output directory, sent to the host after its end.
//!
//! Attack: the program leaves links to files of root, pipes that nothing writes to, sparse files,
//! directories without end, or goes on in the background and exchanges what is being read → a thread
//! that has become the program's own user ends what is left of it, opens each entry below its open
//! directory without following a link and without waiting, and sends regular files alone, up to the
//! bounds. Test: `what_a_program_leaves_in_output_is_taken_and_nothing_else`.

use std::ffi::{CStr, CString};
use std::fs::File;
use std::io::{self, Read as _};
use std::os::fd::{AsFd, OwnedFd};

use rustix::fs::{CWD, Dir, FileType, Mode, OFlags, fstat, openat};
use rustix::process::{Gid, Pid, Signal, Uid, kill_process_group};
use rustix::thread::{set_thread_res_gid, set_thread_res_uid};

use crate::execution::Shared;
use crate::protocol::frame::{ExecutionId, SupervisorFrame};
use crate::protocol::{
    MAX_ARTIFACT_BYTES, MAX_ARTIFACT_PATH_BYTES, MAX_ARTIFACTS, MAX_PAYLOAD_BYTES, OUTPUT_DIR,
};

/// Directories within directories that are entered.
const MAX_DEPTH: usize = 16;
/// Entries that are looked at, over all directories. An entry that is none to take counts as well.
const MAX_ENTRIES: usize = 10_000;

/// Ends every process of `user`. The thread has that user from then on, and nothing that the program
/// cannot read is read by it.
pub(crate) fn end(user: u32) -> io::Result<()> {
    set_thread_res_gid(None, Gid::from_raw(user), None)?;
    set_thread_res_uid(None, Uid::from_raw(user), None)?;
    // The group of process 1 stands for every process that this user may signal.
    kill_process_group(Pid::INIT, Signal::KILL).ok(); // there may be none
    Ok(())
}

/// Whether there is something to collect in a directory. It saves the host a round trip when there is not.
pub(crate) fn has_files(path: &str) -> bool {
    let opened = open(CWD, path, OFlags::DIRECTORY).and_then(Dir::read_from);
    let is_file = |name: &CStr| !matches!(name.to_bytes(), b"." | b"..");
    // A directory that cannot be read is reported with the files.
    opened.map_or(true, |mut entries| {
        entries.any(|entry| entry.map_or(true, |entry| is_file(entry.file_name())))
    })
}

/// Sends the files that `user` has left, and ends what is left of the program before.
pub(crate) fn collect(shared: &Shared, execution: ExecutionId, user: u32) -> io::Result<()> {
    end(user)?;
    send_files(shared, execution, OUTPUT_DIR.as_bytes())
}

/// Sends the files in a directory.
fn send_files(shared: &Shared, execution: ExecutionId, path: &[u8]) -> io::Result<()> {
    let mut walk = Walk { shared, execution, files: 0, bytes: 0, entries: 0, skipped: 0 };
    match open(CWD, path, OFlags::DIRECTORY) {
        Ok(dir) => walk.directory(&dir, &[], 0)?,
        Err(_) => walk.skipped += 1,
    }
    shared.send(&SupervisorFrame::Collected { execution, skipped: walk.skipped })
}

/// Opens an entry without following a link, and without waiting for another end of a pipe.
fn open(
    dir: impl AsFd,
    name: impl rustix::path::Arg,
    flags: OFlags,
) -> rustix::io::Result<OwnedFd> {
    let flags = flags
        | OFlags::RDONLY
        | OFlags::NOFOLLOW
        | OFlags::NONBLOCK
        | OFlags::NOCTTY
        | OFlags::CLOEXEC;
    openat(dir, name, flags, Mode::empty())
}

struct Walk<'a> {
    shared: &'a Shared,
    execution: ExecutionId,
    files: usize,
    bytes: usize,
    entries: usize,
    skipped: u32,
}

impl Walk<'_> {
    fn directory(&mut self, dir: &OwnedFd, path: &[u8], depth: usize) -> io::Result<()> {
        for name in self.names(dir) {
            let path = match path {
                [] => name.as_bytes().to_vec(),
                _ => [path, name.as_bytes()].join(&b'/'),
            };
            self.entry(dir, &name, &path, depth)?;
        }
        Ok(())
    }

    /// The names in a directory, in their order, as long as there are not too many.
    fn names(&mut self, dir: &OwnedFd) -> Vec<CString> {
        let mut names = Vec::new();
        let Ok(entries) = Dir::read_from(dir) else {
            self.skipped += 1;
            return names;
        };
        for entry in entries.flatten() {
            if matches!(entry.file_name().to_bytes(), b"." | b"..") {
                continue;
            }
            self.entries += 1;
            if self.entries > MAX_ENTRIES {
                self.skipped += 1;
                break;
            }
            names.push(entry.file_name().to_owned());
        }
        names.sort();
        names.dedup(); // one that is renamed meanwhile may come twice
        names
    }

    fn entry(&mut self, dir: &OwnedFd, name: &CStr, path: &[u8], depth: usize) -> io::Result<()> {
        let opened = open(dir, name, OFlags::empty());
        let found = opened.and_then(|file| fstat(&file).map(|metadata| (file, metadata)));
        let Ok((file, metadata)) = found else {
            self.skipped += 1;
            return Ok(());
        };
        match FileType::from_raw_mode(metadata.st_mode) {
            FileType::Directory if depth < MAX_DEPTH => self.directory(&file, path, depth + 1),
            FileType::RegularFile => {
                let size = usize::try_from(metadata.st_size).unwrap_or(usize::MAX);
                self.file(file.into(), path, size)
            }
            _ => {
                self.skipped += 1;
                Ok(())
            }
        }
    }

    /// Sends a file, unless it is beyond a bound: then nothing of it is sent.
    fn file(&mut self, file: File, path: &[u8], size: usize) -> io::Result<()> {
        let is_within = self.files < MAX_ARTIFACTS
            && size <= MAX_ARTIFACT_BYTES - self.bytes
            && path.len() <= MAX_ARTIFACT_PATH_BYTES;
        if !is_within {
            self.skipped += 1;
            return Ok(());
        }
        (self.files, self.bytes) = (self.files + 1, self.bytes + size);
        let execution = self.execution;
        self.shared.send(&SupervisorFrame::File { execution, path: path.to_vec() })?;
        // Not more than its size was, which counts towards the bound.
        let mut file = file.take(size as u64);
        loop {
            let mut bytes = vec![0; MAX_PAYLOAD_BYTES];
            let length = file.read(&mut bytes)?;
            if length == 0 {
                return Ok(());
            }
            bytes.truncate(length);
            self.shared.send(&SupervisorFrame::FileChunk { execution, bytes })?;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::num::NonZeroU32;
    use std::os::unix::ffi::OsStrExt as _;
    use std::os::unix::fs::symlink;
    use std::os::unix::net::UnixStream;
    use std::path::Path;
    use std::sync::atomic::{AtomicBool, Ordering};
    use std::time::{Duration, Instant};

    use super::*;

    const MAX_TEST_TIME: Duration = Duration::from_mins(1);

    /// The paths and contents that are sent of a directory, and the number of those left out.
    fn sent(directory: &Path) -> (Vec<(String, Vec<u8>)>, u32) {
        let (mut host, socket) = UnixStream::pair().unwrap();
        let path = directory.as_os_str().as_bytes().to_vec();
        let sending = std::thread::spawn(move || {
            send_files(&Shared::new(socket), NonZeroU32::MIN, &path).unwrap();
        });
        let mut bytes = Vec::new();
        host.read_to_end(&mut bytes).unwrap();
        sending.join().unwrap();
        let (mut files, mut rest) = (Vec::new(), bytes.as_slice());
        while let Some((frame, length)) = SupervisorFrame::decode(rest).unwrap() {
            rest = &rest[length..];
            match frame {
                SupervisorFrame::File { path, .. } => {
                    files.push((String::from_utf8(path).unwrap(), Vec::new()));
                }
                SupervisorFrame::FileChunk { bytes, .. } => {
                    files.last_mut().unwrap().1.extend(bytes);
                }
                SupervisorFrame::Collected { skipped, .. } => return (files, skipped),
                other => panic!("{other:?}"),
            }
        }
        panic!("no end");
    }

    #[test]
    fn a_directory_has_files_unless_it_is_empty() {
        let root = std::env::temp_dir().join(format!("supervisor-empty-{}", std::process::id()));
        std::fs::create_dir_all(&root).unwrap();
        let path = root.to_str().unwrap();
        assert!(!has_files(path));
        symlink("nowhere", root.join("link")).unwrap();
        assert!(has_files(path));
        std::fs::remove_dir_all(&root).unwrap();
        assert!(has_files(path), "one that cannot be read");
    }

    #[test]
    fn a_directory_that_becomes_a_link_is_not_followed() {
        let root = std::env::temp_dir().join(format!("supervisor-{}", std::process::id()));
        let (output, outside) = (root.join("output"), root.join("outside"));
        for directory in [&output.join("swapped"), &outside] {
            std::fs::create_dir_all(directory).unwrap();
        }
        std::fs::write(outside.join("file"), "secret").unwrap();
        std::fs::write(output.join("swapped/file"), "own").unwrap();
        std::fs::write(output.join("grows"), "").unwrap();
        symlink(outside.join("file"), output.join("link")).unwrap();
        let (ended, started) = (AtomicBool::new(false), Instant::now());
        std::thread::scope(|scope| {
            scope.spawn(|| {
                let (swapped, aside) = (output.join("swapped"), root.join("aside"));
                // A failed assertion does not end this.
                while !ended.load(Ordering::Relaxed) && started.elapsed() < MAX_TEST_TIME {
                    std::fs::rename(&swapped, &aside).unwrap();
                    symlink(&outside, &swapped).unwrap();
                    std::fs::write(output.join("grows"), vec![b'x'; 1 << 20]).unwrap();
                    std::fs::remove_file(&swapped).unwrap();
                    std::fs::rename(&aside, &swapped).unwrap();
                }
            });
            for _ in 0..300 {
                let (files, skipped) = sent(&output);
                for (path, content) in files {
                    let is_own = ["grows", "swapped/file"].contains(&path.as_str());
                    assert!(is_own && content != b"secret", "{path}");
                }
                assert!((1..=2).contains(&skipped), "the links: {skipped}");
            }
            ended.store(true, Ordering::Relaxed);
        });
        std::fs::remove_dir_all(root).unwrap();
    }
}
