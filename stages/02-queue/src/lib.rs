//! Stage 2: a bounded queue with workers, and an engine that ends what it started.
//!
//! Read in this order:
//!
//! 1. [`TaskQueue`]: accepts submissions while there is room, and runs them on N workers;
//! 2. [`Ledger`]: the state machine of an evaluation, and the only writer of its state; it commits
//!    each change to a [`Journal`] before it is visible, and hands what has ended to an [`Archive`];
//! 3. [`Dispatch`]: hands accepted jobs to workers, which lease and acknowledge them;
//! 4. [`SubprocessEngine`]: runs a program on the host, and kills its whole process group at the end;
//! 5. [`routes`]: the HTTP API that every later stage has, and [`QueueCommand`]: `run` and `test` on the
//!    command line.
//!
//! What this stage does not protect: the host. A program still reads and reaches whatever the server
//! can.

mod archive;
mod blocking;
mod command;
mod commands;
mod component_check;
mod dispatch;
mod evaluation_json;
mod event_data;
mod http_server;
mod instance;
mod journal;
mod ledger;
mod queue;
mod routes;
mod self_test;
mod subprocess;
mod wire;

pub use archive::{
    Archive, ArchiveError, ArchiveLimits, InMemoryArchive, MAX_PAGE_BYTES, UsageMismatch, matches,
};
pub use blocking::{MAX_INLINE_BYTES, off_runtime};
pub use command::{CommandError, command_output};
pub use commands::QueueCommand;
pub use component_check::{Check, check, self_test};
pub use dispatch::{Dispatch, DispatchError, FirstCome, InMemoryDispatch, Lease, Order};
pub use evaluation_json::{UNAVAILABLE_RETRY_SECONDS, evaluation_response, page_response};
pub use event_data::{EndedData, ProgressData, QueuedData, StartedData, WorkerData};
pub use http_server::{TrackedStream, accept, accept_over, client_network, serve};
pub use instance::InstanceId;
pub use journal::{Accepted, Change, InMemoryJournal, Journal, JournalError, Retried, Transition};
pub use ledger::{Assignment, Ledger, LedgerParts, LedgerStats, Resumed, queued};
pub use queue::{QueueOptions, QueueParts, TaskQueue};
pub use routes::{index_routes, list_query, preferred_wait, routes};
pub use self_test::ScratchQueue;
pub use subprocess::{HostArgs, SubprocessEngine, SubprocessError, diagnose, signal_name};
pub use wire::{malformed, parse_submission, submission_from_value};
