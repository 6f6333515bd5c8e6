//! Sandboxes that stay: opened for a client, used for many executions, removed at their end.
//!
//! `/eval` starts one program in a sandbox and removes it. An agent comes back: it executes, writes a file, starts
//! a server, executes again. Such a sandbox is *kept*. This module is what all engines have in common; what is
//! executed in one goes over its socket and not through the engine:
//!
//! ```text
//! API process ── open, remove ──▶ engine host ── creates, feeds nothing ──▶ sandbox: exec supervisor, PID 1
//!      ▲                               │ the host's end of its socket (SCM_RIGHTS)      │
//!      └───────────────────────────────┘◀─────────────── frames of executions ──────────┘
//! ```
//!
//! The root process reads and writes none of those frames: it hands the socket on. The API process treats each as
//! an attacker's, because a program that becomes root inside can replace the exec supervisor.
//!
//! 1. [`SandboxEngine`]: opens and removes;
//! 2. [`SandboxBounds`]: what the operator allows, which the engine host enforces again;
//! 3. [`KeptSandboxes`]: how the engine that was started is reached.

mod bounds;
mod ends;
mod registry;
mod slot;

use std::sync::Arc;

use serde::{Deserialize, Serialize};
use shared::{BoxFuture, SandboxInfo};
use tokio::net::UnixStream;
use uuid::Uuid;

pub use bounds::SandboxBounds;
pub(crate) use ends::Ends;
pub(crate) use registry::{OpenSandbox, Opened, Opener, Registry, wait_for_frame};
pub use slot::KeptSandboxes;

/// The user that an execution runs as when its request names none.
pub const AGENT_USER: &str = "agent";
/// The id of [`AGENT_USER`], and of its group.
pub const AGENT_ID: u32 = 1000;
/// The home of [`AGENT_USER`], and where its executions start.
pub const AGENT_HOME: &str = "/home/agent";
/// The list of the files that a kept sandbox was started with: what a difference is from.
pub const SANDBOX_BASELINE: &str = "/usr/lib/crucible/baseline";
/// Where the programs of a kept sandbox are found.
pub const SANDBOX_PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

// ANCHOR: engine
/// Opens and removes kept sandboxes.
pub trait SandboxEngine: Send + Sync {
    /// What can be opened.
    fn support(&self) -> SandboxSupport;

    /// Opens a sandbox. The socket is the host's end of the exec supervisor's, of which nothing was read: its first
    /// frame is the supervisor's greeting.
    ///
    /// Cancel safe: when the future is dropped, what it has started is removed. A sandbox that is dropped by closing
    /// its socket ends itself, and still has to be removed.
    fn open(&self, order: SandboxOrder) -> BoxFuture<'_, Result<UnixStream, OpenError>>;

    /// Removes a sandbox: when this returns, nothing of it is left on the machine. One that does not exist is removed
    /// already.
    fn remove(&self, id: Uuid) -> BoxFuture<'_, ()>;

    /// Waits for the end of a sandbox, and returns its reason. Of one that was never opened, or that was removed a
    /// while ago, that is [`EndReason::Removed`].
    fn ended(&self, id: Uuid) -> BoxFuture<'_, EndReason>;
}
// ANCHOR_END: engine

/// A sandbox to open.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SandboxOrder {
    /// Its id, which no other one has had.
    pub id: Uuid,
    /// The name of its environment.
    pub environment: String,
    /// Its limits.
    pub limits: SandboxLimits,
}

/// The limits of a kept sandbox. Always numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SandboxLimits {
    /// Memory of all its processes and of what it has written to its root file system, in bytes. More ends it.
    pub memory_bytes: u64,
    /// Processors.
    pub cpus: u32,
    /// Processes and threads.
    pub pids: u64,
    /// The size of `/tmp`, of `/var/tmp`, and of the largest file, in bytes. What is in them counts as memory too.
    pub disk_bytes: u64,
}

/// What an engine can open.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SandboxSupport {
    /// What isolates them.
    pub sandbox: SandboxInfo,
    /// How many there can be at one moment.
    pub max_sandboxes: usize,
    /// How long one can exist, in seconds, whatever its client says.
    pub max_lifetime_seconds: u64,
    /// The environments that can be kept, by their names.
    pub environments: Vec<SandboxEnvironment>,
    /// What each of them may use beside its limit of memory.
    pub overhead: MemoryOverhead,
}

/// Memory of the machine that one sandbox may use above its limit, at most: of the kernel that is its own, and for each
/// process that it may have, up to a number of them. A program that has few processes can use most of it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MemoryOverhead {
    /// Without a program.
    pub base_bytes: u64,
    /// For each process.
    pub process_bytes: u64,
    /// The number of processes that count.
    pub max_processes: u64,
}

impl SandboxSupport {
    /// The most memory of the machine that a sandbox with these limits can use: what an operator has to reckon with.
    pub fn reserved_bytes(&self, limits: &SandboxLimits) -> u64 {
        let MemoryOverhead { base_bytes, process_bytes, max_processes } = self.overhead;
        let processes = process_bytes.saturating_mul(limits.pids.min(max_processes));
        limits.memory_bytes.saturating_add(base_bytes).saturating_add(processes)
    }

    /// The environment of this name.
    pub fn environment(&self, name: &str) -> Option<&SandboxEnvironment> {
        self.environments.iter().find(|environment| environment.name == name)
    }
}

/// An environment that sandboxes are opened of.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SandboxEnvironment {
    /// Its name.
    pub name: String,
    /// The digest of its files.
    pub digest: String,
    /// The user of an execution that names none.
    pub user: String,
    /// The home of that user, and the directory of an execution that names none.
    pub workdir: String,
    /// Variables of every execution that does not set them: `PATH` among them.
    pub variables: Vec<(String, String)>,
    /// Whether an execution can be root's. With a kernel that is the host's own it cannot.
    pub has_root: bool,
    /// Whether all of the root file system can be written to. Otherwise that is `/tmp`, `/var/tmp` and the home, and there
    /// is no list of what has changed.
    pub has_writable_root: bool,
    /// Limits of a sandbox whose client names none.
    pub default: SandboxLimits,
    /// The highest limits.
    pub max: SandboxLimits,
}

/// Why a sandbox was not opened.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub enum OpenError {
    /// There are as many as there can be.
    #[error("{max} sandboxes are open, which is the most at one moment")]
    Full {
        /// As many.
        max: usize,
    },
    /// There is no such environment.
    #[error("there is no environment {name}")]
    UnknownEnvironment {
        /// The name.
        name: String,
    },
    /// The environment is for evaluations alone.
    #[error("the environment {name} is not for sandboxes that stay")]
    NotForSandboxes {
        /// The name.
        name: String,
    },
    /// A limit is 0, or above the highest.
    #[error("the limit {name} must be between 1 and {max}")]
    Limit {
        /// The name of the limit.
        name: String,
        /// The highest.
        max: u64,
    },
    /// A sandbox has this id.
    #[error("the id of another sandbox")]
    IdInUse {},
    /// It did not start.
    #[error("the sandbox did not start: {reason}")]
    Failed {
        /// Why, without anything of the host.
        reason: String,
    },
    /// The engine is closing, or its process is gone.
    #[error("the engine is closed")]
    Closed {},
}

/// Why a sandbox has ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum EndReason {
    /// It was removed.
    Removed,
    /// It used more memory than its limit.
    MemoryExceeded,
    /// Its first process has ended, or gVisor's kernel has.
    SandboxEnded,
    /// It has existed as long as any sandbox may.
    LifetimeExceeded,
    /// The engine was closed, or its process is gone.
    EngineClosed,
}

/// An engine that opens kept sandboxes.
pub type SharedSandboxEngine = Arc<dyn SandboxEngine>;
