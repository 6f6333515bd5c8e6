//! What a sandbox is, in the words of the Open Container Initiative, which runsc reads: one builder,
//! and a snapshot of all of it under test.
//!
//! The rule it keeps: the same walls as a container of stage 4 has, where gVisor's kernel does not
//! stand there anyway. A request chooses none of it but the numbers of its limits.
//!
//! What it does not protect against: gVisor takes no notice of a tmpfs's number of files; there,
//! memory bounds it. Who breaks out of gVisor's kernel is a process without rights, in namespaces of
//! its own, under runsc's own system call filter.

use std::path::Path;

use oci_spec::OciSpecError;
use oci_spec::runtime::{
    Capability, LinuxBuilder, LinuxCapabilitiesBuilder, LinuxNamespace, LinuxNamespaceBuilder,
    LinuxNamespaceType, Mount, MountBuilder, PosixRlimit, PosixRlimitBuilder, PosixRlimitType,
    Process, ProcessBuilder, RootBuilder, Spec, SpecBuilder,
};
use shared::Limits;
use stage_04_docker::INIT_SOURCE;

use super::rootfs::SUPERVISOR;

/// Shared memory for `multiprocessing`'s locks, in bytes, beside the program's own scratch space.
const SHARED_MEMORY: u64 = 1 << 20;
/// What the interpreter does: it leaves the supervisor's session, which a signal could reach, says that
/// it is up, waits for its program and becomes it. There is no init of Python's, as in stage 4: the
/// supervisor is one, and no process of the program's user.
const START: &str = "\n\n__import__('posix').setsid()\n__import__('posix').write(2, b'ready\\n')\n\
                     deliver()\nprogram()\n";

// ANCHOR: spec
/// The specification of a sandbox in control group `group`, for a program within `limits`.
pub(super) fn specification(
    root: &Path,
    group: &str,
    hostname: &str,
    limits: &Limits,
) -> Result<Spec, OciSpecError> {
    SpecBuilder::default()
        .version("1.0.2")
        // Attack: leave something behind in the image, or fill the host's disk -> it cannot be
        // written to.
        .root(RootBuilder::default().path(root).readonly(true).build()?)
        // Attack: learn the host's name -> a random one.
        .hostname(hostname)
        .mounts(mounts(limits)?)
        .process(process(limits)?)
        .linux(
            LinuxBuilder::default()
                // Attack: take all memory, all processors, all of the host's process numbers -> the
                // limits of this control group, which is made before the sandbox is.
                .cgroups_path(group)
                .namespaces(namespaces()?)
                .masked_paths(Vec::new()) // what is in /proc and /sys is gVisor's own
                .readonly_paths(Vec::new())
                .build()?,
        )
        .build()
}
// ANCHOR_END: spec

// ANCHOR: process
fn process(limits: &Limits) -> Result<Process, OciSpecError> {
    // The supervisor has to become somebody else to start the program, and needs nothing more.
    let rights = || {
        [Capability::Setuid, Capability::Setgid]
            .into_iter()
            .collect::<std::collections::HashSet<_>>()
    };
    let capabilities = LinuxCapabilitiesBuilder::default()
        .bounding(rights())
        .effective(rights())
        .permitted(rights())
        // Attack: use one of root's special rights -> none outlives the change of user, and none can
        // be got by running a program.
        .inheritable(std::collections::HashSet::new())
        .ambient(std::collections::HashSet::new())
        .build()?;
    let loader = format!("{INIT_SOURCE}{START}");
    ProcessBuilder::default()
        .args([SUPERVISOR, "/usr/bin/python3", "-c", &loader].map(str::to_owned))
        // Attack: find keys in the environment -> it is empty but for this, which runsc would else
        // take from root's line in the image's list of users.
        .env(["HOME=/tmp".to_owned()])
        .cwd("/tmp")
        // Attack: type into the operator's terminal -> there is none.
        .terminal(false)
        // Attack: run a setuid program -> it gives nothing.
        .no_new_privileges(true)
        .capabilities(capabilities)
        .rlimits(rlimits(limits)?)
        // The host's own processes survive when the whole machine runs out of memory.
        .oom_score_adj(1000)
        .build()
}
// ANCHOR_END: process

/// Limits that each process has for itself.
fn rlimits(limits: &Limits) -> Result<Vec<PosixRlimit>, OciSpecError> {
    let all = [
        (PosixRlimitType::RlimitNofile, limits.open_files),
        // Attack: a file of 10 GiB with nothing in it, on a file system of 16 MiB.
        (PosixRlimitType::RlimitFsize, limits.disk_bytes),
        // Attack: a crash whose core holds what other limits forbid.
        (PosixRlimitType::RlimitCore, 0),
    ];
    let both = |(kind, value): (PosixRlimitType, u64)| {
        PosixRlimitBuilder::default().typ(kind).soft(value).hard(value).build()
    };
    all.into_iter().map(both).collect()
}

/// `/proc` and the two places where a program can write. Attack: fill them; run a program that was
/// put there; make a device.
fn mounts(limits: &Limits) -> Result<Vec<Mount>, OciSpecError> {
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
    Ok(vec![
        MountBuilder::default().destination("/proc").typ("proc").source("proc").build()?,
        scratch("/tmp", limits.disk_bytes)?,
        scratch("/dev/shm", SHARED_MEMORY)?,
    ])
}

/// Attack: see, signal or reach anything of the host's from gVisor's own process -> it sees nothing.
fn namespaces() -> Result<Vec<LinuxNamespace>, OciSpecError> {
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
        let spec = specification(Path::new("/ROOT"), "/GROUP", "0123456789ab", &limits).unwrap();
        insta::assert_json_snapshot!(serde_json::to_value(spec).unwrap(), {
            ".process.args[3]" => "THE LOADER",
            ".process.capabilities.*" => insta::sorted_redaction(),
        });
    }
}
