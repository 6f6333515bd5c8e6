//! Stage 9: nothing that was accepted is lost, and every client is known.
//!
//! Read in this order:
//!
//! 1. `store`: one SQLite file with one writer, which commits what has gathered in one transaction;
//! 2. `event_log`: its events, numbered on across restarts;
//! 3. `files`: large outputs, as files beside it;
//! 4. `journal`: each change of an evaluation, with its events in one transaction;
//! 5. `storage`: what has ended, found by filters, and deleted when it is too much;
//! 6. `recovery`: what a server finds that was killed before;
//! 7. `components`: the platform of stage 6 with other components: what changes is listed there;
//! 8. `accounts`: keys, the layer that knows each client, and what one key sees; `limits` and
//!    `audit` belong to it;
//! 9. `batches` and `idempotency`: what a submitter may say beside the program; `comparisons` and
//!    `verifications`: two programs that belong together; `tls`;
//! 10. `artifacts`: the files that programs have left;
//! 11. `environments`: what a submission may choose to run in;
//! 12. `sandboxes`: sandboxes that a client comes back to;
//! 13. `metrics` and `web`: what is counted of all that, and the pages that a person sees;
//! 14. `overlay`: what this stage adds to the contract;
//! 15. `args`, `commands`, `security_test` and `mcp`: the command line.
//!
//! What this stage does not protect: the machine that it runs on is one machine, and so is its disk.

mod accounts;
mod artifacts;
mod audit;
mod batches;
mod comparisons;
mod environments;
mod idempotency;
mod limits;
mod metrics;
mod sandboxes;
mod store;
mod tls;
mod verifications;

mod event_log;
mod files;

mod journal;
mod rows;
mod storage;

mod recovery;

mod failpoint;
mod time;

mod components;

mod args;
mod commands;
mod mcp;
mod other_routes;
mod overlay;
mod security_test;

mod web;

pub use accounts::{
    Access, Accounts, Administration, ApiKey, Credential, KeyDigest, Keys, NoRandomness, Owners,
    Scope, Scopes, credential, insufficient, required, unauthorized,
};
pub use args::{FrontierArgs, StorageArgs, StorageKind};
pub use artifacts::Artifacts;
pub use audit::{AuditEntry, AuditLog};
pub use batches::{Claimed, PriorityDispatch, WithOptions, owner_of};
pub use commands::FrontierCommand;
pub use components::{Frontier, InBetween, MakeMonitor, Replaced, Runner};
pub use environments::{EnvCommand, EnvironmentArgs, Selection, environment_routes};
pub use failpoint::{FAILPOINTS, read_failpoints};
pub use idempotency::parse as parse_idempotency_key;
pub use metrics::MoreMetrics;
pub use other_routes::other_routes;
pub use overlay::{contract, overlays};
pub use sandboxes::{SandboxArgs, Sandboxes};
pub use security_test::SecurityTests;
pub use storage::{SqliteStorage, Upkeep};
pub use store::{Store, StoreError};
pub use tls::{client_config, system_roots};
pub use web::{WebFile, web_routes};
