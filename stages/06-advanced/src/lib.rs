//! Stage 6: a platform, put together from parts that verify themselves.
//!
//! Read in this order:
//!
//! 1. [`Platform`]: the composition root. Engine, queue, monitor and storage are handed to it, and
//!    everything above talks to it alone;
//! 2. [`StorageService`] and [`InMemoryStorage`]: what has ended, found again;
//! 3. [`EngineChoice`]: which walls, chosen by a person, with no fallback;
//! 4. [`RunscEngine`]: gVisor's sandboxes without Docker, started before they are needed;
//! 5. `config_file`: settings from a TOML file, under the environment and the command line;
//! 6. `health`, `watch` and `routes`: what a running platform finds out about itself, and says;
//! 7. `ending`: its orderly end, and `suite`: what it promises, checked on the live parts.
//!
//! What this stage does not protect: what is stored is gone with the process, and anybody who can
//! reach the server may submit.

mod platform;

mod memory;
mod storage;
mod storage_suite;

mod gvisor;
#[cfg_attr(not(test), expect(dead_code, reason = "the supervisor's half of both directions"))]
#[path = "../protocol/mod.rs"]
mod protocol;

mod args;
mod choice;
mod config_file;

mod health;
mod watch;

mod routes;

mod ending;
mod suite;

pub use args::PlatformArgs;
pub use choice::{ChoiceError, EngineArgs, EngineChoice};
pub use config_file::{ConfigError, configure};
pub use gvisor::{
    PoolStatus, ROOTFS_PIN, RootfsError, RunscEngine, RunscError, RunscOptions, RunscPlatform,
    diagnose_runsc,
};
pub use health::{Component, PlatformStatus, SelfTest};
pub use memory::InMemoryStorage;
pub use platform::{Parts, Platform, PlatformOptions, Queue};
pub use storage::{StorageService, Usage};
