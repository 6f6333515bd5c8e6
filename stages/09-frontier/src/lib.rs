//! Stage 9.

pub mod accounts;
pub mod audit;
pub mod limits;
pub mod store;

mod failpoint;

mod components;

mod args;
mod commands;
mod overlay;

pub use args::{FrontierArgs, StorageArgs, StorageKind};
pub use commands::FrontierCommand;
pub use components::Frontier;
pub use failpoint::{FAILPOINTS, read_failpoints};
pub use overlay::contract;
pub use store::{DataDir, Store, StoreError};
