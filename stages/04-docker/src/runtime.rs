//! What differs between the OCI runtimes that Docker can start a container with.

use bollard::models::SystemInfo;
use shared::{BoxFuture, Limits};

use crate::cgroup::CgroupStats;
use crate::error_chain::BoxError;
use crate::isolation_check::{self, IsolationCheck};

/// An OCI runtime, and what the engine has to know about it.
#[derive(Debug, Clone, Copy)]
pub struct Runtime {
    /// The engine's name in every evaluation.
    pub engine: &'static str,
    /// The runtime's name in Docker's configuration.
    pub name: &'static str,
    /// Reads the runtime's version.
    pub version: fn(SystemInfo) -> BoxFuture<'static, Result<String, BoxError>>,
    /// Host memory limit for a program within these limits: the runtime may need some beside it.
    pub host_memory_limit: fn(&Limits) -> u64,
    /// How much memory the program and the runtime may use at a moment with these counters, if that is
    /// less than the host's limit.
    pub allowed_memory: Option<fn(&Limits, &CgroupStats) -> u64>,
    /// Host pids limit for a program that is allowed n processes.
    pub host_pids_limit: fn(u64) -> u64,
    /// Whether the host counts exactly the program's processes, and not the runtime's as well.
    pub counts_guest_pids: bool,
    /// Whether init is root inside, which needs a runtime whose root is no user of the host. Otherwise
    /// it is the program's user, and the kernel protects the first process of a container.
    pub root_init: bool,
    /// The signal with which init is asked to end the program.
    pub end_signal: &'static str,
    /// Verifies from outside that the runtime isolates a running container.
    pub verify: IsolationCheck,
}

/// Docker's default runtime: isolated processes on the host's own kernel.
pub const RUNC: Runtime = Runtime {
    engine: "docker",
    name: "runc",
    version: |info| {
        let version = info.runc_commit.and_then(|commit| commit.id).unwrap_or_default();
        Box::pin(async { Ok(version) })
    },
    host_memory_limit: |limits| limits.memory_bytes,
    allowed_memory: None,
    host_pids_limit: |pids| pids + 1, // init
    counts_guest_pids: true,
    root_init: false,
    // Attack: flood init with this signal, so that the host's is dropped → a real-time signal, which is one of
    // many in a short line, and is sent again (`spec`, `run`).
    end_signal: "SIGRTMIN",
    verify: isolation_check::verify_runc,
};
