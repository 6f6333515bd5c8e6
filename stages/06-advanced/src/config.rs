//! Configuration: flags, environment variables and a TOML file.

mod args;
mod engine_kind;
pub(crate) mod file;

pub use args::PlatformArgs;
pub use engine_kind::{EngineArgs, EngineKind, EngineKindError};
pub use file::{ConfigError, configure, table};
