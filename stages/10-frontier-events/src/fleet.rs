//! The fleet: workers on other machines, as the API sees them.
//!
//! ```text
//! TaskQueue ── push ──▶ BrokerDispatch ─ offers, in the order of PriorityDispatch ─▶ publisher ─▶ broker
//!     ▲                       ▲                                                                    │ ticket
//!     │ lease                 │ claim (HTTP)                                                       ▼
//!     └───────────────────────┴──────────────────────────────────────────────────────────────── worker
//!     │ evaluate                                                                                   │
//!     └─▶ FleetEngine ◀── session: output, files, result, with the fencing token (HTTP) ───────────┘
//! ```
//!
//! 1. `wire`: what a worker and the API say to each other;
//! 2. `session`: one claimed evaluation, its fencing token and its lease;
//! 3. [`Fleet`]: the workers, their sessions, and what they may claim; `claims` and `members` are its two halves;
//! 4. `publisher`: tickets for what waits, published again when no worker claims them;
//! 5. [`BrokerDispatch`] and [`FleetEngine`]: the fleet as a dispatch and as an engine of the queue below;
//! 6. `routes`: the protocol over HTTP; `status`: the fleet for people; `events`: the events of workers;
//! 7. `local`: a worker in the process of the API;
//! 8. `suite`: how the fleet verifies itself.
//!
//! The API's storage is the truth. A ticket says only that something waits, so that the broker may lose all of
//! them, deliver them twice, or deliver them late.
//!
//! | attack or failure | setting | test |
//! |---|---|---|
//! | a worker that was cut off reports when another one has the evaluation | each claim has a token of its own, and a token that is not the session's is refused with 410 | `a_token_is_refused_after_its_lease` |
//! | a key of a worker reports for another worker | a token counts with the worker and the key that made the claim | `a_session_belongs_to_its_worker_and_its_key` |
//! | a worker claims or reports what another one has claimed | the same; a claim of what runs is refused | `what_another_worker_has_claimed_is_not_touched` |
//! | a key of a worker is stolen, and revoked | its requests are refused, and its sessions end with their leases | `a_session_is_of_one_key_and_ends_when_that_is_revoked` |
//! | a worker sends output without end, each time as a sign of life | the buffer has the limit of the program, and the queue ends the session a minute after its time | `endless_output_is_cut_off_and_ends` |
//! | a worker sends files without end | they are counted, in number and bytes | `endless_files_are_refused` |
//! | a worker says that it has 2^60 bytes above the limit | the count is cut off at `MAX_EXCESS_BYTES` | `excess_is_counted_within_bounds` |
//! | a worker without isolation joins | the operator of the API says which engine workers have (`--engine`) | `a_worker_with_another_engine_is_refused` |
//! | a worker takes everything and runs nothing | it has at most as many sessions as its capacity, each with a lease | `a_worker_has_no_more_sessions_than_its_capacity` |
//!
//! | a worker says that a program took a year of processor time, so that its key may run nothing more today | no more is believed than the program may use | `processor_time_is_counted_within_bounds` |
//! | a worker loses its isolation | it takes no tickets, and `security.violation` says so | `a_worker_whose_engine_fails_gets_no_tickets` |
//!
//! What it does not protect: a worker sees the programs and files of the evaluations that it claims, and can forge
//! their results. A key of workers can announce as many of them as a fleet may have, and leave no place for others.

mod args;
mod claims;
mod dispatch;
mod engine;
mod events;
mod local;
mod members;
mod publisher;
mod routes;
mod session;
mod setup;
mod state;
mod status;
mod suite;
pub(crate) mod wire;

#[cfg(test)]
mod tests;

pub use args::engine_name;
pub use args::{FleetArgs, Role};
pub(crate) use args::{RoleError, machine_name};
use dispatch::BrokerDispatch;
pub use engine::FleetEngine;
pub use routes::fleet_routes;
pub(crate) use setup::runner;
pub use state::Fleet;
use state::FleetOptions;
