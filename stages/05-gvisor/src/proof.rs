//! That gVisor is in force, seen from outside.
//!
//! The rule it keeps: a program can print whatever it likes, so that nothing it prints is a proof.
//! What counts is what Docker says about the container, what the host's kernel says about its
//! process, and what runsc says about its own state. What was read inside is only compared: a kernel
//! that calls itself the host's would contradict.
//!
//! What it does not protect: a host whose root deceives us.

use std::collections::BTreeMap;
use std::path::Path;

use stage_04_docker::ContainerSnapshot;

use crate::runtime;

// ANCHOR: prove
/// Whether a live container runs under gVisor, and what shows it.
pub(crate) async fn prove(witness: ContainerSnapshot) -> Result<String, String> {
    let ContainerSnapshot { id, pid, told, kernel_inside } = witness;
    let process = format!("/proc/{pid}");
    let read = |file: &str| {
        let path = format!("{process}/{file}");
        std::fs::read_to_string(&path).map_err(|error| format!("cannot read {path}: {error}"))
    };
    let root = sandbox_process(&read("cmdline")?, &id)?;
    own_walls(&read("status")?)?;
    let binary = match std::fs::read_link(format!("{process}/exe")) {
        Ok(path) => path,
        Err(error) => return without_root(&error, &told, &kernel_inside),
    };
    let state = runtime::ask(&binary, &["--root", &root, "state", &id]).await?;
    if !state.contains("\"status\": \"running\"") || !state.contains(&format!("\"pid\": {pid}")) {
        return Err(format!("runsc does not say that it runs {id} as {pid}, but: {state}"));
    }
    kernels_differ(&kernel_inside)?;
    Ok(format!(
        "from outside: {told}, process {pid} is {}'s sandbox of this container, \
         under a filter of its own, and runsc's own state says so too; inside: {kernel_inside}",
        binary.display()
    ))
}
// ANCHOR_END: prove

/// Runsc's state and the path of a process of another user's are root's to read. What the process is
/// can be seen without.
fn without_root(error: &std::io::Error, told: &str, kernel_inside: &str) -> Result<String, String> {
    if rustix::process::geteuid().is_root() {
        return Err(format!("cannot see which program the sandbox is: {error}"));
    }
    kernels_differ(kernel_inside)?;
    Ok(format!(
        "from outside: {told}, and the container's process is a runsc sandbox under \
         a filter of its own (only root can ask runsc itself); inside: {kernel_inside}"
    ))
}

/// Whether a command line is that of runsc's sandbox for `id`. Gives the folder of runsc's state.
fn sandbox_process(command_line: &str, id: &str) -> Result<String, String> {
    let mut words = command_line.split('\0').filter(|word| !word.is_empty());
    let name = words.next().unwrap_or_default();
    let words: Vec<_> = words.collect();
    let boots = words.contains(&"boot") && words.last() == Some(&id);
    let root = words.iter().find_map(|word| word.strip_prefix("--root="));
    match root {
        Some(root) if name == "runsc-sandbox" && boots => Ok(root.to_owned()),
        _ => Err(format!(
            "the container's process is no sandbox of runsc, but {:?}",
            command_line.replace('\0', " ").chars().take(200).collect::<String>()
        )),
    }
}

/// Whether gVisor's own process is walled in: whoever breaks out of the kernel in it stands there.
fn own_walls(status: &str) -> Result<(), String> {
    let fields: BTreeMap<&str, &str> =
        status.lines().filter_map(|line| line.split_once(":\t")).collect();
    for (field, expected) in [("Seccomp", "2"), ("NoNewPrivs", "1")] {
        let seen = fields.get(field).copied().unwrap_or("nothing");
        if seen != expected {
            return Err(format!("gVisor's own process has {field} {seen}, not {expected}"));
        }
    }
    match fields.get("Uid") {
        Some(users) if !users.split('\t').any(|user| user == "0") => Ok(()),
        users => Err(format!("gVisor's own process runs as {users:?}")),
    }
}

fn kernels_differ(kernel_inside: &str) -> Result<(), String> {
    let host = std::fs::read_to_string(Path::new("/proc/version")).unwrap_or_default();
    if kernel_inside.is_empty() || kernel_inside == host.trim() {
        Err(format!("the kernel inside calls itself {kernel_inside:?}, as the host's does"))
    } else {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// With spaces, where a process has zeros.
    const SANDBOX: &str = "runsc-sandbox --root=/run/r --network=none boot --cpu-num 2 abc ";

    #[test]
    fn only_runscs_own_process_for_this_container_counts() {
        let check = |words: &str| sandbox_process(&words.replace(' ', "\0"), "abc");
        assert_eq!(check(SANDBOX), Ok("/run/r".to_owned()));
        for other in [
            SANDBOX.replace(" abc ", " other "),
            SANDBOX.replace("runsc-sandbox", "runsc-gofer"),
            SANDBOX.replace(" boot", ""),
            "/usr/bin/python3 -c runsc-sandbox boot --root=/run/r abc ".to_owned(),
            String::new(),
        ] {
            check(&other).unwrap_err();
        }
    }

    #[test]
    fn a_sandbox_without_walls_of_its_own_is_refused() {
        let good = "Uid:\t65534\t65534\t65534\t65534\nNoNewPrivs:\t1\nSeccomp:\t2\n";
        assert_eq!(own_walls(good), Ok(()));
        for (wall, gone) in [("Seccomp:\t2", "Seccomp:\t0"), ("NoNewPrivs:\t1", ""), ("65534", "0")]
        {
            own_walls(&good.replace(wall, gone)).unwrap_err();
        }
    }

    #[test]
    fn the_hosts_own_kernel_contradicts() {
        let host = std::fs::read_to_string("/proc/version").unwrap();
        kernels_differ(host.trim()).unwrap_err();
        kernels_differ("").unwrap_err();
        kernels_differ("Linux version 4.4.0").unwrap();
    }
}
