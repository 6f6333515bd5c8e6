//! A deployment, rehearsed on this machine: `just deploy-local` in its short form, with the debug build.

use std::process::Command;

use infrastructure_checks::{infrastructure, text, workspace};

#[test]
fn a_worker_is_deployed_drains_and_leaves_nothing() {
    let binary = workspace().join("target/debug/stage-10-frontier-events");
    assert!(binary.exists(), "cargo build -p stage-10-frontier-events");
    let mut script = Command::new("bash");
    script.arg(infrastructure().join("rehearsal/rehearse.sh")).arg("--short");
    let printed = text(script.env("CRUCIBLE_BINARY", binary)).unwrap();
    let said: Vec<_> =
        printed.lines().filter_map(|line| line.strip_prefix("rehearsal: ")).collect();
    for (line, wanted) in said.iter().zip([
        "a machine whose runsc does nothing takes no work: ",
        "user data proved gVisor, and the worker runs a program in it for the API",
        "a spot notice drains the worker: ",
        "no process, mount, control group or file is left",
    ]) {
        assert!(line.starts_with(wanted), "{printed}");
    }
    assert_eq!(said.len(), 4, "{printed}");
}
