//! Limits for each key: how many requests it may make, and how much may run for it.
//!
//! 1. [`RateLimit`]: requests in a minute, for a key or for an address without one;
//! 2. [`Quotas`]: evaluations that wait, and processor time in a day; [`UsageJournal`] counts both. How
//!    many run at once is the business of [`crate::batches::PriorityDispatch`].
//!
//! | attack | setting | test |
//! |---|---|---|
//! | one client makes all requests | `--rate-limit` for each key; 429 with `Retry-After` | `a_key_that_is_over_its_rate_is_told_when_to_come_back` |
//! | keys are guessed as fast as the network allows | the same limit for each address without a key | `guessing_is_limited_by_address` |
//! | millions of addresses, to fill the memory | [`MAX_CLIENTS`](rate::MAX_CLIENTS); those beyond it share one limit | `any_number_of_clients_takes_bounded_memory` |
//! | one client fills the queue | `--key-queued` | `a_key_cannot_fill_the_queue` |
//! | many requests at once, each below the quota | a place is reserved before the submission is committed | `parallel_submissions_do_not_pass_the_quota_together` |

mod journal;
mod quotas;
mod rate;
mod share;

pub(crate) use journal::UsageJournal;
pub(crate) use quotas::{QuotaLimits, Quotas, Reservation};
pub(crate) use rate::client_of;
pub(crate) use rate::{Decision, RateLimit, RateStatus};
pub(crate) use share::{Permit, Shares};
