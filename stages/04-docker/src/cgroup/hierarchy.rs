//! Where cgroups are mounted on this machine.

use std::path::{Path, PathBuf};

use super::{Cgroup, CgroupError, Controller};

const MOUNTINFO: &str = "/proc/self/mountinfo";

/// The cgroup hierarchies of this machine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CgroupHierarchy {
    /// Version 1: a hierarchy for each controller; two controllers may share one.
    V1 {
        /// Of [`Controller::Cpu`].
        cpu: CgroupMount,
        /// Of [`Controller::CpuAcct`].
        cpuacct: CgroupMount,
        /// Of [`Controller::Memory`].
        memory: CgroupMount,
        /// Of [`Controller::Pids`].
        pids: CgroupMount,
        /// Of all controllers that the platform does not use.
        others: Vec<CgroupMount>,
    },
    /// Version 2: one hierarchy with all controllers.
    V2(CgroupMount),
}

/// One mounted hierarchy.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CgroupMount {
    /// The cgroup that is visible at the mount point: `/`, except in a container.
    pub root: String,
    /// The mount point.
    pub dir: PathBuf,
}

impl CgroupHierarchy {
    /// Reads `/proc/self/mountinfo`.
    ///
    /// # Errors
    ///
    /// When it cannot be read, or names no usable hierarchy.
    pub async fn detect() -> Result<Self, CgroupError> {
        let mountinfo = tokio::fs::read_to_string(MOUNTINFO)
            .await
            .map_err(|source| CgroupError::Read { path: MOUNTINFO.into(), source })?;
        Self::from_mountinfo(&mountinfo)
    }

    /// The hierarchies in the text of a mountinfo file. Version 1 is in use when its memory
    /// controller is mounted, whatever else is.
    ///
    /// # Errors
    ///
    /// When there is none, or one of version 1 lacks a controller.
    pub fn from_mountinfo(mountinfo: &str) -> Result<Self, CgroupError> {
        let mounts: Vec<_> = mountinfo.lines().filter_map(parse_mount).collect();
        let find = |controller: Controller| {
            let mut v1 = mounts.iter().filter(|(kind, ..)| *kind == "cgroup");
            let found = v1.find(|(_, options, _)| {
                options.split(',').any(|option| option == controller.as_str())
            });
            let missing = CgroupError::ControllerNotMounted { controller };
            found.map(|(.., mount)| mount.clone()).ok_or(missing)
        };
        let Ok(memory) = find(Controller::Memory) else {
            let v2 = mounts.into_iter().find(|(kind, ..)| *kind == "cgroup2");
            return v2.map(|(.., mount)| Self::V2(mount)).ok_or(CgroupError::NotMounted);
        };
        let (cpu, cpuacct) = (find(Controller::Cpu)?, find(Controller::CpuAcct)?);
        let pids = find(Controller::Pids)?;
        let v1 = mounts.into_iter().filter(|(kind, ..)| *kind == "cgroup");
        let used = [&cpu, &cpuacct, &memory, &pids];
        let others = v1.map(|(.., mount)| mount).filter(|mount| !used.contains(&mount)).collect();
        Ok(Self::V1 { cpu, cpuacct, memory, pids, others })
    }

    /// 1 or 2.
    pub fn version(&self) -> u8 {
        match self {
            Self::V1 { .. } => 1,
            Self::V2(_) => 2,
        }
    }

    /// The cgroup with this path below the mounts, with or without a leading slash.
    pub fn cgroup(&self, path: &str) -> Cgroup {
        Cgroup { hierarchy: self.clone(), name: path.trim_start_matches('/').to_owned() }
    }

    /// Where the hierarchy of `controller` is mounted.
    pub fn mount(&self, controller: Controller) -> &CgroupMount {
        match (self, controller) {
            (Self::V1 { cpu, .. }, Controller::Cpu) => cpu,
            (Self::V1 { cpuacct, .. }, Controller::CpuAcct) => cpuacct,
            (Self::V1 { memory, .. }, Controller::Memory) => memory,
            (Self::V1 { pids, .. }, Controller::Pids) => pids,
            (Self::V2(mount), _) => mount,
        }
    }

    /// Every mount point, each once.
    pub(super) fn dirs(&self) -> Vec<&Path> {
        let mut mounts: Vec<_> = Controller::ALL.map(|controller| self.mount(controller)).into();
        if let Self::V1 { others, .. } = self {
            mounts.extend(others);
        }
        let mut dirs: Vec<&Path> = mounts.into_iter().map(|mount| mount.dir.as_path()).collect();
        dirs.sort_unstable();
        dirs.dedup();
        dirs
    }
}

/// File system, its options (version 1: its controllers), root and mount point of one line.
fn parse_mount(line: &str) -> Option<(&str, &str, CgroupMount)> {
    let (mount, file_system) = line.split_once(" - ")?;
    let mut file_system = file_system.split(' ');
    let (kind, options) = (file_system.next()?, file_system.nth(1)?);
    let mut mount = mount.split(' ').skip(3);
    let (root, dir) = (mount.next()?.to_owned(), PathBuf::from(mount.next()?));
    ["cgroup", "cgroup2"].contains(&kind).then_some((kind, options, CgroupMount { root, dir }))
}
