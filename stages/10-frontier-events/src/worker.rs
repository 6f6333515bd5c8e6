//! The role `worker`: runs programs for an API on another machine.
//!
//! 1. `api`: requests to the API, and what their errors mean; `client`: over HTTP;
//! 2. `sessions`: what this worker runs, with the lease of each; `sync` keeps the leases and hears of cancellations;
//! 3. `output`: output on its way to the API, in its order and bounded;
//! 4. `run`: one evaluation, from the ticket to the acknowledgement;
//! 5. `setup` and `serve`: the whole process; `local`: a worker in the process of its API.
//!
//! Task tree: `serve` spawns one task for each place, one for the signs of life, and one for the self tests of the
//! engine; all of them end with it.
//!
//! A worker has no database and no listener. What it knows of the API is an address and a key with the scope
//! `worker`. It measures its leases by its own clock, from before each request: a worker that was cut off, or
//! stopped, ends its programs no later than the API gives them up. The API refuses its reports either way.

mod api;
mod client;
mod local;
mod output;
mod run;
mod serve;
mod sessions;
mod setup;
mod sync;

pub(crate) use api::{Answer, Api, ApiError};
pub(crate) use local::{LocalParts, work_locally};
pub(crate) use serve::serve;
