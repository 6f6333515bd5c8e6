//! Control groups: the one of a jail, and the counters of all.
//!
//! A program's own report about its processes or memory proves nothing, and under gVisor neither
//! does its kernel's. These are the host's counters, in cgroup version 1 or 2. The code is
//! independent of the stages' own on purpose: it is the witness of what they limit.

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, Result, anyhow};

const ROOT: &str = "/sys/fs/cgroup";
/// The prefix of the groups that the ladder creates.
const NAME: &str = "crucible-ladder-";
/// The group that contains the sandboxes of stages that do not use Docker: one directory for each
/// engine, named by its instance id, and in it one for each sandbox.
const SANDBOXES: &str = "crucible-";
/// The memory limit of a jail: above the limits that the probes try to exceed.
const MAX_MEMORY_BYTES: u64 = 3 << 30;
/// The limit of processes and threads of a jail.
const MAX_PIDS: u32 = 2000;
/// The controllers of version 1 that are used here.
const CONTROLLERS: [&str; 4] = ["memory", "pids", "cpuacct", "cpu"];
/// The share of a group without one, in hundredths of a processor.
pub const NO_QUOTA: u64 = u64::MAX;

/// The directories of a control group: one for each controller, four times the same in version 2.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cgroup {
    memory: PathBuf,
    pids: PathBuf,
    cpu: PathBuf,
    quota: PathBuf,
    unified: bool,
}

/// The counters of a control group.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counters {
    /// Bytes.
    pub memory: u64,
    /// Processes and threads.
    pub processes: u64,
    /// Processor time so far.
    pub cpu: Duration,
    /// The processors that the group may use at most, in hundredths; [`NO_QUOTA`] without a limit.
    pub cpu_quota: u64,
}

impl Cgroup {
    fn named(name: &str) -> Self {
        let root = Path::new(ROOT);
        let unified = root.join("cgroup.controllers").exists();
        let [memory, pids, cpu, quota] = CONTROLLERS.map(|controller| {
            if unified { root.join(name) } else { root.join(controller).join(name) }
        });
        Self { memory, pids, cpu, quota, unified }
    }

    /// The group that the process `pid` is in.
    ///
    /// # Errors
    ///
    /// When there is no such process.
    pub fn of_process(pid: u32) -> Result<Self> {
        let path = format!("/proc/{pid}/cgroup");
        let text = std::fs::read_to_string(&path).with_context(|| format!("cannot read {path}"))?;
        let mut group = Self::named("");
        for line in text.lines() {
            let mut parts = line.splitn(3, ':').skip(1);
            let (controllers, path) = (parts.next().unwrap_or(""), parts.next().unwrap_or("/"));
            let path = path.trim_start_matches('/');
            let has = |wanted| controllers.split(',').any(|controller| controller == wanted);
            if group.unified && controllers.is_empty() {
                return Ok(Self::named(path));
            }
            for (dir, controller) in [
                (&mut group.memory, "memory"),
                (&mut group.pids, "pids"),
                (&mut group.cpu, "cpuacct"),
                (&mut group.quota, "cpu"),
            ] {
                if has(controller) {
                    dir.push(path);
                }
            }
        }
        Ok(group)
    }

    /// The groups of the sandboxes that the process `owner`, or any, has created without Docker.
    pub fn of_sandboxes(owner: Option<u32>) -> Vec<Self> {
        let memory = Self::named("").memory;
        let mut found = Vec::new();
        for kind in dirs(&memory).filter(|name| name.starts_with(SANDBOXES)) {
            for engine in dirs(&memory.join(&kind)) {
                if owner.is_some() && owner_pid(&engine) != owner {
                    continue;
                }
                let sandboxes = dirs(&memory.join(&kind).join(&engine));
                found.extend(sandboxes.map(|id| Self::named(&format!("{kind}/{engine}/{id}"))));
            }
        }
        found
    }

    /// Its directory in the hierarchy of the memory controller, for messages.
    pub fn dir(&self) -> &Path {
        &self.memory
    }

    /// Its counters now.
    ///
    /// # Errors
    ///
    /// When the group is gone.
    pub fn counters(&self) -> Result<Counters> {
        let (memory, cpu) = if self.unified {
            let stat = read(&self.cpu, "cpu.stat")?;
            let usage = stat.lines().find_map(|line| line.strip_prefix("usage_usec "));
            let usage = usage.and_then(|text| text.parse().ok()).context("no usage_usec")?;
            (number(&self.memory, "memory.current")?, Duration::from_micros(usage))
        } else {
            let nanos = number(&self.cpu, "cpuacct.usage")?;
            (number(&self.memory, "memory.usage_in_bytes")?, Duration::from_nanos(nanos))
        };
        let processes = number(&self.pids, "pids.current")?;
        Ok(Counters { memory, processes, cpu, cpu_quota: self.cpu_quota() })
    }

    /// The smallest quota of the group and of those around it.
    fn cpu_quota(&self) -> u64 {
        let inside = |dir: &&Path| dir.starts_with(ROOT);
        let quotas = self.quota.ancestors().take_while(inside).filter_map(|dir| {
            if self.unified {
                // `max 100000` is no limit, and the root has no such file.
                let text = read(dir, "cpu.max").ok()?;
                let (quota, period) = text.trim().split_once(' ')?;
                hundredths(quota.parse().ok()?, period.parse().ok()?)
            } else {
                // -1 is no limit, and no number here.
                let quota = number(dir, "cpu.cfs_quota_us").ok()?;
                hundredths(quota, number(dir, "cpu.cfs_period_us").ok()?)
            }
        });
        quotas.min().unwrap_or(NO_QUOTA)
    }
}

fn hundredths(quota: u64, period: u64) -> Option<u64> {
    (quota * 100).checked_div(period)
}

/// The pid in an instance id: `BOOT.NAMESPACE.PID.START`, possibly with a suffix.
pub(crate) fn owner_pid(owner: &str) -> Option<u32> {
    owner.split('.').nth(2)?.parse().ok()
}

/// The names of the subdirectories of a directory; empty when it does not exist.
fn dirs(dir: &Path) -> impl Iterator<Item = String> + use<> {
    let entries = std::fs::read_dir(dir).into_iter().flatten().flatten();
    let dirs = entries.filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir()));
    dirs.filter_map(|entry| entry.file_name().into_string().ok())
}

fn read(dir: &Path, name: &str) -> Result<String> {
    let path = dir.join(name);
    std::fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))
}

fn number(dir: &Path, name: &str) -> Result<u64> {
    let text = read(dir, name)?;
    text.trim().parse().map_err(|_| anyhow!("{name} of {} is {text:?}", dir.display()))
}

/// A group that is removed when it is dropped.
#[derive(Debug)]
pub struct OwnedCgroup(Cgroup);

impl OwnedCgroup {
    /// A new group with the limits of a jail.
    ///
    /// # Errors
    ///
    /// When it cannot be created: that needs root and a writable cgroup file system.
    pub fn create(name: &str) -> Result<Self> {
        let own = Self(Cgroup::named(&format!("{NAME}{name}")));
        let (max_memory, max_pids) = if own.0.unified {
            ("memory.max", "pids.max")
        } else {
            ("memory.limit_in_bytes", "pids.max")
        };
        for dir in own.dirs() {
            std::fs::create_dir_all(dir).with_context(|| {
                format!("cannot create the control group {}: that needs root", dir.display())
            })?;
        }
        for (dir, name, value) in [
            (&own.0.memory, max_memory, MAX_MEMORY_BYTES.to_string()),
            (&own.0.pids, max_pids, MAX_PIDS.to_string()),
        ] {
            let file = dir.join(name);
            std::fs::write(&file, value)
                .with_context(|| format!("cannot set the limit {}", file.display()))?;
        }
        Ok(own)
    }

    /// The group, to read its counters.
    pub fn group(&self) -> &Cgroup {
        &self.0
    }

    /// Its directories, each once: a process joins by its number in `cgroup.procs` of each.
    pub fn dirs(&self) -> Vec<&Path> {
        let mut dirs = vec![&*self.0.memory, &*self.0.pids, &*self.0.cpu, &*self.0.quota];
        dirs.dedup();
        dirs
    }
}

impl Drop for OwnedCgroup {
    fn drop(&mut self) {
        for dir in self.dirs() {
            // Killed processes need a moment to exit.
            for _ in 0..100 {
                if std::fs::remove_dir(dir).is_ok() || !dir.exists() {
                    break;
                }
                std::thread::sleep(Duration::from_millis(20));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_owner_is_the_third_part() {
        assert_eq!(owner_pid("b007-1d.4026531836.4711.99"), Some(4711));
        assert_eq!(owner_pid("b007-1d.4026531836.4711.99.engine"), Some(4711));
        assert_eq!(owner_pid("4711"), None);
    }

    #[test]
    fn a_process_is_found_in_its_group_and_counted() {
        let own = OwnedCgroup::create(&crate::attack::probe::program::canary()).unwrap();
        let mut child = std::process::Command::new("sleep").arg("60").spawn().unwrap();
        for dir in own.dirs() {
            std::fs::write(dir.join("cgroup.procs"), child.id().to_string()).unwrap();
        }
        let found = Cgroup::of_process(child.id()).unwrap();
        assert_eq!(&found, own.group());
        let counters = found.counters().unwrap();
        assert_eq!(counters.processes, 1);
        let (file, quota) =
            if found.unified { ("cpu.max", "50000 100000") } else { ("cpu.cfs_quota_us", "50000") };
        std::fs::write(found.quota.join(file), quota).unwrap();
        assert_eq!(found.counters().unwrap().cpu_quota, 50);
        assert!(counters.cpu_quota > 50, "{counters:?}");
        child.kill().unwrap();
        child.wait().unwrap();
        let dirs: Vec<_> = own.dirs().into_iter().map(Path::to_owned).collect();
        drop(own);
        assert!(dirs.iter().all(|dir| !dir.exists()), "{dirs:?}");
        assert!(found.counters().is_err(), "a group that is gone has no counters");
    }
}
