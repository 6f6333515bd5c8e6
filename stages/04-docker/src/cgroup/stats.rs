//! The kernel's counters of one cgroup, through files that are opened once.
//!
//! The rule it keeps: a counter that cannot be read is an error, and never "nothing was used". Attack:
//! a client that holds all descriptors of the server turns the limits of running programs off → a
//! run holds the descriptors of its counters from its start. Test:
//! `counters_are_read_without_a_free_descriptor`.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt as _;
use std::path::PathBuf;
use std::time::Duration;

use rustix::io::Errno;

use super::{Cgroup, CgroupError, CgroupHierarchy, Controller};

/// The largest file of counters: `memory.stat` of version 2 has some sixty lines.
const MAX_FILE_BYTES: usize = 8192;

/// The counters at one moment. Absent is what this kernel does not count, or what the kernel has
/// removed together with the cgroup.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct CgroupStats {
    /// Processor time of all processes together, since the cgroup was created.
    pub cpu: Option<Duration>,
    /// The maximum of memory in use, in bytes.
    pub memory_peak: Option<u64>,
    /// Memory of processes and of memory file systems now, in bytes.
    pub memory_used: Option<u64>,
    /// Pages of files that were read or written, now, in bytes: the peak has them too, and the kernel takes them back
    /// when memory is short.
    pub memory_files: Option<u64>,
    /// How many processes of the cgroup the kernel has killed because of its memory limit.
    pub oom_kills: Option<u64>,
    /// Processes and threads now.
    pub pids: Option<u64>,
    /// The maximum of processes and threads at the same time.
    pub pids_peak: Option<u64>,
    /// How often a new process or thread was refused.
    pub pids_refused: Option<u64>,
}

impl CgroupStats {
    /// These counters, with those of an `earlier` reading where one is missing: a cgroup that is
    /// being removed loses some of its files first.
    #[must_use]
    pub fn or_earlier(self, earlier: Self) -> Self {
        Self {
            cpu: self.cpu.or(earlier.cpu),
            memory_peak: self.memory_peak.or(earlier.memory_peak),
            memory_used: self.memory_used.or(earlier.memory_used),
            memory_files: self.memory_files.or(earlier.memory_files),
            oom_kills: self.oom_kills.or(earlier.oom_kills),
            pids: self.pids.or(earlier.pids),
            pids_peak: self.pids_peak.or(earlier.pids_peak),
            pids_refused: self.pids_refused.or(earlier.pids_refused),
        }
    }
}

/// The open files of one cgroup's counters.
#[derive(Debug)]
pub struct CgroupCounters {
    cpu: Counter,
    /// The unit of `cpu`.
    cpu_unit: fn(u64) -> Duration,
    oom_kills: Counter,
    pids: Counter,
    pids_refused: Counter,
    memory_used: Counter,
    memory_files: Counter,
    /// The two that an older kernel does not have.
    memory_peak: Option<Counter>,
    pids_peak: Option<Counter>,
}

impl CgroupCounters {
    // ANCHOR: read
    /// Opens the counters of `cgroup`.
    pub(super) fn open(cgroup: &Cgroup) -> Result<Self, CgroupError> {
        use Controller::{CpuAcct, Memory, Pids};
        let open = |controller, file: &str, entries| {
            Counter::open(cgroup.dir(controller).join(file), entries)
        };
        let (pids, pids_refused) =
            (open(Pids, "pids.current", &[])?, open(Pids, "pids.events", &["max"])?);
        let pids_peak = optional(open(Pids, "pids.peak", &[]))?;
        Ok(match cgroup.hierarchy {
            CgroupHierarchy::V1 { .. } => Self {
                cpu: open(CpuAcct, "cpuacct.usage", &[])?,
                cpu_unit: Duration::from_nanos,
                oom_kills: open(Memory, "memory.oom_control", &["oom_kill"])?,
                memory_used: open(Memory, "memory.stat", &["total_rss", "total_shmem"])?,
                memory_files: open(
                    Memory,
                    "memory.stat",
                    &["total_active_file", "total_inactive_file"],
                )?,
                memory_peak: optional(open(Memory, "memory.max_usage_in_bytes", &[]))?,
                pids,
                pids_peak,
                pids_refused,
            },
            CgroupHierarchy::V2(_) => Self {
                cpu: open(CpuAcct, "cpu.stat", &["usage_usec"])?,
                cpu_unit: Duration::from_micros,
                oom_kills: open(Memory, "memory.events", &["oom_kill"])?,
                memory_used: open(Memory, "memory.stat", &["anon", "shmem"])?,
                memory_files: open(Memory, "memory.stat", &["active_file", "inactive_file"])?,
                memory_peak: optional(open(Memory, "memory.peak", &[]))?,
                pids,
                pids_peak,
                pids_refused,
            },
        })
    }

    /// Reads them. Those of a cgroup that has been removed are absent.
    ///
    /// # Errors
    ///
    /// When the cgroup exists and one of its counters cannot be read.
    pub fn read(&self) -> Result<CgroupStats, CgroupError> {
        let known = |counter: &Option<Counter>| counter.as_ref().map_or(Ok(None), Counter::read);
        Ok(CgroupStats {
            cpu: self.cpu.read()?.map(self.cpu_unit),
            memory_peak: known(&self.memory_peak)?,
            memory_used: self.memory_used.read()?,
            memory_files: self.memory_files.read()?,
            oom_kills: self.oom_kills.read()?,
            pids: self.pids.read()?,
            pids_peak: known(&self.pids_peak)?,
            pids_refused: self.pids_refused.read()?,
        })
    }
    // ANCHOR_END: read
}

/// One counter: a file with one number, or the sum of the entries with these names.
#[derive(Debug)]
struct Counter {
    path: PathBuf,
    file: File,
    entries: &'static [&'static str],
}

impl Counter {
    fn open(path: PathBuf, entries: &'static [&'static str]) -> Result<Self, CgroupError> {
        match File::open(&path) {
            Ok(file) => Ok(Self { path, file, entries }),
            Err(source) => Err(CgroupError::Read { path, source }),
        }
    }

    /// None when the cgroup has been removed.
    fn read(&self) -> Result<Option<u64>, CgroupError> {
        let mut buffer = [0; MAX_FILE_BYTES];
        let text = match self.file.read_at(&mut buffer, 0) {
            Ok(length) => String::from_utf8_lossy(&buffer[..length]),
            Err(error) if Errno::from_io_error(&error) == Some(Errno::NODEV) => return Ok(None),
            Err(source) => return Err(CgroupError::Read { path: self.path.clone(), source }),
        };
        let entry = |name: &&str| -> Option<u64> {
            text.lines().find_map(|line| line.strip_prefix(*name)?.strip_prefix(' '))?.parse().ok()
        };
        let number = match self.entries {
            [] => text.trim().parse().ok(),
            names => names.iter().map(entry).sum(),
        };
        number.map(Some).ok_or_else(|| {
            let found = format!("it has no number: {:?}", text.trim());
            let source = io::Error::new(io::ErrorKind::InvalidData, found);
            CgroupError::Read { path: self.path.clone(), source }
        })
    }
}

/// A counter that this kernel may not have.
fn optional(opened: Result<Counter, CgroupError>) -> Result<Option<Counter>, CgroupError> {
    match opened {
        Ok(counter) => Ok(Some(counter)),
        Err(error) => error.ignore_not_found().map(|()| None),
    }
}
