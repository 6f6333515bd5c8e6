//! Stage 2: a bounded queue with workers, and an engine that ends what it started.
//!
//! * [`TaskQueue`] takes submissions as long as there is room, and gives them to its workers in the
//!   order they came; `table` is where it writes everything down, and an [`Archive`] takes over what
//!   has ended.
//! * [`SubprocessEngine`] runs a program on the host, and takes the whole process group away when
//!   it is over.
//! * [`routes`] is the HTTP API that every later stage keeps.
//!
//! What this stage does not protect: the host. A program still sees, reads and reaches whatever the
//! server can.

mod archive;
mod command;
mod instance;
mod queue;
mod routes;
mod subprocess;
mod suite;
mod table;

pub use archive::{Archive, ArchiveLimits, InMemoryArchive};
pub use command::{CommandError, command_output};
pub use instance::InstanceId;
pub use queue::{QueueOptions, TaskQueue};
pub use routes::{list_query, page_routes, routes};
pub use subprocess::{SubprocessEngine, SubprocessError, diagnose, signal_name};
