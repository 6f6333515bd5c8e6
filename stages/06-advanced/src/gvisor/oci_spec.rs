//! A sandbox as an OCI specification, which runsc reads: one builder, and a snapshot of all of it
//! under test.
//!
//! Guarantee: the isolation is that of stage 4's containers, where gVisor's kernel does not provide
//! it by itself. A request chooses nothing of it but the numbers of its limits.
//!
//! What it does not protect against: gVisor ignores a tmpfs's limit on the number of files; memory
//! bounds it. An attacker who escapes gVisor's kernel is in a process without capabilities, in
//! namespaces of its own, under runsc's own system call filter.

use std::collections::HashSet;
use std::path::Path;

use oci_spec::OciSpecError;
use oci_spec::runtime::{
    Capability, LinuxBuilder, LinuxCapabilitiesBuilder, LinuxNamespace, LinuxNamespaceBuilder,
    LinuxNamespaceType, Mount, MountBuilder, PosixRlimit, PosixRlimitBuilder, PosixRlimitType,
    Process, ProcessBuilder, RootBuilder, Spec, SpecBuilder,
};
use shared::Limits;
use stage_04_docker::{CgroupLimits, MAX_ARTIFACT_BYTES, OUTPUT_DIR};
use stage_05_gvisor::host_pids_limit;

use super::memory::initial_limit;
use super::profile::SandboxProfile;
use super::rootfs::{PRESTART_DIR, SUPERVISOR_PATH};

/// Size of `/dev/shm`, which is Docker's; beside the program's scratch space. What is in it counts as
/// the program's memory.
pub(super) const SHARED_MEMORY_BYTES: u64 = 64 << 20;
/// The name of every sandbox, which resolves to the loopback. It is no secret and names nothing.
pub(super) const HOSTNAME: &str = "sandbox";

// ANCHOR: spec
/// The specification of a sandbox in cgroup `cgroup`, for a program of `profile` within `limits`.
pub(super) fn specification(
    root: &Path,
    cgroup: &str,
    limits: &Limits,
    profile: &SandboxProfile,
) -> Result<Spec, OciSpecError> {
    SpecBuilder::default()
        .version("1.0.2")
        // Attack: leave something behind in the image, or fill the host's disk -> it is read-only.
        .root(RootBuilder::default().path(root).readonly(true).build()?)
        // Attack: learn the host's name -> it is the same everywhere.
        .hostname(HOSTNAME)
        .mounts(mounts(limits, profile)?)
        .process(process(limits)?)
        .linux(
            LinuxBuilder::default()
                // Attack: use all memory, all processors, all process ids of the host -> the limits
                // of this cgroup, which is created before the sandbox.
                .cgroups_path(cgroup)
                .namespaces(namespaces()?)
                .masked_paths(Vec::new()) // /proc and /sys are gVisor's own
                .readonly_paths(Vec::new())
                .build()?,
        )
        .build()
}
// ANCHOR_END: spec

/// The limits of a sandbox's cgroup.
pub(super) fn cgroup_limits(limits: &Limits) -> CgroupLimits {
    CgroupLimits {
        // Attack: use all processors -> one.
        cpus: 1,
        memory_bytes: initial_limit(limits),
        // Attack: fork without limit -> gVisor's threads are counted, several for each process
        // inside.
        pids: host_pids_limit(limits.pids),
    }
}

// ANCHOR: process
fn process(limits: &Limits) -> Result<Process, OciSpecError> {
    // The supervisor has to change its user to start the program, and needs nothing else.
    let capabilities =
        || [Capability::Setuid, Capability::Setgid].into_iter().collect::<HashSet<_>>();
    let capabilities = LinuxCapabilitiesBuilder::default()
        .bounding(capabilities())
        .effective(capabilities())
        .permitted(capabilities())
        // Attack: use a capability of root -> none survives the change of user, and none can be
        // gained by executing a program.
        .inheritable(HashSet::new())
        .ambient(HashSet::new())
        .build()?;
    ProcessBuilder::default()
        // What it executes for the host arrives on its socket.
        .args([SUPERVISOR_PATH.to_owned()])
        // Attack: find keys in the environment -> it is empty but for a home directory, which runsc
        // would otherwise take from the line of root in the image's list of users.
        .env(["HOME=/tmp".to_owned()])
        // What the supervisor starts is known by this directory.
        .cwd(PRESTART_DIR)
        // Attack: type into the operator's terminal -> there is none.
        .terminal(false)
        // Attack: execute a setuid program -> it gains nothing.
        .no_new_privileges(true)
        .capabilities(capabilities)
        .rlimits(rlimits(limits.open_files, limits.disk_bytes)?)
        // The host's own processes survive when the whole machine runs out of memory.
        .oom_score_adj(1000)
        .build()
}
// ANCHOR_END: process

/// Limits of each process: open files, and bytes of a file.
pub(super) fn rlimits(open_files: u64, file_bytes: u64) -> Result<Vec<PosixRlimit>, OciSpecError> {
    let rlimits = [
        (PosixRlimitType::RlimitNofile, open_files),
        // Attack: a sparse file of 10 GiB, on a file system of 16 MiB.
        (PosixRlimitType::RlimitFsize, file_bytes),
        // Attack: a crash whose core dump writes what other limits forbid.
        (PosixRlimitType::RlimitCore, 0),
    ];
    let build = |(kind, value): (PosixRlimitType, u64)| {
        PosixRlimitBuilder::default().typ(kind).soft(value).hard(value).build()
    };
    rlimits.into_iter().map(build).collect()
}

/// `/proc` and the places where a program can write. Attack: fill them; execute a program that
/// was put there; make a device.
fn mounts(limits: &Limits, profile: &SandboxProfile) -> Result<Vec<Mount>, OciSpecError> {
    let scratch = |path: &str, bytes: u64| {
        let size = format!("size={bytes}");
        let options = ["rw", "noexec", "nosuid", "nodev", "mode=1777", &size].map(str::to_owned);
        MountBuilder::default()
            .destination(path)
            .typ("tmpfs")
            .source("tmpfs")
            .options(options)
            .build()
    };
    let mut work = scratch("/tmp", limits.disk_bytes)?;
    if profile.executes_files
        && let Some(options) = work.options().clone()
    {
        // The programs that a compiler makes are run where they are. What they may do is the same.
        work.set_options(Some(options.into_iter().filter(|word| word != "noexec").collect()));
    }
    let mut mounts = vec![
        MountBuilder::default().destination("/proc").typ("proc").source("proc").build()?,
        work,
        scratch("/dev/shm", SHARED_MEMORY_BYTES)?,
    ];
    if profile.keeps_output_files {
        // Attack: leave more than is taken -> as large as what is taken.
        mounts.push(scratch(OUTPUT_DIR, MAX_ARTIFACT_BYTES as u64)?);
    }
    Ok(mounts)
}

/// Attack: see, signal or reach anything of the host from gVisor's own process -> it sees nothing.
pub(super) fn namespaces() -> Result<Vec<LinuxNamespace>, OciSpecError> {
    use LinuxNamespaceType::{Ipc, Mount, Network, Pid, Uts};
    [Pid, Network, Ipc, Uts, Mount]
        .map(|kind| LinuxNamespaceBuilder::default().typ(kind).build())
        .into_iter()
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_whole_specification() {
        let limits = Limits {
            timeout_seconds: 30.0,
            cpu_seconds: 30.0,
            memory_bytes: 256 << 20,
            pids: 64,
            output_bytes: 1 << 20,
            disk_bytes: 64 << 20,
            open_files: 256,
        };
        let profile = SandboxProfile::python("/image".into(), 0);
        let spec = specification(Path::new("/ROOT"), "/CGROUP", &limits, &profile).unwrap();
        insta::assert_json_snapshot!(serde_json::to_value(spec).unwrap(), {
            ".process.capabilities.*" => insta::sorted_redaction(),
        });
    }
    #[test]
    fn a_directory_for_files_is_one_more_mount() {
        let mounts = |keeps_output_files| {
            let python = SandboxProfile::python("/image".into(), 0);
            let profile = SandboxProfile { keeps_output_files, ..python };
            mounts(&stage_04_docker::PROBE_LIMITS, &profile).unwrap()
        };
        let (without, with) = (mounts(false), mounts(true));
        assert_eq!(with[..without.len()], without);
        let options = with[without.len()].options().as_deref().unwrap();
        assert_eq!(options, ["rw", "noexec", "nosuid", "nodev", "mode=1777", "size=16777216"]);
        assert_eq!(with.len(), without.len() + 1);
    }

    #[test]
    fn only_where_a_compiler_is_may_files_be_executed() {
        let python = SandboxProfile::python("/image".into(), 0);
        let profile = SandboxProfile { executes_files: true, ..python.clone() };
        let words = |profile: &SandboxProfile| {
            let mounts = mounts(&stage_04_docker::PROBE_LIMITS, profile).unwrap();
            let words = mounts.iter().map(|mount| mount.options().clone().unwrap_or_default());
            words.map(|words| words.contains(&"noexec".to_owned())).collect::<Vec<_>>()
        };
        assert_eq!(words(&python), [false, true, true]);
        assert_eq!(words(&profile), [false, false, true]);
    }
}
