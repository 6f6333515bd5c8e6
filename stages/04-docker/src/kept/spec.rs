//! The specification of a container that stays.

use std::collections::HashMap;

use bollard::models::{ContainerCreateBody, HostConfig, ResourcesUlimits};

use super::KeptOrder;
use crate::spec::{SHARED_MEMORY_BYTES, isolation, signed};

/// The home of its user, and where executions start.
pub const KEPT_HOME: &str = "/home/agent";
/// Open files of each process.
pub(super) const MAX_OPEN_FILES: u64 = 16_384;
/// The user and the group of the home, where root is the first process.
const HOME_USER: u32 = 1000;
/// What Docker gives the root of a container, without `NET_RAW`; where root is no user of the host.
const ROOT_CAPABILITIES: [&str; 13] = [
    "AUDIT_WRITE",
    "CHOWN",
    "DAC_OVERRIDE",
    "FOWNER",
    "FSETID",
    "KILL",
    "MKNOD",
    "NET_BIND_SERVICE",
    "SETFCAP",
    "SETGID",
    "SETPCAP",
    "SETUID",
    "SYS_CHROOT",
];

/// What a specification needs beside the order.
pub(super) struct Inputs<'a> {
    pub(super) order: &'a KeptOrder<'a>,
    /// The runtime's name in Docker's configuration.
    pub(super) runtime: &'a str,
    /// The seccomp profile as JSON.
    pub(super) seccomp: &'a str,
    /// The host user of this container alone; none where its root is no user of the host.
    pub(super) user: Option<u32>,
    /// Memory limit on the host.
    pub(super) memory_bytes: u64,
    /// Host pids limit.
    pub(super) pids: u64,
    /// The reaper finds the container by these.
    pub(super) labels: HashMap<String, String>,
    /// A host name that reveals nothing about the real one.
    pub(super) hostname: String,
}

// ANCHOR: specification
/// The specification of a container that stays.
pub(super) fn specification(inputs: Inputs<'_>) -> ContainerCreateBody {
    let KeptOrder { image, program: (file, path), cpus, disk_bytes, .. } = *inputs.order;
    ContainerCreateBody {
        image: Some(image.to_owned()),
        entrypoint: Some(vec![path.to_owned()]),
        cmd: Some(vec!["--stdio".to_owned()]),
        // Attack: act as root of the host → on the host's kernel the first process is the container's own user, and so
        // is everything that it starts.
        user: Some(inputs.user.map_or("0:0".to_owned(), |user| format!("{user}:{user}"))),
        working_dir: Some("/".to_owned()),
        env: Some(vec!["PATH".to_owned(), "HOSTNAME".to_owned()]),
        hostname: Some(inputs.hostname.clone()),
        attach_stdin: Some(true),
        attach_stdout: Some(true),
        attach_stderr: Some(true),
        open_stdin: Some(true),
        // When the server is gone its end is closed, and the first process ends.
        stdin_once: Some(true),
        tty: Some(false),
        labels: Some(inputs.labels),
        host_config: Some(HostConfig {
            runtime: Some(inputs.runtime.to_owned()),
            // Attack: replace the first process's file → it cannot be written to.
            binds: Some(vec![format!("{}:{path}:ro", file.display())]),
            ulimits: Some(ulimits(disk_bytes)),
            tmpfs: Some(scratch(disk_bytes, inputs.user.unwrap_or(HOME_USER))),
            pids_limit: Some(signed(inputs.pids)),
            cap_add: inputs.user.is_none().then(|| ROOT_CAPABILITIES.map(str::to_owned).into()),
            memory: Some(signed(inputs.memory_bytes)),
            memory_swap: Some(signed(inputs.memory_bytes)),
            nano_cpus: Some(signed(cpus.saturating_mul(1_000_000_000))),
            extra_hosts: Some(vec![format!("{}:127.0.0.1", inputs.hostname)]),
            ..isolation(inputs.seccomp)
        }),
        ..ContainerCreateBody::default()
    }
}
// ANCHOR_END: specification

fn ulimits(disk_bytes: u64) -> Vec<ResourcesUlimits> {
    let all =
        [("nofile", MAX_OPEN_FILES), ("fsize", disk_bytes.max(SHARED_MEMORY_BYTES)), ("core", 0)];
    let ulimit = |(name, value): (&str, u64)| ResourcesUlimits {
        name: Some(name.to_owned()),
        soft: Some(signed(value)),
        hard: Some(signed(value)),
    };
    all.into_iter().map(ulimit).collect()
}

/// The directories that can be written to. What is in them counts as memory. Attack: fill them; create millions of
/// files; a device, a setuid program → size, `nr_inodes`, `nodev`, `nosuid`.
fn scratch(disk_bytes: u64, user: u32) -> HashMap<String, String> {
    let options = |bytes: u64, more: &str| {
        let files = (bytes / 4096).clamp(64, 1 << 16);
        format!("rw,nosuid,nodev,size={bytes},nr_inodes={files},{more}")
    };
    let home = format!("exec,mode=755,uid={user},gid={user}");
    [
        ("/tmp", options(disk_bytes, "exec,mode=1777")),
        ("/var/tmp", options(disk_bytes, "exec,mode=1777")),
        (KEPT_HOME, options(disk_bytes, &home)),
        ("/dev/shm", options(SHARED_MEMORY_BYTES, "noexec,mode=1777")),
    ]
    .map(|(path, options)| (path.to_owned(), options))
    .into()
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    fn body(user: Option<u32>) -> serde_json::Value {
        let order = KeptOrder {
            image: "IMAGE",
            program: (Path::new("/HOST/FILE"), "/usr/lib/PROGRAM"),
            memory_bytes: 512 << 20,
            cpus: 2,
            pids: 256,
            disk_bytes: 256 << 20,
        };
        let inputs = Inputs {
            order: &order,
            runtime: "RUNTIME",
            seccomp: "PROFILE",
            user,
            memory_bytes: 512 << 20,
            pids: 257,
            labels: HashMap::new(),
            hostname: "NAME".to_owned(),
        };
        serde_json::to_value(specification(inputs)).unwrap()
    }

    #[test]
    fn the_whole_specification_of_a_container_that_stays() {
        insta::assert_json_snapshot!(body(Some(1_900_000_000)), {
            ".HostConfig.Tmpfs" => insta::sorted_redaction(),
        });
        let with_root = body(None);
        assert_eq!(with_root["User"], "0:0");
        assert_eq!(with_root["HostConfig"]["CapAdd"].as_array().unwrap().len(), 13);
    }
}
