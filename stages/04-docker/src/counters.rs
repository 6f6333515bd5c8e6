//! The kernel's own counters for one container, read from its control group.
//!
//! The rule it keeps: what decides that a limit ended a program is a counter outside of the sandbox,
//! never anything the program or its exit code says. Works with control groups of version 1 (one
//! tree for each controller) and version 2 (one tree).
//!
//! Where a container's group lies is learned from one container at the start of the engine (Docker
//! puts it elsewhere under systemd), and from then on known before a container even starts.
//!
//! What it does not protect: under gVisor the group holds gVisor's own kernel too, so that its memory
//! and its threads count as the program's.

use std::path::{Path, PathBuf};
use std::time::Duration;

/// Stands for a container's id in a path.
const ID: &str = "{id}";

/// Where the control groups of this machine's containers lie.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CgroupLayout {
    /// A folder for each controller.
    V1 {
        /// Processor time.
        cpuacct: String,
        /// Memory.
        memory: String,
        /// Processes and threads.
        pids: String,
    },
    /// One folder for all.
    V2(String),
}

/// What the counters said at one moment. Absent is what this kernel does not count.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct CgroupStats {
    /// Processor time of all processes together, since the container was made.
    pub cpu: Option<Duration>,
    /// The most memory in use at one moment, in bytes.
    pub memory_peak: Option<u64>,
    /// How often the kernel has killed a process of the group for want of memory.
    pub oom_kills: Option<u64>,
    /// Processes and threads now.
    pub pids: Option<u64>,
    /// The most processes and threads at one moment.
    pub pids_peak: Option<u64>,
    /// How often a new process or thread was refused.
    pub pids_refused: Option<u64>,
}

impl CgroupLayout {
    /// Learns it from a running container and a process of its.
    ///
    /// # Errors
    ///
    /// What could not be found, and what that means.
    pub fn learn(process: i64, id: &str) -> Result<Self, String> {
        let read = |path: String| {
            std::fs::read_to_string(&path).map_err(|error| {
                format!(
                    "cannot read {path} ({error}): the counters of a container can only be read on \
                     Docker's own machine, outside of any container"
                )
            })
        };
        let groups = read(format!("/proc/{process}/cgroup"))?;
        Self::from_tables(&groups, &read("/proc/self/mountinfo".to_owned())?, id)
    }

    fn from_tables(groups: &str, mounts: &str, id: &str) -> Result<Self, String> {
        let folder = |controller: &str| {
            let group = groups.lines().find_map(|line| {
                let (_, rest) = line.split_once(':')?;
                let (names, path) = rest.split_once(':')?;
                names.split(',').any(|name| name == controller).then_some(path)
            })?;
            let (root, point) = mounts.lines().find_map(|line| mount_of(line, controller))?;
            let below = group.strip_prefix(root.trim_end_matches('/'))?;
            // A path without the id would be read for every container alike.
            below.contains(id).then(|| format!("{point}{}", below.replace(id, ID)))
        };
        let missing = |what: &str| {
            format!("found no control group for {what} of container {id}, in:\n{groups}")
        };
        let v1 = |name| folder(name).ok_or_else(|| missing(name));
        if folder("memory").is_some() {
            Ok(Self::V1 { cpuacct: v1("cpuacct")?, memory: v1("memory")?, pids: v1("pids")? })
        } else {
            folder("").map(Self::V2).ok_or_else(|| missing("anything"))
        }
    }

    /// The counters of one container.
    pub fn of(&self, id: &str) -> CgroupPaths {
        let path = |template: &String| PathBuf::from(template.replace(ID, id));
        match self {
            Self::V1 { cpuacct, memory, pids } => {
                CgroupPaths::V1 { cpuacct: path(cpuacct), memory: path(memory), pids: path(pids) }
            }
            Self::V2(all) => CgroupPaths::V2(path(all)),
        }
    }

    /// 1 or 2.
    pub fn version(&self) -> u8 {
        match self {
            Self::V1 { .. } => 1,
            Self::V2(_) => 2,
        }
    }
}

/// The root and the mount point, if a line of mountinfo mounts `controller` (none: version 2).
fn mount_of<'a>(line: &'a str, controller: &str) -> Option<(&'a str, &'a str)> {
    let (ours, kind) = line.split_once(" - ")?;
    let mut kind = kind.split(' ');
    let (system, options) = (kind.next()?, kind.nth(1)?);
    let fits = match controller {
        "" => system == "cgroup2",
        name => system == "cgroup" && options.split(',').any(|option| option == name),
    };
    let mut ours = ours.split(' ').skip(3);
    fits.then_some((ours.next()?, ours.next()?))
}

// ANCHOR: read
/// The folders of one container's counters.
#[derive(Debug, Clone)]
pub enum CgroupPaths {
    /// A folder for each controller.
    V1 {
        /// Processor time.
        cpuacct: PathBuf,
        /// Memory.
        memory: PathBuf,
        /// Processes and threads.
        pids: PathBuf,
    },
    /// One folder for all.
    V2(PathBuf),
}

impl CgroupPaths {
    /// The processes in the group, by the host's numbers.
    pub(crate) fn processes(&self) -> Vec<i32> {
        let (Self::V1 { pids: group, .. } | Self::V2(group)) = self;
        let listed = std::fs::read_to_string(group.join("cgroup.procs")).unwrap_or_default();
        listed.lines().filter_map(|line| line.parse().ok()).collect()
    }

    /// Reads them; None when the group is not there, not yet or no more.
    pub fn read(&self) -> Option<CgroupStats> {
        let reading = match self {
            Self::V1 { cpuacct, memory, pids } => CgroupStats {
                cpu: number(cpuacct, "cpuacct.usage").map(Duration::from_nanos),
                memory_peak: number(memory, "memory.max_usage_in_bytes"),
                oom_kills: entry(memory, "memory.oom_control", "oom_kill"),
                ..pids_of(pids)
            },
            Self::V2(all) => CgroupStats {
                cpu: entry(all, "cpu.stat", "usage_usec").map(Duration::from_micros),
                memory_peak: number(all, "memory.peak"),
                oom_kills: entry(all, "memory.events", "oom_kill"),
                ..pids_of(all)
            },
        };
        (reading != CgroupStats::default()).then_some(reading)
    }
}

fn pids_of(group: &Path) -> CgroupStats {
    CgroupStats {
        pids: number(group, "pids.current"),
        pids_peak: number(group, "pids.peak"),
        pids_refused: entry(group, "pids.events", "max"),
        ..CgroupStats::default()
    }
}
// ANCHOR_END: read

impl CgroupStats {
    /// What is known after `later`: a group that is being taken down loses some counters first.
    pub(crate) fn or_earlier(self, earlier: Self) -> Self {
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

fn number(group: &Path, file: &str) -> Option<u64> {
    std::fs::read_to_string(group.join(file)).ok()?.trim().parse().ok()
}

fn entry(group: &Path, file: &str, name: &str) -> Option<u64> {
    let text = std::fs::read_to_string(group.join(file)).ok()?;
    let (_, value) =
        text.lines().filter_map(|line| line.split_once(' ')).find(|it| it.0 == name)?;
    value.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    const V1_MOUNTS: &str = "\
30 25 0:29 / /sys/fs/cgroup/cpu rw,relatime - cgroup cgroup rw,cpu
31 25 0:30 / /sys/fs/cgroup/cpuacct rw,relatime - cgroup cgroup rw,cpuacct
32 25 0:32 /outer /sys/fs/cgroup/memory rw,relatime - cgroup cgroup rw,memory
36 25 0:36 / /sys/fs/cgroup/pids rw,relatime shared:9 - cgroup cgroup rw,pids
38 25 0:38 / /sys/fs/cgroup/unified rw,relatime - cgroup2 cgroup2 rw";

    #[test]
    fn the_layout_is_learned_from_one_container() {
        let groups = "8:pids:/docker/abc\n4:memory:/outer/docker/abc\n2:cpuacct:/docker/abc\n0::/";
        let expected = CgroupLayout::V1 {
            cpuacct: "/sys/fs/cgroup/cpuacct/docker/{id}".into(),
            memory: "/sys/fs/cgroup/memory/docker/{id}".into(),
            pids: "/sys/fs/cgroup/pids/docker/{id}".into(),
        };
        assert_eq!(CgroupLayout::from_tables(groups, V1_MOUNTS, "abc"), Ok(expected));

        let mounts = "30 25 0:29 / /sys/fs/cgroup rw - cgroup2 cgroup2 rw";
        let groups = "0::/system.slice/docker-abc.scope";
        let expected = CgroupLayout::V2("/sys/fs/cgroup/system.slice/docker-{id}.scope".into());
        assert_eq!(CgroupLayout::from_tables(groups, mounts, "abc"), Ok(expected));
    }

    #[test]
    fn a_layout_that_is_the_same_for_all_containers_is_refused() {
        let groups = "8:pids:/docker\n4:memory:/outer/docker\n2:cpuacct:/docker\n0::/";
        let error = CgroupLayout::from_tables(groups, V1_MOUNTS, "abc").unwrap_err();
        assert!(error.contains("no control group"), "{error}");
    }

    #[test]
    fn counters_of_both_versions_are_read() {
        let folder = tempfile::tempdir().unwrap();
        let write =
            |file: &str, text: &str| std::fs::write(folder.path().join(file), text).unwrap();
        write("pids.current", "3\n");
        write("pids.events", "max 2\n");
        write("cpuacct.usage", "1500000000\n");
        write("memory.oom_control", "oom_kill_disable 0\nunder_oom 0\noom_kill 1\n");
        write("cpu.stat", "usage_usec 2500000\nuser_usec 1\n");
        write("memory.events", "low 0\noom 7\noom_kill 4\n");
        write("memory.peak", "4096\n");
        let all = folder.path().to_owned();
        let v1 = CgroupPaths::V1 { cpuacct: all.clone(), memory: all.clone(), pids: all.clone() };
        let common = CgroupStats { pids: Some(3), pids_refused: Some(2), ..CgroupStats::default() };
        let cpu = |millis| Some(Duration::from_millis(millis));
        let expected = CgroupStats { cpu: cpu(1500), oom_kills: Some(1), ..common };
        assert_eq!(v1.read(), Some(expected));
        let memory_peak = Some(4096);
        let expected = CgroupStats { cpu: cpu(2500), memory_peak, oom_kills: Some(4), ..common };
        assert_eq!(CgroupPaths::V2(all.clone()).read(), Some(expected));
        assert_eq!(CgroupPaths::V2(all.join("gone")).read(), None);
    }
}
