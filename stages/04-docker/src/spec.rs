//! The specification of a container: one builder, used by every container engine of this course.
//!
//! The rule it keeps: every wall is set here and nowhere else, and a snapshot of the whole
//! specification is under test, so that no wall can fall without somebody accepting the difference.
//! A request chooses none of it but the numbers of its limits, which are bounded before they come
//! here.
//!
//! What it does not protect against: a fault of the kernel that the container shares with the host,
//! or of the runtime. Each setting is written as attack → setting; the tests named in
//! `tests/engine.rs` and the probes of the ladder try each attack.

use std::collections::HashMap;
use std::time::Duration;

use bollard::models::{
    ContainerCreateBody, HostConfig, HostConfigCgroupnsModeEnum, HostConfigLogConfig,
    ResourcesUlimits, RestartPolicy, RestartPolicyNameEnum,
};
use shared::Limits;

/// The functions that what runs inside is made of, first of all. Whoever has an init of another kind
/// calls others of them.
pub const INIT_SOURCE: &str = include_str!("loader.py");
/// What runs inside, first of all: init, and the program as its child.
const LOADER: &str = concat!(include_str!("loader.py"), "\n\nstart()\nprogram()\n");
/// Neither root nor anybody else who owns a file: `nobody`.
pub const USER: u32 = 65534;
/// Shared memory for `multiprocessing`'s locks, in bytes, beside the program's own scratch space.
const SHARED_MEMORY: u64 = 1 << 20;

/// What a specification is made of, beside the limits.
pub(crate) struct SpecInputs<'a> {
    /// The image's content hash, so that nobody can move the name to another image meanwhile.
    pub(crate) image: &'a str,
    /// The runtime's name, as Docker knows it.
    pub(crate) runtime: &'a str,
    /// The seccomp profile as JSON.
    pub(crate) seccomp: &'a str,
    /// Processes and threads that the limit allows, the runtime's own among them.
    pub(crate) pids: u64,
    /// What the container is found by when it has to be taken away.
    pub(crate) labels: HashMap<String, String>,
    /// A name for the machine that says nothing about the real one.
    pub(crate) hostname: String,
}

// ANCHOR: specification
/// The specification of a container that runs one program within `limits`.
pub(crate) fn specification(parts: SpecInputs<'_>, limits: &Limits) -> ContainerCreateBody {
    ContainerCreateBody {
        image: Some(parts.image.to_owned()),
        // Attack: read another program's code from the process list → nothing of a program is on a
        // command line. It comes over standard input.
        entrypoint: Some(vec!["/usr/bin/python3".to_owned()]),
        cmd: Some(vec!["-c".to_owned(), LOADER.to_owned()]),
        // Attack: write what root owns, or use root's way out → not root.
        user: Some(format!("{USER}:{USER}")),
        working_dir: Some("/tmp".to_owned()),
        // Attack: find keys in the environment → it is empty. A name without a value takes away what
        // Docker would set by itself.
        env: Some(vec!["PATH".to_owned(), "HOSTNAME".to_owned()]),
        // Attack: learn the host's name, or the container's → a random one.
        hostname: Some(parts.hostname),
        attach_stdin: Some(true),
        attach_stdout: Some(true),
        attach_stderr: Some(true),
        open_stdin: Some(true),
        stdin_once: Some(true),
        // Attack: type into the operator's terminal (TIOCSTI) → there is none.
        tty: Some(false),
        labels: Some(parts.labels),
        host_config: Some(HostConfig {
            runtime: Some(parts.runtime.to_owned()),
            ulimits: Some(ulimits(limits)),
            tmpfs: Some(scratch(limits)),
            pids_limit: Some(signed(parts.pids)),
            ..isolation(parts.seccomp, limits)
        }),
        ..ContainerCreateBody::default()
    }
}
// ANCHOR_END: specification

// ANCHOR: walls
fn isolation(seccomp: &str, limits: &Limits) -> HostConfig {
    HostConfig {
        // Attack: send what it found to somebody, or attack the neighbours → no network, and no
        // resolver either: Docker would copy the host's address of one even then.
        network_mode: Some("none".to_owned()),
        dns: Some(vec!["127.0.0.1".to_owned()]),
        dns_search: Some(vec![".".to_owned()]),
        // Attack: leave something behind in the image, or fill the host's disk.
        readonly_rootfs: Some(true),
        // Attack: use one of root's forty special rights → none is left, and no program can give any.
        cap_drop: Some(vec!["ALL".to_owned()]),
        privileged: Some(false),
        // Attack: run a setuid program; call a part of the kernel that no program needs.
        security_opt: Some(vec!["no-new-privileges".to_owned(), format!("seccomp={seccomp}")]),
        // Attack: take all memory. Swap is counted in, so that there is none beside it.
        memory: Some(signed(limits.memory_bytes)),
        memory_swap: Some(signed(limits.memory_bytes)),
        // The host's own processes survive when the whole machine runs out.
        oom_score_adj: Some(1000),
        // Attack: take all processors → one.
        nano_cpus: Some(1_000_000_000),
        // Attack: talk to another program over shared memory → none is shared.
        ipc_mode: Some("none".to_owned()),
        // Attack: find out the container's id, and from it other names → its control group is "/".
        cgroupns_mode: Some(HostConfigCgroupnsModeEnum::PRIVATE),
        // Attack: fill the host's disk through the log → none is kept. Output is read while it comes.
        log_config: Some(HostConfigLogConfig { typ: Some("none".to_owned()), config: None }),
        restart_policy: Some(RestartPolicy {
            name: Some(RestartPolicyNameEnum::NO),
            maximum_retry_count: None,
        }),
        masked_paths: Some(MASKED.split(' ').map(str::to_owned).collect()),
        // All that Docker would make read-only is masked.
        readonly_paths: Some(Vec::new()),
        ..HostConfig::default()
    }
}
// ANCHOR_END: walls

// ANCHOR: masked
/// Attack: recognise the host, count its processes, read its boot command line; make its load go up
/// and down to talk to another program → all of `/sys`, and everything in `/proc` that is about the
/// machine, is empty. Under gVisor none of these files is the host's to begin with.
const MASKED: &str = "/sys /proc/acpi /proc/asound /proc/buddyinfo /proc/bus /proc/cgroups \
    /proc/cmdline /proc/config.gz /proc/consoles /proc/crypto /proc/devices /proc/diskstats \
    /proc/dma /proc/driver /proc/execdomains /proc/fb /proc/fs /proc/interrupts /proc/iomem \
    /proc/ioports /proc/irq /proc/kallsyms /proc/kcore /proc/key-users /proc/keys /proc/kmsg \
    /proc/kpagecgroup /proc/kpagecount /proc/kpageflags /proc/latency_stats /proc/loadavg \
    /proc/locks /proc/mdstat /proc/meminfo /proc/misc /proc/modules /proc/mtrr \
    /proc/pagetypeinfo /proc/partitions /proc/pressure /proc/sched_debug /proc/schedstat \
    /proc/scsi /proc/slabinfo /proc/softirqs /proc/stat /proc/swaps /proc/sys /proc/sysrq-trigger \
    /proc/sysvipc /proc/timer_list /proc/timer_stats /proc/tty /proc/uptime /proc/vmallocinfo \
    /proc/vmstat /proc/zoneinfo";
// ANCHOR_END: masked

/// Limits that each process has for itself.
fn ulimits(limits: &Limits) -> Vec<ResourcesUlimits> {
    // A backstop for the case that nobody watches the counters any more: one to two seconds above.
    let cpu = Duration::from_secs_f64(limits.cpu_seconds).as_secs() + 2;
    let all = [
        ("nofile", limits.open_files),
        // Attack: a file of 10 GiB with nothing in it, on a file system of 16 MiB.
        ("fsize", limits.disk_bytes),
        // Attack: a crash whose core holds what other limits forbid.
        ("core", 0),
        ("cpu", cpu),
    ];
    let both = |(name, value): (&str, u64)| ResourcesUlimits {
        name: Some(name.to_owned()),
        soft: Some(signed(value)),
        hard: Some(signed(value)),
    };
    all.map(both).into()
}

/// The two places where a program can write. Attack: fill them; make millions of empty files; run a
/// program that was put there; make a device.
fn scratch(limits: &Limits) -> HashMap<String, String> {
    let options = |bytes: u64| {
        // One file for each page. gVisor takes no notice of this number: there, memory bounds it.
        let files = (bytes / 4096).clamp(64, 1 << 16);
        format!("rw,noexec,nosuid,nodev,size={bytes},nr_inodes={files},mode=1777")
    };
    [("/tmp", limits.disk_bytes), ("/dev/shm", SHARED_MEMORY)]
        .map(|(path, bytes)| (path.to_owned(), options(bytes)))
        .into()
}

/// Docker's numbers have a sign. The bounds of a submission keep them far below the largest one.
fn signed(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMITS: Limits = Limits {
        timeout_seconds: 30.0,
        cpu_seconds: 29.5,
        memory_bytes: 256 << 20,
        pids: 64,
        output_bytes: 1 << 20,
        disk_bytes: 64 << 20,
        open_files: 256,
    };

    fn body(runtime: &str) -> serde_json::Value {
        let parts = SpecInputs {
            image: "sha256:0123",
            runtime,
            seccomp: "PROFILE",
            pids: 65,
            labels: [("crucible.owner".to_owned(), "OWNER".to_owned())].into(),
            hostname: "0123456789ab".to_owned(),
        };
        serde_json::to_value(specification(parts, &LIMITS)).unwrap()
    }

    #[test]
    fn the_whole_specification() {
        insta::assert_json_snapshot!(body("runc"), {
            ".Cmd[1]" => "THE LOADER",
            ".HostConfig.Tmpfs" => insta::sorted_redaction(),
        });
    }

    #[test]
    fn another_runtime_changes_the_runtime_alone() {
        let (mut usual, other) = (body("runc"), body("runsc"));
        assert_ne!(usual, other);
        usual["HostConfig"]["Runtime"] = "runsc".into();
        assert_eq!(usual, other);
    }
}
