//! The containers that a stage has on the machine, as Docker lists them.

use std::process::Command;

/// The ids of the containers of the server process `pid`: those that run, or all.
///
/// Docker lists a container as running when its start has returned, and its program may have written output before
/// that: wait with [`eventually`](crate::eventually) for one that is expected.
pub fn containers_of(pid: u32, running: bool) -> Vec<String> {
    let format = "{{.ID}} {{.Label \"crucible.owner\"}}";
    let mut docker = Command::new("docker");
    docker.args(["ps", "--no-trunc", "--filter", "label=crucible.owner", "--format", format]);
    if !running {
        docker.arg("--all");
    }
    let output = docker.output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let of_pid = |line: &str| {
        let (id, owner) = line.split_once(' ')?;
        (owner.split('.').nth(2)? == pid.to_string()).then(|| id.to_owned())
    };
    String::from_utf8(output.stdout).unwrap().lines().filter_map(of_pid).collect()
}
