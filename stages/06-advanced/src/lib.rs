//! Stage 6: a platform, composed of components that verify themselves.
//!
//! Read in this order:
//!
//! 1. [`Platform`]: the composition root. Engine, queue, monitor and storage are handed to it, and
//!    everything above uses it alone; [`Health`] runs their self tests;
//! 2. [`StorageService`] and [`InMemoryStorage`]: what has ended, stored within bounds;
//! 3. `config`: flags, a TOML file, and [`EngineKind`], which the operator selects, with no fallback;
//!    [`Environment`] is what a later stage lets a submission choose;
//! 4. `engine_host`: what drives the sandboxes and what speaks HTTP are two processes;
//! 5. [`RunscEngine`]: gVisor's sandboxes without Docker, started before they are needed;
//! 6. [`SandboxEngine`]: sandboxes that stay, for a later stage that serves them;
//! 7. [`SandboxChannel`]: many executions in one of those.
//!
//! What this stage does not protect: what is stored is lost at the end of the process, and every client
//! that reaches the server may submit.

mod platform;

mod storage;

mod config;

mod environment;

mod docker;

mod engine_host;

mod sandboxes;

mod gvisor;

mod sandbox_channel;

#[cfg_attr(not(test), expect(dead_code, reason = "the supervisor's half of both directions"))]
#[path = "../exec_protocol/mod.rs"]
mod exec_protocol;
#[path = "../frame_codec.rs"]
mod frame_codec;
#[cfg_attr(not(test), expect(dead_code, reason = "the supervisor's half of both directions"))]
#[path = "../protocol/mod.rs"]
mod protocol;

pub use config::{
    ConfigError, EngineArgs, EngineKind, EngineKindError, PlatformArgs, configure, table,
};
pub use engine_host::{
    ApiSocket, ApiUser, EngineHost, EngineHostArgs, FrameError, HostError, LaunchError,
    MAX_EXTRA_RUNS, PrivilegeError, RemoteEngine, RemoteEngineError, WarmSandboxes, before_serve,
    remote_engine,
};
pub use environment::{Environment, EnvironmentUses, Profiles};
pub use gvisor::{
    PoolStatus, ROOTFS_PIN, RootfsError, RunscEngine, RunscError, RunscOptions, RunscPlatform,
    diagnose_runsc, write_manifest,
};
pub use platform::{
    ComponentHealth, Components, Health, Platform, PlatformOptions, PlatformStatus, Queue,
    ScratchError, ScratchPlatform, SelfTestRun, SelfTestStatus, filtered_query,
};
pub use sandbox_channel::{
    ChannelError, EXEC_SUPERVISOR, Execution, ExecutionControl, ExecutionEvent, ExecutionExit,
    ExecutionInput, FileError, FileErrorKind, FileTool, InputError, SandboxChannel, SandboxCommand,
    SandboxDefaults, StartError, StartFailed, StartFailedKind, errno_name,
};
pub use sandboxes::{
    AGENT_HOME, AGENT_ID, AGENT_USER, EndReason, KeptSandboxes, MemoryOverhead, OpenError,
    SANDBOX_BASELINE, SANDBOX_PATH, SandboxBounds, SandboxEngine, SandboxEnvironment,
    SandboxLimits, SandboxOrder, SandboxSupport, SharedSandboxEngine,
};
pub use storage::{InMemoryStorage, StorageService, StorageUsage, storage_suite};
