//! The disk of the API: small, so that it can be full, and in memory.

use std::fs::{self, File};
use std::io::{BufRead as _, BufReader, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

/// A file system in a mount namespace of its own, which a process holds open.
pub(super) struct Disk {
    holder: Child,
    directory: PathBuf,
}

/// A file that takes all the room there is, until it is dropped.
pub(super) struct Ballast(PathBuf);

impl Drop for Ballast {
    fn drop(&mut self) {
        fs::remove_file(&self.0).unwrap();
    }
}

impl Disk {
    /// A disk of that size, mounted at a directory that exists.
    pub(super) fn mount(directory: &Path, mebibytes: u32) -> Self {
        // Ends with this process, whose end of the pipe is closed then.
        let script = "mount -t tmpfs -o \"size=$1m\" none \"$0\" && echo mounted && exec cat";
        let mut holder = Command::new("unshare")
            .args(["--mount", "sh", "-c", script])
            .arg(directory)
            .arg(mebibytes.to_string())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut line = String::new();
        BufReader::new(holder.stdout.take().unwrap()).read_line(&mut line).unwrap();
        assert_eq!(line, "mounted\n", "a file system can be mounted: the tests run as root");
        Self { holder, directory: directory.to_owned() }
    }

    /// What a process is started with that has this disk.
    pub(super) fn wrapper(&self) -> Vec<std::ffi::OsString> {
        let target = self.holder.id().to_string();
        ["nsenter", "--target", &target, "--mount", "--"].map(Into::into).to_vec()
    }

    /// Fills it.
    pub(super) fn fill(&self) -> Ballast {
        let inside = format!("/proc/{}/root{}", self.holder.id(), self.directory.display());
        let path = Path::new(&inside).join("ballast");
        let mut file = File::create(&path).unwrap();
        let block = vec![1; 1 << 20];
        while file.write_all(&block).is_ok() {}
        Ballast(path)
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        self.holder.kill().ok();
        self.holder.wait().ok();
    }
}
