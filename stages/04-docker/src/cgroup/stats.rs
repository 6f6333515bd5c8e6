//! The kernel's counters of one cgroup.

use std::path::Path;
use std::time::Duration;

use super::{Cgroup, CgroupHierarchy, Controller};

/// The counters at one moment. Absent is what this kernel does not count.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct CgroupStats {
    /// Processor time of all processes together, since the cgroup was created.
    pub cpu: Option<Duration>,
    /// The maximum of memory in use, in bytes.
    pub memory_peak: Option<u64>,
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
    // ANCHOR: read
    /// Reads the counters of `cgroup`; none when it does not exist.
    pub(super) fn read(cgroup: &Cgroup) -> Option<Self> {
        let [cpuacct, memory, pids] = [Controller::CpuAcct, Controller::Memory, Controller::Pids]
            .map(|controller| cgroup.dir(controller));
        let common = Self {
            pids: number(&pids, "pids.current"),
            pids_peak: number(&pids, "pids.peak"),
            pids_refused: entry(&pids, "pids.events", "max"),
            ..Self::default()
        };
        let stats = match cgroup.hierarchy {
            CgroupHierarchy::V1 { .. } => Self {
                cpu: number(&cpuacct, "cpuacct.usage").map(Duration::from_nanos),
                memory_peak: number(&memory, "memory.max_usage_in_bytes"),
                oom_kills: entry(&memory, "memory.oom_control", "oom_kill"),
                ..common
            },
            CgroupHierarchy::V2(_) => Self {
                cpu: entry(&cpuacct, "cpu.stat", "usage_usec").map(Duration::from_micros),
                memory_peak: number(&memory, "memory.peak"),
                oom_kills: entry(&memory, "memory.events", "oom_kill"),
                ..common
            },
        };
        (stats != Self::default()).then_some(stats)
    }
    // ANCHOR_END: read

    /// These counters, with those of an `earlier` reading where one is missing: a cgroup that is
    /// being removed loses some of its files first.
    #[must_use]
    pub fn or_earlier(self, earlier: Self) -> Self {
        Self {
            cpu: self.cpu.or(earlier.cpu),
            memory_peak: self.memory_peak.or(earlier.memory_peak),
            oom_kills: self.oom_kills.or(earlier.oom_kills),
            pids: self.pids.or(earlier.pids),
            pids_peak: self.pids_peak.or(earlier.pids_peak),
            pids_refused: self.pids_refused.or(earlier.pids_refused),
        }
    }
}

/// A file with one number.
fn number(dir: &Path, file: &str) -> Option<u64> {
    std::fs::read_to_string(dir.join(file)).ok()?.trim().parse().ok()
}

/// One entry of a file with a name and a number in each line.
fn entry(dir: &Path, file: &str, name: &str) -> Option<u64> {
    let text = std::fs::read_to_string(dir.join(file)).ok()?;
    let mut entries = text.lines().filter_map(|line| line.split_once(' '));
    entries.find(|(key, _)| *key == name)?.1.parse().ok()
}
