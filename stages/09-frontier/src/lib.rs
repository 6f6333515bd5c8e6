//! Stage 9: nothing that was accepted is lost, and every client is known.
//!
//! Read in this order:
//!
//! 1. [`store`]: one SQLite file with one writer, which commits what has gathered in one transaction;
//! 2. [`event_log`]: its events, numbered on across restarts;
//! 3. [`files`]: large outputs, as files beside it;
//! 4. [`journal`]: each change of an evaluation, with its events in one transaction;
//! 5. [`storage`]: what has ended, found by filters, and deleted when it is too much;
//! 6. `recovery`: what a server finds that was killed before;
//! 7. `components`: the platform of stage 6 with other components: what changes is listed there;
//! 8. [`accounts`]: keys, the layer that knows each client, and what one key sees; [`limits`] and
//!    [`audit`] belong to it;
//! 9. [`batches`] and [`idempotency`]: what a submitter may say beside the program; [`tls`];
//! 10. `overlay`: what this stage adds to the contract;
//! 11. `args`, `commands` and `security_test`: the command line.
//!
//! What this stage does not protect: the machine that it runs on is one machine, and so is its disk.

pub mod accounts;
pub mod audit;
pub mod batches;
pub mod idempotency;
pub mod limits;
pub mod store;
pub mod tls;

pub mod event_log;
pub mod files;

pub mod journal;
mod rows;
pub mod storage;

mod recovery;

mod failpoint;
mod time;

mod components;

mod args;
mod commands;
mod overlay;
mod security_test;

pub use args::{FrontierArgs, StorageArgs, StorageKind};
pub use commands::FrontierCommand;
pub use components::Frontier;
pub use event_log::SqliteEventLog;
pub use failpoint::{FAILPOINTS, read_failpoints};
pub use files::FileStorage;
pub use journal::SqliteJournal;
pub use overlay::contract;
pub use storage::{Retention, SqliteStorage};
pub use store::{DataDir, Store, StoreError};
