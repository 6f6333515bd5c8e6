//! The walls of a running container, seen from outside.
//!
//! The rule it keeps: isolation is proven, not assumed. What a program prints inside proves nothing;
//! what the kernel says about its process does.

use std::collections::BTreeMap;

use shared::BoxFuture;

use crate::spec::USER;

/// A running container, as seen from outside when a program in it has just ended.
#[derive(Debug, Clone)]
pub struct ContainerSnapshot {
    /// The container's id.
    pub id: String,
    /// The host's number of its first process.
    pub pid: i64,
    /// What was told of its runtime, and by whom.
    pub told: String,
    /// What the program inside said about its kernel: worth something only when it contradicts.
    pub kernel_inside: String,
}

/// Looks at a witness and says what it saw, or what is wrong.
pub type IsolationCheck = fn(ContainerSnapshot) -> BoxFuture<'static, Result<String, String>>;

// ANCHOR: proof
/// Whether a container under runc is what its specification says: by the state of its process.
pub(crate) fn prove_runc(witness: ContainerSnapshot) -> BoxFuture<'static, Result<String, String>> {
    Box::pin(async move {
        let path = format!("/proc/{}/status", witness.pid);
        let status = std::fs::read_to_string(&path)
            .map_err(|error| format!("cannot read {path} to see the walls: {error}"))?;
        check(&status)?;
        Ok(format!(
            "from outside: {}, user {USER}, no capability, no new privileges, seccomp \
             filter in force",
            witness.told
        ))
    })
}

/// Checks the `status` of a process under all walls.
fn check(status: &str) -> Result<(), String> {
    let fields: BTreeMap<&str, &str> =
        status.lines().filter_map(|line| line.split_once(":\t")).collect();
    let user = format!("{USER}\t{USER}\t{USER}\t{USER}");
    let none = "0000000000000000";
    for (field, expected, wall) in [
        ("Uid", user.as_str(), "another user than nobody"),
        ("Gid", user.as_str(), "another group than nobody"),
        ("CapPrm", none, "capabilities"),
        ("CapEff", none, "capabilities in force"),
        ("CapBnd", none, "capabilities to be had"),
        ("NoNewPrivs", "1", "new privileges"),
        ("Seccomp", "2", "no seccomp filter"),
    ] {
        let seen = fields.get(field).copied().unwrap_or("nothing").trim();
        if seen != expected {
            return Err(format!(
                "a sandbox has {wall}: {field} is {seen:?}, not {expected:?}\n  hint: see which \
                 security options dockerd was started with"
            ));
        }
    }
    Ok(())
}
// ANCHOR_END: proof

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: &str = "Name:\tpython3\nUid:\t65534\t65534\t65534\t65534\n\
        Gid:\t65534\t65534\t65534\t65534\nCapPrm:\t0000000000000000\n\
        CapEff:\t0000000000000000\nCapBnd:\t0000000000000000\nNoNewPrivs:\t1\nSeccomp:\t2\n";

    #[test]
    fn every_wall_that_is_missing_is_seen() {
        assert_eq!(check(GOOD), Ok(()));
        for (good, bad) in [
            ("Uid:\t65534", "Uid:\t0"),
            ("CapEff:\t0000", "CapEff:\t0001"),
            ("CapBnd:\t0000", "CapBnd:\t0001"),
            ("NoNewPrivs:\t1", "NoNewPrivs:\t0"),
            ("Seccomp:\t2", "Seccomp:\t0"),
            ("Seccomp:\t2\n", ""),
        ] {
            check(&GOOD.replace(good, bad)).unwrap_err();
        }
    }
}
