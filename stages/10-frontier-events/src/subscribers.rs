//! The parts that follow what happens: each is a subscriber of the bus, and nothing calls it.
//!
//! 1. `counters`: the metrics; `monitor`: the monitor whose counters they are;
//! 2. `audit`: rows of the audit log about what happens without a request;
//! 3. `retention`: deletes what is too much, when something was stored.
//!
//! Webhooks and rules subscribe in their own modules. An event stream over HTTP is a position in the log, which it
//! reads by itself: a queue of the bus between the two would store events that the client does not read.
//!
//! What is no subscriber, because it would lose a guarantee:
//!
//! * The journal. It writes the events that subscribers read, in the transaction of the change. A journal that
//!   subscribed would make a change durable after it was seen.
//! * The audit row of a submission, and of what else a request does. It is in the transaction of the change, so that
//!   neither is there without the other. A row that followed later could be missing when the machine dies, and the
//!   address of the client would have to be in an event that others read.
//! * Quotas. A submission is refused by what was accepted before it; a count that lags accepts too many.

pub(crate) mod audit;
pub(crate) mod counters;
pub(crate) mod monitor;
pub(crate) mod retention;
