//! Checks that the limits of a cgroup are in force, by the kernel's own files.

use std::path::Path;

use super::{CPU_PERIOD_MICROS, Cgroup, CgroupError, CgroupHierarchy, CgroupLimits, Controller};

impl Cgroup {
    /// Checks that the kernel has these limits for it.
    ///
    /// # Errors
    ///
    /// The first limit that differs, or cannot be read.
    pub fn check_limits(&self, limits: &CgroupLimits) -> Result<(), CgroupError> {
        let check = |controller, file: &str, expected: &str| {
            let path = self.dir(controller).join(file);
            let found = read(&path)?;
            if found == expected {
                return Ok(());
            }
            Err(CgroupError::Limit { path, found, expected: expected.to_owned() })
        };
        // The kernel has no file for swap where it does not count swap.
        let check_swap = |file, expected: &str| {
            check(Controller::Memory, file, expected).or_else(CgroupError::ignore_not_found)
        };
        // The kernel limits memory in whole pages.
        let page = u64::try_from(rustix::param::page_size()).unwrap_or(1);
        let memory = (limits.memory_bytes / page * page).to_string();
        let quota = limits.cpus.saturating_mul(CPU_PERIOD_MICROS);
        check(Controller::Pids, "pids.max", &limits.pids.to_string())?;
        match &self.hierarchy {
            CgroupHierarchy::V1 { .. } => {
                check(Controller::Memory, "memory.limit_in_bytes", &memory)?;
                check_swap("memory.memsw.limit_in_bytes", &memory)?;
                check(Controller::Cpu, "cpu.cfs_period_us", &CPU_PERIOD_MICROS.to_string())?;
                check(Controller::Cpu, "cpu.cfs_quota_us", &quota.to_string())
            }
            CgroupHierarchy::V2(_) => {
                check(Controller::Memory, "memory.max", &memory)?;
                check_swap("memory.swap.max", "0")?;
                check(Controller::Cpu, "cpu.max", &format!("{quota} {CPU_PERIOD_MICROS}"))
            }
        }
    }
}

fn read(path: &Path) -> Result<String, CgroupError> {
    let text = std::fs::read_to_string(path);
    let text = text.map_err(|source| CgroupError::Read { path: path.to_owned(), source })?;
    Ok(text.trim().to_owned())
}
