//! One API, workers and a broker as processes.

mod all;
mod by_hand;
mod events;
mod failures;
mod flags;
mod keys;
mod runs;
mod sandbox;
pub(crate) mod site;
