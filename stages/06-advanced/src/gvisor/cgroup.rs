//! Control groups: made before a sandbox, with its limits, and kept until its counters have been read.
//!
//! The rule it keeps: every process of a sandbox is in its group from its first moment, so that the
//! group is also how a sandbox is ended and how a killed stage's sandboxes are found. runsc finds the
//! group there, joins it, and leaves it to us; those it makes itself, in hierarchies that we do not
//! need, it takes away itself.
//!
//! Works with version 1 (a tree for each controller) and version 2 (one tree).

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use rustix::process::{Pid, Signal, kill_process};
use shared::Limits;
use stage_04_docker::CgroupPaths;
use stage_05_gvisor::host_pids;

/// The folder of all engines of this kind, in every tree.
const OURS: &str = "crucible-runsc";
/// Controllers that a sandbox is held by, in trees of version 1.
const NEEDED: [&str; 4] = ["cpu", "cpuacct", "memory", "pids"];
/// How long the kernel's accounting period for processors is, in microseconds.
const PERIOD: u64 = 100_000;

/// Where this machine's control groups are mounted.
#[derive(Debug, Clone)]
pub(super) enum Trees {
    /// By controller; the mounts of all the other controllers are in the second list.
    V1 { needed: [PathBuf; 4], others: Vec<PathBuf> },
    /// All in one.
    V2(PathBuf),
}

/// The groups of one sandbox.
#[derive(Debug, Clone)]
pub(super) struct Groups {
    trees: Trees,
    /// Below the mounts, without a slash in front.
    name: String,
}

impl Trees {
    /// Those of this machine.
    pub(super) fn find() -> Result<Self, String> {
        let table = "/proc/self/mountinfo";
        let mounts = fs::read_to_string(table).map_err(|error| format!("{table}: {error}"))?;
        Self::from_mounts(&mounts)
    }

    fn from_mounts(mounts: &str) -> Result<Self, String> {
        let (mut v1, mut v2) = (Vec::new(), None);
        for line in mounts.lines() {
            let Some((ours, kind)) = line.split_once(" - ") else { continue };
            let mut kind = kind.split(' ');
            let (system, options) = (kind.next(), kind.nth(1).unwrap_or_default());
            let Some(point) = ours.split(' ').nth(4) else { continue };
            match system {
                Some("cgroup") => v1.push((PathBuf::from(point), options.to_owned())),
                Some("cgroup2") => v2 = v2.or(Some(PathBuf::from(point))),
                _ => {}
            }
        }
        let of = |name: &str| {
            v1.iter().find(|(_, options)| options.split(',').any(|it| it == name)).map(|it| &it.0)
        };
        if of("memory").is_none() {
            return v2.map(Self::V2).ok_or_else(|| "none are mounted".to_owned());
        }
        let missing = || format!("one of {} is not mounted", NEEDED.join(", "));
        let needed = NEEDED.map(|name| of(name).cloned());
        let [Some(cpu), Some(cpuacct), Some(memory), Some(pids)] = needed else {
            return Err(missing());
        };
        let needed = [cpu, cpuacct, memory, pids];
        let others = v1.into_iter().map(|it| it.0).filter(|it| !needed.contains(it)).collect();
        Ok(Self::V1 { needed, others })
    }

    fn all(&self) -> Vec<&PathBuf> {
        match self {
            Self::V1 { needed, others } => needed.iter().chain(others).collect(),
            Self::V2(all) => vec![all],
        }
    }

    /// The groups of the sandbox `id` of engine `engine`, whether they exist or not.
    pub(super) fn of(&self, engine: &str, id: &str) -> Groups {
        Groups { trees: self.clone(), name: format!("{OURS}/{engine}/{id}") }
    }

    /// The ids of all sandboxes of `engine` that have a group in any tree.
    pub(super) fn sandboxes(&self, engine: &str) -> Vec<String> {
        let folders = self.all().into_iter().map(|tree| tree.join(OURS).join(engine));
        let entries = folders.flat_map(fs::read_dir).flatten().flatten();
        let folders = entries.filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir()));
        let mut ids: Vec<_> =
            folders.filter_map(|entry| entry.file_name().into_string().ok()).collect();
        ids.sort();
        ids.dedup();
        ids
    }

    /// Every engine that has groups.
    pub(super) fn engines(&self) -> Vec<String> {
        self.sandboxes("")
    }

    /// Takes the groups of an engine away that has no sandboxes any more.
    pub(super) fn forget(&self, engine: &str) {
        for tree in self.all() {
            // It may be in no use in this tree, or somebody else's as well.
            let _kept = fs::remove_dir(tree.join(OURS).join(engine));
            let _kept = fs::remove_dir(tree.join(OURS));
        }
    }
}

impl Groups {
    /// As runsc is told.
    pub(super) fn path(&self) -> String {
        format!("/{}", self.name)
    }

    // ANCHOR: make
    /// Makes them, with the limits in force.
    pub(super) fn make(&self, limits: &Limits) -> io::Result<()> {
        match &self.trees {
            Trees::V1 { needed, .. } => {
                for tree in needed {
                    fs::create_dir_all(tree.join(&self.name))?;
                }
            }
            Trees::V2(all) => {
                let mut folder = all.clone();
                for part in Path::new(&self.name) {
                    // A group hands controllers down when it is told to.
                    fs::write(folder.join("cgroup.subtree_control"), "+cpu +memory +pids")?;
                    folder.push(part);
                    fs::create_dir_all(&folder)?;
                }
            }
        }
        self.set_memory(limits.memory_bytes)?;
        for (controller, file, value) in self.settings(limits) {
            self.write(controller, file, &value)?;
        }
        Ok(())
    }

    /// What is set beside memory: controller, file, value.
    fn settings(&self, limits: &Limits) -> Vec<(usize, &'static str, String)> {
        // Attack: fork for ever -> gVisor's threads are counted, several for each process inside.
        let pids = (3, "pids.max", host_pids(limits.pids).to_string());
        // Attack: take all processors -> one.
        match &self.trees {
            Trees::V1 { .. } => vec![
                pids,
                (0, "cpu.cfs_period_us", PERIOD.to_string()),
                (0, "cpu.cfs_quota_us", PERIOD.to_string()),
            ],
            Trees::V2(_) => vec![pids, (0, "cpu.max", format!("{PERIOD} {PERIOD}"))],
        }
    }
    // ANCHOR_END: make

    /// Sets the limit of memory, of a new sandbox or of one that waits. Attack: take all memory, or
    /// all swap beside it -> together they are limited.
    pub(super) fn set_memory(&self, bytes: u64) -> io::Result<()> {
        let value = bytes.to_string();
        let Trees::V1 { .. } = &self.trees else {
            self.write(2, "memory.max", &value)?;
            // A kernel without swap has no such file, and needs none.
            return self.write(2, "memory.swap.max", "0").or_else(super::rootfs::missing_is_fine);
        };
        let swap = || {
            let file = "memory.memsw.limit_in_bytes";
            self.write(2, file, &value).or_else(super::rootfs::missing_is_fine)
        };
        // Both together may never be less than memory alone, so that the order depends.
        match self.write(2, "memory.limit_in_bytes", &value) {
            Ok(()) => swap(),
            Err(_) => swap().and_then(|()| self.write(2, "memory.limit_in_bytes", &value)),
        }
    }

    fn write(&self, controller: usize, file: &str, value: &str) -> io::Result<()> {
        let path = self.folder(controller).join(file);
        fs::write(&path, value)
            .map_err(|error| io::Error::new(error.kind(), format!("{}: {error}", path.display())))
    }

    fn folder(&self, controller: usize) -> PathBuf {
        match &self.trees {
            Trees::V1 { needed, .. } => needed[controller].join(&self.name),
            Trees::V2(all) => all.join(&self.name),
        }
    }

    /// The kernel's counters of this sandbox.
    pub(super) fn counters(&self) -> CgroupPaths {
        match &self.trees {
            Trees::V1 { .. } => CgroupPaths::V1 {
                cpuacct: self.folder(1),
                memory: self.folder(2),
                pids: self.folder(3),
            },
            Trees::V2(_) => CgroupPaths::V2(self.folder(0)),
        }
    }

    /// The host's numbers of all processes in it.
    pub(super) fn processes(&self) -> Vec<Pid> {
        let list = fs::read_to_string(self.folder(2).join("cgroup.procs")).unwrap_or_default();
        list.lines().filter_map(|line| Pid::from_raw(line.parse().ok()?)).collect()
    }

    /// Expected every process in it. True when there was none.
    pub(super) fn kill(&self) -> bool {
        let processes = self.processes();
        for pid in &processes {
            // That it has just ended by itself is as good.
            let _gone = kill_process(*pid, Signal::KILL);
        }
        processes.is_empty()
    }

    /// Takes them away, in every tree.
    pub(super) fn remove(&self) -> io::Result<()> {
        for tree in self.trees.all() {
            fs::remove_dir(tree.join(&self.name)).or_else(super::rootfs::missing_is_fine)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const V1: &str = "\
30 25 0:29 / /sys/fs/cgroup/cpu,cpuacct rw,relatime - cgroup cgroup rw,cpu,cpuacct
32 25 0:32 / /sys/fs/cgroup/memory rw,relatime - cgroup cgroup rw,memory
36 25 0:36 / /sys/fs/cgroup/pids rw,relatime shared:9 - cgroup cgroup rw,pids
37 25 0:37 / /sys/fs/cgroup/devices rw,relatime shared:9 - cgroup cgroup rw,devices
38 25 0:38 / /sys/fs/cgroup/unified rw,relatime - cgroup2 cgroup2 rw";

    #[test]
    fn both_versions_are_found() {
        let Trees::V1 { needed, others } = Trees::from_mounts(V1).unwrap() else { panic!() };
        let needed = needed.map(|path| path.to_str().unwrap().to_owned());
        let both = "/sys/fs/cgroup/cpu,cpuacct";
        assert_eq!(needed, [both, both, "/sys/fs/cgroup/memory", "/sys/fs/cgroup/pids"]);
        assert_eq!(others, [PathBuf::from("/sys/fs/cgroup/devices")]);
        let v2 = "30 25 0:29 / /sys/fs/cgroup rw - cgroup2 cgroup2 rw";
        assert!(
            matches!(Trees::from_mounts(v2), Ok(Trees::V2(path)) if path == Path::new("/sys/fs/cgroup"))
        );
        Trees::from_mounts("").unwrap_err();
        Trees::from_mounts(&V1.replace("rw,pids", "rw,blkio")).unwrap_err();
    }

    #[test]
    fn the_limits_are_written_where_the_kernel_looks_for_them() {
        let folder = tempfile::tempdir().unwrap();
        let limits = Limits {
            timeout_seconds: 1.0,
            cpu_seconds: 1.0,
            memory_bytes: 64 << 20,
            pids: 10,
            output_bytes: 1,
            disk_bytes: 1,
            open_files: 1,
        };
        let groups = Trees::V2(folder.path().to_owned()).of("ENGINE", "ID");
        groups.make(&limits).unwrap();
        assert_eq!(groups.path(), "/crucible-runsc/ENGINE/ID");
        let read = |path: &str| fs::read_to_string(folder.path().join(path)).unwrap();
        for parent in ["", "crucible-runsc/", "crucible-runsc/ENGINE/"] {
            assert_eq!(read(&format!("{parent}cgroup.subtree_control")), "+cpu +memory +pids");
        }
        let own = |file: &str| read(&format!("crucible-runsc/ENGINE/ID/{file}"));
        assert_eq!(own("memory.max"), (64 << 20).to_string());
        assert_eq!(own("memory.swap.max"), "0");
        assert_eq!(own("cpu.max"), "100000 100000");
        assert_eq!(own("pids.max"), host_pids(10).to_string());
    }
}
