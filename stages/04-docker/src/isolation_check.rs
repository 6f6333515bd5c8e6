//! Verifies the isolation of a running container from outside.
//!
//! The rule it keeps: isolation is verified, not assumed. What a program prints inside proves nothing;
//! what the kernel reports about its process does.

use std::collections::BTreeMap;
use std::path::PathBuf;

use shared::BoxFuture;
use shared::Hint;

use crate::cgroup::CgroupError;
use crate::daemon::DaemonError;
use crate::error_chain::BoxError;
use crate::outcome::Stop;

/// A running container, as seen from outside when a program in it has just ended.
#[derive(Debug, Clone)]
pub struct ContainerSnapshot {
    /// The container's id.
    pub id: String,
    /// The process id of its first process on the host.
    pub pid: i64,
    /// What is known of its runtime, with the source of that knowledge.
    pub evidence: String,
    /// The kernel version that the program inside printed. It can disprove the isolation, and never
    /// prove it.
    pub kernel_inside: String,
}

/// Verifies the isolation of a container, and reports what was found.
pub type IsolationCheck =
    fn(ContainerSnapshot) -> BoxFuture<'static, Result<String, IsolationError>>;

/// Why the isolation of a container was not verified.
#[derive(Debug, thiserror::Error)]
pub enum IsolationError {
    /// The container differs from its specification.
    #[error("{found}")]
    Mismatch {
        /// What was found, and what is required.
        found: String,
        /// What the operator can do about it.
        hint: Option<&'static str>,
    },
    /// What the kernel reports about a process cannot be read.
    #[error("cannot read {}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// The system's error.
        source: std::io::Error,
    },
    /// The program in the container did not exit with 0.
    #[error("the first program did not exit with 0 ({stop}): {stderr}")]
    ProgramFailed {
        /// How it ended.
        stop: Stop,
        /// Its standard error.
        stderr: String,
    },
    /// The run was cancelled, although the engine does not cancel its own programs.
    #[error("internal error: cancelled without a request")]
    Cancelled,
    /// A call to Docker failed.
    #[error(transparent)]
    Daemon(#[from] DaemonError),
    /// The container's cgroup was not found.
    #[error(transparent)]
    Cgroup(#[from] CgroupError),
    /// A check of the runtime's own failed.
    #[error(transparent)]
    Runtime(BoxError),
}

impl IsolationError {
    /// A container differs from its specification.
    pub fn mismatch(found: impl Into<String>) -> Self {
        Self::Mismatch { found: found.into(), hint: None }
    }
}

impl Hint for IsolationError {
    fn hint(&self) -> Option<&'static str> {
        match self {
            Self::Mismatch { hint, .. } => *hint,
            Self::Daemon(error) => error.hint(),
            Self::Cgroup(error) => error.hint(),
            Self::Read { .. } => Some("run this as a user that can read /proc of the containers"),
            Self::ProgramFailed { .. } | Self::Cancelled | Self::Runtime(_) => None,
        }
    }
}

// ANCHOR: verify
/// Verifies that a container under runc is what its specification requires, by the state of its
/// process.
pub(crate) fn verify_runc(
    container: ContainerSnapshot,
) -> BoxFuture<'static, Result<String, IsolationError>> {
    Box::pin(async move {
        let status = read_status(container.pid).await?;
        check_status(&status)?;
        Ok(format!(
            "from outside: {}, a user of its own, no capability, no new privileges, seccomp filter in force",
            container.evidence
        ))
    })
}

async fn read_status(pid: i64) -> Result<String, IsolationError> {
    let path = PathBuf::from(format!("/proc/{pid}/status"));
    let status = tokio::fs::read_to_string(&path).await;
    status.map_err(|source| IsolationError::Read { path, source })
}

/// Checks that a process runs as this host user and group.
pub(crate) async fn check_user(pid: i64, user: u32) -> Result<(), IsolationError> {
    check_user_of(&read_status(pid).await?, user)
}

fn check_user_of(status: &str, user: u32) -> Result<(), IsolationError> {
    let all = format!("{user}\t{user}\t{user}\t{user}");
    for field in ["Uid:\t", "Gid:\t"] {
        let found = status.lines().find_map(|line| line.strip_prefix(field)).unwrap_or("missing");
        if found != all {
            let found = format!("a container has another user than its own: {field}{found}");
            return Err(IsolationError::mismatch(found));
        }
    }
    Ok(())
}

/// Checks the `status` of a container's process.
fn check_status(status: &str) -> Result<(), IsolationError> {
    let fields: BTreeMap<&str, &str> =
        status.lines().filter_map(|line| line.split_once(":\t")).collect();
    let none = "0000000000000000";
    for (field, expected, violation) in [
        ("CapPrm", none, "permitted capabilities"),
        ("CapEff", none, "effective capabilities"),
        ("CapBnd", none, "capabilities in its bounding set"),
        ("NoNewPrivs", "1", "no protection from new privileges"),
        ("Seccomp", "2", "no seccomp filter"),
    ] {
        let value = fields.get(field).copied().unwrap_or("missing").trim();
        if value != expected {
            return Err(IsolationError::Mismatch {
                found: format!(
                    "a container has {violation}: {field} is {value:?}, not {expected:?}"
                ),
                hint: Some("see which security options dockerd was started with"),
            });
        }
    }
    Ok(())
}
// ANCHOR_END: verify

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: &str = "Name:\tpython3\nUid:\t65534\t65534\t65534\t65534\n\
        Gid:\t65534\t65534\t65534\t65534\nCapPrm:\t0000000000000000\n\
        CapEff:\t0000000000000000\nCapBnd:\t0000000000000000\nNoNewPrivs:\t1\nSeccomp:\t2\n";

    #[test]
    fn every_missing_control_is_found() {
        check_status(GOOD).unwrap();
        check_user_of(GOOD, 65534).unwrap();
        check_user_of(GOOD, 1000).unwrap_err();
        check_user_of(&GOOD.replace("Gid:\t65534\t65534", "Gid:\t65534\t0"), 65534).unwrap_err();
        for (good, bad) in [
            ("CapEff:\t0000", "CapEff:\t0001"),
            ("CapBnd:\t0000", "CapBnd:\t0001"),
            ("NoNewPrivs:\t1", "NoNewPrivs:\t0"),
            ("Seccomp:\t2", "Seccomp:\t0"),
            ("Seccomp:\t2\n", ""),
        ] {
            check_status(&GOOD.replace(good, bad)).unwrap_err();
        }
    }
}
