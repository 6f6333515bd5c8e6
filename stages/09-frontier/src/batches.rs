//! What a submitter may say about the order and the number of evaluations.
//!
//! 1. [`SubmitOptions`]: priority and queue timeout of one submission; [`WithOptions`] takes
//!    them out of a request;
//! 2. [`PriorityDispatch`]: hands jobs to workers by priority, and lets none of them starve;
//! 3. [`Expiry`]: ends what no worker has taken in time;
//! 4. `group`: evaluations under one id; `routes`: up to a thousand of them.
//!
//! | attack | setting | test |
//! |---|---|---|
//! | everything is submitted with the priority `high` | of seven jobs two are not `high`, if there are others; keys take turns | `nothing_starves` |
//! | one key submits a thousand programs | keys take turns within a priority | `jobs_of_one_key_run_in_their_order_and_keys_take_turns` |
//! | one key occupies all workers | `--key-running` | `a_key_runs_no_more_at_once_than_it_may` |

mod dispatch;
mod expiry;
mod group;
mod options;
mod routes;
mod table;
mod wire;

pub use dispatch::{Claimed, PriorityDispatch};
pub(crate) use expiry::Expiry;
pub(crate) use group::{Follower, Groups, Plan, accepted, internal};
pub(crate) use options::SubmitOptions;
pub use options::{WithOptions, owner_of};
pub(crate) use routes::BatchParts;
pub(crate) use table::{BatchKind, Row};
pub(crate) use wire::parse_one;
