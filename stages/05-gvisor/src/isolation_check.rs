//! Verifies from outside that a container runs under gVisor.
//!
//! The rule it keeps: a program can print anything, so nothing that it prints is a proof. What counts
//! is what Docker reports about the container, what the host's kernel reports about its process, and
//! runsc's own state. The kernel version that was read inside is only compared: if it is the host's,
//! gVisor is not in use.
//!
//! What it does not protect: a host whose root user provides wrong information.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use stage_04_docker::{ContainerSnapshot, IsolationError};

use crate::runsc_command::run_runsc;

/// A release of 2023 or later without `--directfs=false`.
const ROOT_KERNEL_HINT: &str =
    "run infrastructure/setup/setup.sh: it adds --directfs=false to Docker's entry of runsc";

// ANCHOR: verify
/// Verifies that a running container is isolated by gVisor, and reports what shows it.
pub(crate) async fn verify(container: ContainerSnapshot) -> Result<String, IsolationError> {
    let ContainerSnapshot { id, pid, evidence, kernel_inside } = container;
    let command_line = read_proc(pid, "cmdline").await?;
    let root = parse_sandbox_command_line(&command_line, &id)?;
    let flags: Vec<&str> = command_line.split('\0').take_while(|arg| *arg != "boot").collect();
    check_flags(&flags)?;
    check_sandbox_status(&read_proc(pid, "status").await?)?;
    let host_kernel = read(PathBuf::from("/proc/version")).await?;
    check_kernels_differ(&kernel_inside, host_kernel.trim())?;
    let exe = PathBuf::from(format!("/proc/{pid}/exe"));
    let binary = match tokio::fs::read_link(&exe).await {
        Ok(binary) => binary,
        Err(source) if rustix::process::geteuid().is_root() => {
            return Err(IsolationError::Read { path: exe, source });
        }
        // Only root can read runsc's state and the program of another user's process.
        Err(_) => {
            return Ok(format!(
                "from outside: {evidence}, and the container's process is a runsc sandbox under a \
                 filter of its own (only root can read runsc's state); inside: {kernel_inside}"
            ));
        }
    };
    check_runsc_state(&binary, &root, &id, pid).await?;
    tracing::debug!(sandbox = id, pid, binary = %binary.display(), "a sandbox of runsc");
    // A client may read this: no path and no process id of the host.
    Ok(format!(
        "from outside: {evidence}, the container's process is a runsc sandbox without a network, \
         under a filter of its own, and runsc's own state confirms it; inside: {kernel_inside}"
    ))
}
// ANCHOR_END: verify

async fn read_proc(pid: i64, file: &str) -> Result<String, IsolationError> {
    read(PathBuf::from(format!("/proc/{pid}/{file}"))).await
}

async fn read(path: PathBuf) -> Result<String, IsolationError> {
    let text = tokio::fs::read_to_string(&path).await;
    text.map_err(|source| IsolationError::Read { path, source })
}

/// Checks that runsc has a running sandbox for `id`, with this process.
async fn check_runsc_state(
    runsc: &Path,
    root: &str,
    id: &str,
    pid: i64,
) -> Result<(), IsolationError> {
    let state = run_runsc(runsc, &["--root", root, "state", id]).await;
    let state = state.map_err(|error| IsolationError::Runtime(error.into()))?;
    let expected = ["\"status\": \"running\"".to_owned(), format!("\"pid\": {pid}")];
    if expected.iter().all(|entry| state.contains(entry)) {
        return Ok(());
    }
    let found = format!("runsc's state does not show container {id} as process {pid}: {state}");
    Err(IsolationError::mismatch(found))
}

/// Checks that a command line is the one of runsc's sandbox for `id`. Returns the directory of runsc's
/// state.
fn parse_sandbox_command_line(command_line: &str, id: &str) -> Result<String, IsolationError> {
    let mut args = command_line.split('\0').filter(|arg| !arg.is_empty());
    let name = args.next().unwrap_or_default();
    let args: Vec<_> = args.collect();
    let is_boot_of_id = args.contains(&"boot") && args.last() == Some(&id);
    let root = args.iter().find_map(|arg| arg.strip_prefix("--root="));
    match root {
        Some(root) if name == "runsc-sandbox" && is_boot_of_id => Ok(root.to_owned()),
        _ => {
            let shown: String = command_line.replace('\0', " ").chars().take(200).collect();
            let found = format!("the container's process is not a sandbox of runsc, but {shown:?}");
            Err(IsolationError::mismatch(found))
        }
    }
}

/// Flags of runsc that weaken a sandbox, with their harmless values.
const WEAKENING_FLAGS: [(&str, &[&str]); 9] = [
    ("allow-flag-override", &["false"]),
    ("fsgofer-host-uds", &["false"]),
    ("host-fifo", &["none"]),
    ("host-uds", &["none"]),
    ("ignore-cgroups", &["false"]),
    ("net-raw", &["false"]),
    ("nvproxy", &["false"]),
    ("rootless", &["false"]),
    ("tpuproxy", &["false"]),
];

// ANCHOR: flags
/// Checks runsc's flags, as `--name=value` or `--name`: of several with one name the last holds, so
/// that finding the right one proves nothing.
pub(crate) fn check_flags<S: AsRef<str>>(flags: &[S]) -> Result<(), IsolationError> {
    let mut in_force = BTreeMap::new();
    for flag in flags {
        if let Some(flag) = flag.as_ref().strip_prefix('-') {
            let flag = flag.strip_prefix('-').unwrap_or(flag);
            let (name, value) = flag.split_once('=').unwrap_or((flag, "true"));
            in_force.insert(name, value);
        }
    }
    let network = in_force.get("network").copied().unwrap_or("sandbox");
    if network != "none" {
        return Err(IsolationError::mismatch(format!(
            "runsc's network is {network:?}, not \"none\""
        )));
    }
    let weakens = |(name, value): (&&str, &&str)| {
        let known = WEAKENING_FLAGS.iter().find(|(known, _)| known == name);
        name.starts_with("TESTONLY") && *value != "false"
            || known.is_some_and(|(_, harmless)| !harmless.contains(value))
    };
    match in_force.iter().find(|&flag| weakens(flag)) {
        Some((name, value)) => {
            let found = format!("runsc has the flag --{name}={value}, which weakens a sandbox");
            Err(IsolationError::mismatch(found))
        }
        None => Ok(()),
    }
}
// ANCHOR_END: flags

/// Checks the isolation of gVisor's own process, which contains an attacker that controls its kernel.
fn check_sandbox_status(status: &str) -> Result<(), IsolationError> {
    let fields: BTreeMap<&str, &str> =
        status.lines().filter_map(|line| line.split_once(":\t")).collect();
    for (field, expected) in [("Seccomp", "2"), ("NoNewPrivs", "1")] {
        let value = fields.get(field).copied().unwrap_or("missing");
        if value != expected {
            let found = format!("gVisor's own process has {field} {value:?}, not {expected:?}");
            return Err(IsolationError::mismatch(found));
        }
    }
    match fields.get("Uid") {
        Some(users) if !users.split('\t').any(|user| user == "0") => Ok(()),
        users => {
            let users = users.copied().unwrap_or("unknown");
            let found = format!("gVisor's own process runs as the users {users:?}");
            Err(IsolationError::Mismatch { found, hint: Some(ROOT_KERNEL_HINT) })
        }
    }
}

fn check_kernels_differ(kernel_inside: &str, host_kernel: &str) -> Result<(), IsolationError> {
    if kernel_inside.is_empty() || kernel_inside == host_kernel {
        let found = format!("the kernel version inside is {kernel_inside:?}, as on the host");
        return Err(IsolationError::mismatch(found));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// With spaces in place of NUL bytes.
    const SANDBOX: &str = "runsc-sandbox --root=/run/r --network=none boot --cpu-num 2 abc ";

    #[test]
    fn only_a_runsc_sandbox_of_this_container_is_accepted() {
        let parse = |words: &str| parse_sandbox_command_line(&words.replace(' ', "\0"), "abc");
        assert_eq!(parse(SANDBOX).unwrap(), "/run/r");
        for other in [
            SANDBOX.replace(" abc ", " other "),
            SANDBOX.replace("runsc-sandbox", "runsc-gofer"),
            SANDBOX.replace(" boot", ""),
            "/usr/bin/python3 -c runsc-sandbox boot --root=/run/r abc ".to_owned(),
            String::new(),
        ] {
            parse(&other).unwrap_err();
        }
    }

    #[test]
    fn the_last_flag_holds_and_none_may_weaken_a_sandbox() {
        let check = |flags: &str| check_flags(&flags.split(' ').collect::<Vec<_>>());
        check("runsc-sandbox --platform=ptrace --network=none --rootless=false").unwrap();
        check("--network=host -network=none").unwrap();
        for flags in [
            "",
            "--platform=ptrace",
            "--network=none --network=host",
            "--network=none -network=sandbox",
            "--network=none --TESTONLY-unsafe-nonroot",
            "--network=none --TESTONLY-unsafe-nonroot=true",
            "--network=none --host-uds=all",
            "--network=none --rootless",
            "--network=none --ignore-cgroups=true",
            "--network=none --allow-flag-override",
        ] {
            check(flags).unwrap_err();
        }
    }

    #[test]
    fn a_sandbox_without_isolation_of_its_own_is_refused() {
        let good = "Uid:\t65534\t65534\t65534\t65534\nNoNewPrivs:\t1\nSeccomp:\t2\n";
        check_sandbox_status(good).unwrap();
        for (control, without) in
            [("Seccomp:\t2", "Seccomp:\t0"), ("NoNewPrivs:\t1", ""), ("65534", "0")]
        {
            check_sandbox_status(&good.replace(control, without)).unwrap_err();
        }
    }

    #[test]
    fn the_hosts_own_kernel_inside_is_refused() {
        let host = "Linux version 6.1.0";
        check_kernels_differ(host, host).unwrap_err();
        check_kernels_differ("", host).unwrap_err();
        check_kernels_differ("Linux version 4.4.0", host).unwrap();
    }
}
