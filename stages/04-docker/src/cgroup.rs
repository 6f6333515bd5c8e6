//! Control groups (cgroups): created with their limits, read, killed and removed.
//!
//! The rule it keeps: what decides that a limit ended a program is a counter outside of the sandbox,
//! never anything that the program or its exit code reports. Works with cgroup version 1 (a mounted
//! hierarchy for each controller) and version 2 (one mounted hierarchy).
//!
//! * [`CgroupHierarchy`]: where cgroups are mounted on this machine;
//! * [`CgroupLayout`]: where Docker puts the cgroup of a container below these mounts;
//! * [`Cgroup`]: one cgroup, with [`CgroupLimits`] and [`CgroupCounters`].
//!
//! Every method of [`Cgroup`] blocks: the kernel may hold one of its locks while a file of a cgroup
//! is read or written. Async code calls them in `tokio::task::spawn_blocking`.
//!
//! What it does not protect: under gVisor the cgroup contains gVisor's own kernel too, so that its
//! memory and its threads count as the program's.

mod check;
mod error;
mod hierarchy;
mod layout;
mod stats;
#[cfg(test)]
mod tests;

use std::collections::BTreeSet;
use std::fs::{self, OpenOptions};
use std::io::Write as _;
use std::path::{Path, PathBuf};

use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};

pub use error::CgroupError;
pub use hierarchy::{CgroupHierarchy, CgroupMount};
pub use layout::CgroupLayout;
pub use stats::{CgroupCounters, CgroupStats};

/// The period over which the kernel accounts processor time, in microseconds.
const CPU_PERIOD_MICROS: u64 = 100_000;

/// A controller that limits or counts what a sandbox uses.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Controller {
    /// Limits processor time.
    Cpu,
    /// Counts processor time. Version 2 has this in `cpu`.
    CpuAcct,
    /// Limits and counts memory.
    Memory,
    /// Limits and counts processes and threads.
    Pids,
}

impl Controller {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Cpu, Self::CpuAcct, Self::Memory, Self::Pids];

    /// The kernel's name of it, as in `/proc/self/mountinfo` and `/proc/PID/cgroup`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Cpu => "cpu",
            Self::CpuAcct => "cpuacct",
            Self::Memory => "memory",
            Self::Pids => "pids",
        }
    }
}

/// The limits of one cgroup.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CgroupLimits {
    /// Processors that its processes can use at the same time.
    pub cpus: u64,
    /// Memory and swap together, in bytes.
    pub memory_bytes: u64,
    /// Processes and threads.
    pub pids: u64,
}

/// What [`Cgroup::kill`] did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum KillOutcome {
    /// The cgroup had no process, or does not exist.
    Empty,
    /// Every process in it was sent SIGKILL.
    Killed,
    /// At least one process could not be signalled, or had just ended.
    Incomplete,
}

/// One cgroup: a directory in the hierarchy of each controller, or one directory for all. It need not
/// exist.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cgroup {
    hierarchy: CgroupHierarchy,
    /// Below the mounts, without a leading slash.
    name: String,
}

impl Cgroup {
    /// Its path below the mounts, with a leading slash, as an OCI specification's `cgroupsPath`.
    pub fn path(&self) -> String {
        format!("/{}", self.name)
    }

    /// Its directory in the hierarchy of `controller`.
    pub fn dir(&self, controller: Controller) -> PathBuf {
        self.hierarchy.mount(controller).dir.join(&self.name)
    }

    // ANCHOR: create
    /// Creates its directories, in the hierarchies of the four controllers.
    ///
    /// # Errors
    ///
    /// When a directory cannot be created or a controller cannot be enabled.
    pub fn create(&self) -> Result<(), CgroupError> {
        let create = |dir: &Path| {
            fs::create_dir_all(dir)
                .map_err(|source| CgroupError::Create { path: dir.to_owned(), source })
        };
        match &self.hierarchy {
            CgroupHierarchy::V1 { .. } => {
                Controller::ALL.into_iter().try_for_each(|controller| create(&self.dir(controller)))
            }
            CgroupHierarchy::V2(mount) => {
                let mut dir = mount.dir.clone();
                for component in Path::new(&self.name) {
                    // Version 2: a cgroup passes a controller on to its children only when this file
                    // names it.
                    write(&dir.join("cgroup.subtree_control"), "+cpu +memory +pids")?;
                    dir.push(component);
                    create(&dir)?;
                }
                Ok(())
            }
        }
    }

    /// Sets all limits.
    ///
    /// # Errors
    ///
    /// When the kernel does not accept one of them, or the cgroup does not exist.
    pub fn set_limits(&self, limits: &CgroupLimits) -> Result<(), CgroupError> {
        self.set_memory_limit(limits.memory_bytes)?;
        // Attack: fork without limit -> processes and threads are counted.
        self.set(Controller::Pids, "pids.max", limits.pids)?;
        // Attack: use all processors -> a quota for each period.
        let quota = limits.cpus.saturating_mul(CPU_PERIOD_MICROS);
        match &self.hierarchy {
            CgroupHierarchy::V1 { .. } => {
                self.set(Controller::Cpu, "cpu.cfs_period_us", CPU_PERIOD_MICROS)?;
                self.set(Controller::Cpu, "cpu.cfs_quota_us", quota)
            }
            CgroupHierarchy::V2(_) => {
                let path = self.dir(Controller::Cpu).join("cpu.max");
                write(&path, &format!("{quota} {CPU_PERIOD_MICROS}"))
            }
        }
    }
    // ANCHOR_END: create

    /// Sets the memory limit, of a new cgroup or of one that is in use. Attack: use all memory, or
    /// all swap beside it -> both together are limited.
    ///
    /// # Errors
    ///
    /// When the kernel does not accept it, as when more than that is in use, or the cgroup does not
    /// exist.
    pub fn set_memory_limit(&self, bytes: u64) -> Result<(), CgroupError> {
        let set = |file: &str, value: u64| self.set(Controller::Memory, file, value);
        if let CgroupHierarchy::V2(_) = &self.hierarchy {
            self.check_memory_in_use(bytes)?;
            set("memory.max", bytes)?;
            // A kernel without swap has no such file, and needs none.
            return set("memory.swap.max", 0).or_else(CgroupError::ignore_not_found);
        }
        let set_memory = || set("memory.limit_in_bytes", bytes);
        let set_with_swap =
            || set("memory.memsw.limit_in_bytes", bytes).or_else(CgroupError::ignore_not_found);
        // The limit with swap must never be below the limit on memory alone. When the limit is
        // raised, the first write fails for that reason: then the order is the other one.
        match set_memory() {
            Ok(()) => set_with_swap(),
            Err(_) => set_with_swap().and_then(|()| set_memory()),
        }
    }

    /// Refuses a limit below what is in use. Version 1 does that itself; version 2 accepts any limit,
    /// and kills processes of the cgroup until the rest is below it.
    fn check_memory_in_use(&self, bytes: u64) -> Result<(), CgroupError> {
        let path = self.dir(Controller::Memory).join("memory.current");
        let current = fs::read_to_string(&path)
            .map_err(|source| CgroupError::Read { path: path.clone(), source })?;
        let in_use = current.trim().parse::<u64>().map_err(|error| {
            let source = std::io::Error::new(std::io::ErrorKind::InvalidData, error);
            CgroupError::Read { path, source }
        })?;
        if in_use > bytes { Err(CgroupError::MemoryInUse { in_use, bytes }) } else { Ok(()) }
    }

    /// Opens the kernel's counters of it.
    ///
    /// # Errors
    ///
    /// When one of them cannot be opened, as when the cgroup does not exist yet.
    pub fn counters(&self) -> Result<CgroupCounters, CgroupError> {
        CgroupCounters::open(self)
    }

    /// The processes in it, by their process ids on the host. None when it does not exist.
    pub fn processes(&self) -> Vec<Pid> {
        let path = self.dir(Controller::Pids).join("cgroup.procs");
        let list = fs::read_to_string(path).unwrap_or_default();
        list.lines().filter_map(|line| Pid::from_raw(line.parse().ok()?)).collect()
    }

    /// Sends SIGKILL to every process in it, and to no other process. Version 2 has a file for that,
    /// from Linux 5.14 on. Otherwise, since a process id may be reused, a file descriptor of the
    /// process is opened first, and then the id is looked up in the cgroup once more.
    pub fn kill(&self) -> KillOutcome {
        let processes = self.processes();
        if processes.is_empty() {
            return KillOutcome::Empty;
        }
        let kill_file = self.dir(Controller::Pids).join("cgroup.kill");
        let killed = write(&kill_file, "1").is_ok()
            || processes.iter().filter(|&&process| !self.kill_process(process)).count() == 0;
        if killed { KillOutcome::Killed } else { KillOutcome::Incomplete }
    }

    fn kill_process(&self, process: Pid) -> bool {
        let Ok(descriptor) = pidfd_open(process, PidfdFlags::empty()) else { return false };
        self.processes().contains(&process) && pidfd_send_signal(descriptor, Signal::KILL).is_ok()
    }

    /// The names of the cgroups directly below it, in any hierarchy.
    pub fn children(&self) -> Vec<String> {
        let entries = self.dirs().filter_map(|dir| fs::read_dir(dir).ok()).flatten().flatten();
        let dirs = entries.filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir()));
        let names: BTreeSet<String> =
            dirs.filter_map(|entry| entry.file_name().into_string().ok()).collect();
        names.into_iter().collect()
    }

    /// Removes it from every hierarchy, those included in which a runtime has created it by itself.
    /// Goes on after an error; a directory that does not exist is no error.
    ///
    /// # Errors
    ///
    /// The first error, as when a process or a child cgroup is left in it.
    pub fn remove(&self) -> Result<(), CgroupError> {
        let mut first_error = Ok(());
        for dir in self.dirs() {
            let removed = fs::remove_dir(&dir)
                .map_err(|source| CgroupError::Remove { path: dir, source })
                .or_else(CgroupError::ignore_not_found);
            first_error = first_error.and(removed);
        }
        first_error
    }

    /// Its directories in every hierarchy, each once.
    fn dirs(&self) -> impl Iterator<Item = PathBuf> + use<'_> {
        self.hierarchy.dirs().into_iter().map(|dir| dir.join(&self.name))
    }

    fn set(&self, controller: Controller, file: &str, value: u64) -> Result<(), CgroupError> {
        write(&self.dir(controller).join(file), &value.to_string())
    }
}

/// Writes an existing file. With `O_CREAT` a missing one would be "permission denied" here, since no
/// file can be created in a cgroup.
fn write(path: &Path, value: &str) -> Result<(), CgroupError> {
    let written = OpenOptions::new()
        .write(true)
        .truncate(true)
        .open(path)
        .and_then(|mut file| file.write_all(value.as_bytes()));
    let (path, value) = (path.to_owned(), value.to_owned());
    written.map_err(|source| CgroupError::Write { path, value, source })
}
