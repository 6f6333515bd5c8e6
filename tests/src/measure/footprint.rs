//! The resources of a process at one moment, read from `/proc`.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};
use serde::Serialize;

/// The resources of a server.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Footprint {
    /// Resident memory, in bytes.
    pub rss_bytes: u64,
    /// Threads.
    pub threads: usize,
    /// Open descriptors.
    pub descriptors: usize,
    /// Processes below it, at any depth, zombies included.
    pub processes: usize,
    /// Containers; 0 unless the caller has counted them.
    pub containers: usize,
}

impl Footprint {
    /// The resources of the process `pid` now.
    ///
    /// # Errors
    ///
    /// When there is no such process, or no permission to inspect it.
    pub fn of(pid: u32) -> Result<Self> {
        let dir = PathBuf::from(format!("/proc/{pid}"));
        let status = std::fs::read_to_string(dir.join("status"))
            .with_context(|| format!("process {pid} is gone"))?;
        let count = |name| Ok::<_, std::io::Error>(std::fs::read_dir(dir.join(name))?.count());
        Ok(Self {
            rss_bytes: kilobytes(&status, "VmRSS:").context("a process without VmRSS")? << 10,
            threads: count("task")?,
            descriptors: count("fd")?,
            processes: descendants(pid).len(),
            containers: 0,
        })
    }

    /// Whether nothing but memory has grown since `before`.
    pub fn has_no_more_than(&self, before: &Self) -> bool {
        self.threads <= before.threads
            && self.descriptors <= before.descriptors
            && self.processes <= before.processes
            && self.containers <= before.containers
    }
}

fn kilobytes(status: &str, key: &str) -> Option<u64> {
    let line = status.lines().find_map(|line| line.strip_prefix(key))?;
    line.trim().strip_suffix("kB")?.trim().parse().ok()
}

/// A process in `/proc`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Process {
    /// Its id.
    pub pid: u32,
    /// Its name, at most 15 bytes.
    pub name: String,
    /// True for a zombie.
    pub zombie: bool,
    #[serde(skip)]
    parent: u32,
}

/// All processes below `pid`, at any depth.
pub fn descendants(pid: u32) -> Vec<Process> {
    let entries = std::fs::read_dir("/proc").into_iter().flatten().flatten();
    let mut others: Vec<_> = entries.filter_map(|entry| process(&entry.path())).collect();
    let mut found: Vec<Process> = Vec::new();
    let mut parents = vec![pid];
    while let Some(parent) = parents.pop() {
        let (children, rest) = others.into_iter().partition(|other| other.parent == parent);
        others = rest;
        parents.extend(children.iter().map(|child: &Process| child.pid));
        found.extend(children);
    }
    found
}

/// The process of this directory in `/proc`. None when it is another directory, or just gone.
fn process(dir: &Path) -> Option<Process> {
    let pid = dir.file_name()?.to_str()?.parse().ok()?;
    parse_stat(pid, &std::fs::read_to_string(dir.join("stat")).ok()?)
}

/// `PID (NAME) STATE PARENT ...`, where the name may contain spaces and parentheses.
fn parse_stat(pid: u32, stat: &str) -> Option<Process> {
    let (name, rest) = stat.split_once('(')?.1.rsplit_once(')')?;
    let mut fields = rest.split_whitespace();
    let zombie = matches!(fields.next()?, "Z" | "X");
    let parent = fields.next()?.parse().ok()?;
    Some(Process { pid, name: name.to_owned(), zombie, parent })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_cannot_forge_the_rest() {
        let process = parse_stat(7, "7 (a) Z 1 (b) S 42 7 7").unwrap();
        assert_eq!(
            (process.name.as_str(), process.zombie, process.parent),
            ("a) Z 1 (b", false, 42)
        );
        assert_eq!(parse_stat(7, "7 (torn"), None);
    }

    #[test]
    fn more_of_anything_is_seen() {
        let own = std::process::id();
        let before = Footprint::of(own).unwrap();
        assert!(before.rss_bytes > 1 << 20 && before.threads >= 1, "{before:?}");
        let file = std::fs::File::open("/dev/null").unwrap();
        assert!(!Footprint::of(own).unwrap().has_no_more_than(&before));
        drop(file);
        let mut child = std::process::Command::new("sleep").arg("60").spawn().unwrap();
        assert!(descendants(own).iter().any(|process| process.pid == child.id()));
        assert!(!Footprint::of(own).unwrap().has_no_more_than(&before));
        child.kill().unwrap();
        child.wait().unwrap();
        assert!(descendants(own).iter().all(|process| process.pid != child.id()));
    }

    #[test]
    fn a_process_that_is_gone_is_an_error() {
        assert!(Footprint::of(u32::MAX).is_err());
    }
}
