//! Stage 9: nothing that was accepted is lost, and every client is known.
//!
//! Read in this order:
//!
//! 1. [`store`]: one SQLite file with one writer, which commits what has gathered in one transaction;
//! 2. `components`: the platform of stage 6 with other components: what changes is listed there;
//! 3. [`accounts`]: keys, the layer that knows each client, and what one key sees; [`limits`] and
//!    [`audit`] belong to it;
//! 4. [`batches`] and [`idempotency`]: what a submitter may say beside the program;
//! 5. `overlay`: what this stage adds to the contract;
//! 6. `args` and `commands`: the command line.
//!
//! What this stage does not protect: the machine that it runs on is one machine, and so is its disk.

pub mod accounts;
pub mod audit;
pub mod batches;
pub mod idempotency;
pub mod limits;
pub mod store;
pub mod tls;

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
