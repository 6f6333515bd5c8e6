//! The specification of a sandbox that stays: that of an evaluation's, but for what is listed here.
//!
//! | | an evaluation's | one that stays |
//! |---|---|---|
//! | root file system | read-only | an overlay in the sandbox's memory, by runsc's `--overlay2=root:memory` |
//! | `/tmp`, `/var/tmp` | not executable; none | executable: installers and agents run what they have written |
//! | root inside | two capabilities, for the supervisor | Docker's, without `CAP_NET_RAW`, which runsc takes as well |
//! | limits | the program's | the sandbox's |
//!
//! Namespaces, network, cgroup, user on the host, system call filter and gofer are the same.

use std::collections::HashSet;
use std::path::Path;

use oci_spec::OciSpecError;
use oci_spec::runtime::{
    Capability, LinuxBuilder, LinuxCapabilitiesBuilder, Mount, MountBuilder, Process,
    ProcessBuilder, RootBuilder, Spec, SpecBuilder,
};
use shared::Limits;
use stage_04_docker::CgroupLimits;
use stage_05_gvisor::host_pids_limit;

use super::super::memory::initial_limit;
use super::super::oci_spec::{HOSTNAME, SHARED_MEMORY_BYTES, namespaces, rlimits};
use super::root::SUPERVISOR_PATH;
use crate::sandboxes::{MemoryOverhead, SANDBOX_PATH, SandboxLimits};

/// Open files of each process.
const MAX_OPEN_FILES: u64 = 16_384;
/// Processes that gVisor's own memory is counted for beside the limit, at most: 8 MB each. Those of a sandbox with more
/// count as the sandbox's. With those that it needs without a program that is 568 MiB, which [`MemoryOverhead`] tells the
/// quotas.
const MAX_COUNTED_PROCESSES: u64 = 64;

/// What Docker gives the root of a container, without `CAP_NET_RAW`.
const CAPABILITIES: [Capability; 13] = [
    Capability::AuditWrite,
    Capability::Chown,
    Capability::DacOverride,
    Capability::Fowner,
    Capability::Fsetid,
    Capability::Kill,
    Capability::Mknod,
    Capability::NetBindService,
    Capability::Setfcap,
    Capability::Setgid,
    Capability::Setpcap,
    Capability::Setuid,
    Capability::SysChroot,
];

// ANCHOR: spec
/// The specification of a sandbox in cgroup `cgroup`, with the root file system `root`.
pub(super) fn specification(
    root: &Path,
    cgroup: &str,
    limits: &SandboxLimits,
) -> Result<Spec, OciSpecError> {
    SpecBuilder::default()
        .version("1.0.2")
        // Attack: leave something behind in the image, or fill the host's disk -> what is written is the sandbox's
        // memory, which its cgroup limits and its end frees.
        .root(RootBuilder::default().path(root).readonly(false).build()?)
        .hostname(HOSTNAME)
        .mounts(mounts(limits)?)
        .process(process(limits)?)
        .linux(
            LinuxBuilder::default()
                .cgroups_path(cgroup)
                .namespaces(namespaces()?)
                .masked_paths(Vec::new()) // /proc and /sys are gVisor's own
                .readonly_paths(Vec::new())
                .build()?,
        )
        .build()
}
// ANCHOR_END: spec

/// The numbers by which the cgroup's limit of memory is set, and rises with the processes.
pub(super) fn memory_limits(limits: &SandboxLimits) -> Limits {
    Limits {
        memory_bytes: limits.memory_bytes,
        pids: limits.pids.min(MAX_COUNTED_PROCESSES),
        timeout_seconds: 0.0,
        cpu_seconds: 0.0,
        output_bytes: 0,
        disk_bytes: limits.disk_bytes,
        open_files: MAX_OPEN_FILES,
    }
}

/// What a sandbox may use above its limit of memory.
pub(super) fn overhead() -> MemoryOverhead {
    super::super::memory::overhead(MAX_COUNTED_PROCESSES)
}

/// The limits of the cgroup.
pub(super) fn cgroup_limits(limits: &SandboxLimits) -> CgroupLimits {
    CgroupLimits {
        cpus: limits.cpus.into(),
        memory_bytes: initial_limit(&memory_limits(limits)),
        pids: host_pids_limit(limits.pids),
    }
}

fn process(limits: &SandboxLimits) -> Result<Process, OciSpecError> {
    let capabilities = || CAPABILITIES.into_iter().collect::<HashSet<_>>();
    let capabilities = LinuxCapabilitiesBuilder::default()
        .bounding(capabilities())
        .effective(capabilities())
        .permitted(capabilities())
        // Attack: an execution of the user `agent` uses a capability of root -> none survives the change of user.
        .inheritable(HashSet::new())
        .ambient(HashSet::new())
        .build()?;
    ProcessBuilder::default()
        .args([SUPERVISOR_PATH.to_owned()])
        // Attack: find keys in the environment -> it is empty but for these.
        .env(["HOME=/root".to_owned(), format!("PATH={SANDBOX_PATH}")])
        .cwd("/")
        .terminal(false)
        // Attack: the user `agent` executes a setuid program, to be root -> it gains nothing.
        .no_new_privileges(true)
        .capabilities(capabilities)
        .rlimits(rlimits(MAX_OPEN_FILES, limits.disk_bytes)?)
        .oom_score_adj(1000)
        .build()
}

fn mounts(limits: &SandboxLimits) -> Result<Vec<Mount>, OciSpecError> {
    let scratch = |path: &str, options: &[&str], bytes: u64| {
        let size = format!("size={bytes}");
        // Attack: make a device, or a setuid program, in a place that any user can write to -> neither works there.
        let fixed = ["rw", "nosuid", "nodev", "mode=1777", &size];
        let options = fixed.into_iter().chain(options.iter().copied()).map(str::to_owned);
        MountBuilder::default()
            .destination(path)
            .typ("tmpfs")
            .source("tmpfs")
            .options(options.collect::<Vec<_>>())
            .build()
    };
    Ok(vec![
        MountBuilder::default().destination("/proc").typ("proc").source("proc").build()?,
        scratch("/tmp", &[], limits.disk_bytes)?,
        scratch("/var/tmp", &[], limits.disk_bytes)?,
        scratch("/dev/shm", &["noexec"], SHARED_MEMORY_BYTES)?,
    ])
}

#[cfg(test)]
mod tests {
    use super::super::super::memory::highest_limit;
    use super::*;
    use crate::sandboxes::{SandboxBounds, SandboxSupport};

    #[test]
    fn the_whole_specification_of_a_sandbox_that_stays() {
        let limits = SandboxBounds::default().default;
        let spec = specification(Path::new("/ROOT"), "/CGROUP", &limits).unwrap();
        insta::assert_json_snapshot!(serde_json::to_value(spec).unwrap(), {
            ".process.capabilities.*" => insta::sorted_redaction(),
        });
    }

    #[test]
    fn the_limits_of_the_cgroup_are_the_sandboxes_and_what_gvisor_needs() {
        let limits = SandboxLimits { memory_bytes: 512 << 20, cpus: 2, pids: 256, disk_bytes: 1 };
        let cgroup = cgroup_limits(&limits);
        assert_eq!((cgroup.cpus, cgroup.memory_bytes >> 20), (2, 568));
        assert_eq!(cgroup.pids, host_pids_limit(256));
        assert_eq!(memory_limits(&limits).pids, 64, "and no more memory for more processes");
        for pids in [1, 64, 256] {
            let limits = SandboxLimits { pids, ..limits };
            let support = SandboxSupport {
                sandbox: shared::SandboxInfo::default(),
                max_sandboxes: 1,
                max_lifetime_seconds: 1,
                environments: Vec::new(),
                overhead: overhead(),
            };
            let highest = highest_limit(&memory_limits(&limits));
            assert_eq!(support.reserved_bytes(&limits), highest, "{pids}");
        }
        assert_eq!(highest_limit(&memory_limits(&limits)) >> 20, 512 + 568);
    }
}
