//! The specification of a container: one builder, used by every container engine of this course.
//!
//! The rule it keeps: every control is set here and nowhere else, and a snapshot test covers the whole
//! specification, so that no control can be removed without an accepted difference. A request chooses
//! none of it but the values of its limits, which are bounded before they reach this module.
//!
//! What it does not protect against: an error in the kernel, which the container shares with the host,
//! or in the runtime. Each setting is written as attack → setting. The tests are in `self_test.rs`
//! and `tests/it/engine.rs`, and the probes of the ladder try each attack.

use std::collections::HashMap;
use std::time::Duration;

use bollard::models::{
    ContainerCreateBody, HostConfig, HostConfigCgroupnsModeEnum, HostConfigLogConfig,
    ResourcesUlimits, RestartPolicy, RestartPolicyNameEnum,
};
use shared::Limits;

use crate::artifacts::{MAX_ARTIFACT_BYTES, OUTPUT_DIR};
use crate::profile::SandboxProfile;

/// The user id and group id of a program whose init is root inside: `nobody`, a user that is not root
/// and owns no file.
pub const NOBODY: u32 = 65534;
/// What init needs where it is root and the program is not.
const INIT_CAPABILITIES: [&str; 4] = ["CHOWN", "KILL", "SETGID", "SETUID"];
/// The size of `/dev/shm`, which is Docker's default. What is in it counts as memory.
pub(crate) const SHARED_MEMORY_BYTES: u64 = 64 << 20;
/// The processors that a container may use.
pub(crate) const CPUS: u64 = 1;
/// The same, in billionths of one.
const NANO_CPUS: u64 = CPUS * 1_000_000_000;
/// Signals of a container that wait for their receivers, where init waits for one of the host's.
const MAX_PENDING_SIGNALS: u64 = 128;
/// `RLIMIT_CPU` above the limit, for the case that no server reads the counters any more.
const RLIMIT_CPU_GRACE: Duration = Duration::from_secs(2);

/// What a specification needs beside the limits.
pub(crate) struct SpecInputs<'a> {
    /// What runs in the container.
    pub(crate) profile: &'a SandboxProfile,
    /// The runtime's name in Docker's configuration.
    pub(crate) runtime: &'a str,
    /// The seccomp profile as JSON.
    pub(crate) seccomp: &'a str,
    /// The host user of this container alone; none where init is root inside, and the program is
    /// `nobody` there.
    pub(crate) user: Option<u32>,
    /// Memory limit on the host: the program's, and what the runtime needs beside it.
    pub(crate) memory_bytes: u64,
    /// Host pids limit: the program's processes and threads, and those of the runtime.
    pub(crate) pids: u64,
    /// The reaper finds the container by these.
    pub(crate) labels: HashMap<String, String>,
    /// A host name that reveals nothing about the real one.
    pub(crate) hostname: String,
}

// ANCHOR: specification
/// The specification of a container that runs one program within `limits`.
pub(crate) fn specification(inputs: SpecInputs<'_>, limits: &Limits) -> ContainerCreateBody {
    ContainerCreateBody {
        image: Some(inputs.profile.image.clone()),
        // Attack: read another program's code from the process list → nothing of a program is on a
        // command line. It is sent over standard input.
        entrypoint: Some(vec![inputs.profile.interpreter.to_owned()]),
        cmd: Some(inputs.profile.args()),
        // Attack: write files that root owns, or escape as root → not root. Attack: use up what the
        // kernel counts for each user → each container has a user of its own.
        user: Some(inputs.user.map_or("0:0".to_owned(), |user| format!("{user}:{user}"))),
        working_dir: Some("/tmp".to_owned()),
        // Attack: find keys in the environment → it is empty. A name without a value removes the
        // variable that Docker would set by itself.
        env: Some(vec!["PATH".to_owned(), "HOSTNAME".to_owned()]),
        // Attack: find out the host's name, or the container's → a random one.
        hostname: Some(inputs.hostname.clone()),
        attach_stdin: Some(true),
        attach_stdout: Some(true),
        attach_stderr: Some(true),
        open_stdin: Some(true),
        stdin_once: Some(true),
        // Attack: type into the operator's terminal (TIOCSTI) → there is none.
        tty: Some(false),
        labels: Some(inputs.labels),
        host_config: Some(HostConfig {
            runtime: Some(inputs.runtime.to_owned()),
            ulimits: Some(ulimits(limits, inputs.profile.keeps_output_files)),
            tmpfs: Some(scratch(limits, inputs.profile.keeps_output_files)),
            pids_limit: Some(signed(inputs.pids)),
            // Init, where it is root: starts the program as another user, hands it its streams, and
            // ends it. The program has none.
            cap_add: inputs.user.is_none().then(|| INIT_CAPABILITIES.map(str::to_owned).into()),
            // Attack: use all memory → a limit, which includes swap, so that there is none beside it.
            memory: Some(signed(inputs.memory_bytes)),
            memory_swap: Some(signed(inputs.memory_bytes)),
            // A program may look up its own host's name.
            extra_hosts: Some(vec![format!("{}:127.0.0.1", inputs.hostname)]),
            ..isolation(inputs.seccomp)
        }),
        ..ContainerCreateBody::default()
    }
}
// ANCHOR_END: specification

// ANCHOR: isolation
pub(crate) fn isolation(seccomp: &str) -> HostConfig {
    HostConfig {
        // Attack: send data out, or attack neighbours → no network, and no resolver either: Docker
        // would copy the address of the host's resolver even then.
        network_mode: Some("none".to_owned()),
        dns: Some(vec!["127.0.0.1".to_owned()]),
        dns_search: Some(vec![".".to_owned()]),
        // Attack: change the image, or fill the host's disk → it cannot be written to.
        readonly_rootfs: Some(true),
        // Attack: use one of the forty capabilities → none is left, and no program can add any.
        cap_drop: Some(vec!["ALL".to_owned()]),
        privileged: Some(false),
        // Attack: run a setuid program; make a system call that no program needs → neither works.
        security_opt: Some(vec!["no-new-privileges".to_owned(), format!("seccomp={seccomp}")]),
        // The host's own processes survive when the whole machine runs out of memory.
        oom_score_adj: Some(1000),
        // Attack: use all processors → one.
        nano_cpus: Some(signed(NANO_CPUS)),
        // Attack: exchange data with another program in shared memory or in a message queue → none is
        // shared, and the directory of message queues is masked.
        ipc_mode: Some("none".to_owned()),
        // Attack: find out the container's id, and from it other names → its cgroup is "/".
        cgroupns_mode: Some(HostConfigCgroupnsModeEnum::PRIVATE),
        // Attack: fill the host's disk through the log → there is none. Output is read at once.
        log_config: Some(HostConfigLogConfig { typ: Some("none".to_owned()), config: None }),
        restart_policy: Some(RestartPolicy {
            name: Some(RestartPolicyNameEnum::NO),
            maximum_retry_count: None,
        }),
        masked_paths: Some(MASKED.split(' ').map(str::to_owned).collect()),
        // Every path that Docker would make read-only is masked.
        readonly_paths: Some(Vec::new()),
        ..HostConfig::default()
    }
}
// ANCHOR_END: isolation

// ANCHOR: masked
/// Attack: recognise the host, count its processes, read its boot command line; signal to another
/// program by raising and lowering the load → all of `/sys`, and everything in `/proc` that is about
/// the machine, is empty. Under gVisor none of these files shows the host anyway.
const MASKED: &str = "/dev/mqueue /sys /proc/acpi /proc/asound /proc/buddyinfo /proc/bus /proc/cgroups \
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

/// Limits of each process.
fn ulimits(limits: &Limits, keeps_output_files: bool) -> Vec<ResourcesUlimits> {
    let cpu = (Duration::from_secs_f64(limits.cpu_seconds) + RLIMIT_CPU_GRACE).as_secs();
    let all = [
        ("nofile", limits.open_files),
        // Attack: a sparse file of 10 GiB, on a file system of 16 MiB → no file is larger than the
        // larger one of the two file systems.
        ("fsize", limits.disk_bytes.max(SHARED_MEMORY_BYTES)),
        // Attack: a core dump that is larger than the other limits allow → there is none.
        ("core", 0),
        ("cpu", cpu),
    ];
    // Attack: signals to init without end, so that the host's waits behind them → few can wait.
    let signals = keeps_output_files.then_some(("sigpending", MAX_PENDING_SIGNALS));
    let ulimit = |(name, value): (&str, u64)| ResourcesUlimits {
        name: Some(name.to_owned()),
        soft: Some(signed(value)),
        hard: Some(signed(value)),
    };
    all.into_iter().chain(signals).map(ulimit).collect()
}

/// The directories that a program can write to. Attack: fill them; create millions of empty files;
/// execute a file there; create a device → size, `nr_inodes`, `noexec`, `nodev`.
fn scratch(limits: &Limits, keeps_output_files: bool) -> HashMap<String, String> {
    let options = |bytes: u64| {
        // One file for each page. gVisor ignores this number: there, the memory limit bounds it.
        let files = (bytes / 4096).clamp(64, 1 << 16);
        format!("rw,noexec,nosuid,nodev,size={bytes},nr_inodes={files},mode=1777")
    };
    let scratch = [("/tmp", limits.disk_bytes), ("/dev/shm", SHARED_MEMORY_BYTES)];
    // Attack: leave more than is taken → as large as what is taken.
    let output = keeps_output_files.then_some((OUTPUT_DIR, MAX_ARTIFACT_BYTES as u64));
    let all = scratch.into_iter().chain(output);
    all.map(|(path, bytes)| (path.to_owned(), options(bytes))).collect()
}

/// Docker's numbers are signed. The bounds of a submission are far below the largest one.
pub(crate) fn signed(number: u64) -> i64 {
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
        let inputs = SpecInputs {
            profile: &SandboxProfile::python("sha256:0123".to_owned()),
            runtime,
            seccomp: "PROFILE",
            user: Some(1_900_000_000),
            memory_bytes: LIMITS.memory_bytes,
            pids: 65,
            labels: [("crucible.owner".to_owned(), "OWNER".to_owned())].into(),
            hostname: "0123456789ab".to_owned(),
        };
        serde_json::to_value(specification(inputs, &LIMITS)).unwrap()
    }

    #[test]
    fn the_whole_specification() {
        insta::assert_json_snapshot!(body("runc"), {
            ".Cmd[3]" => "THE INIT",
            ".HostConfig.Tmpfs" => insta::sorted_redaction(),
        });
    }

    #[test]
    fn a_directory_for_files_is_one_more_mount() {
        let (mut with, without) = (scratch(&LIMITS, true), scratch(&LIMITS, false));
        let options = with.remove(OUTPUT_DIR).unwrap();
        assert_eq!(options, "rw,noexec,nosuid,nodev,size=16777216,nr_inodes=4096,mode=1777");
        assert_eq!(with, without);
    }

    #[test]
    fn another_runtime_changes_the_runtime_alone() {
        let (mut usual, other) = (body("runc"), body("runsc"));
        assert_ne!(usual, other);
        usual["HostConfig"]["Runtime"] = "runsc".into();
        assert_eq!(usual, other);
    }
}
