//! The ladder's integration tests: they build and start real stages.
//!
//! `architecture`, `interface` and `language` read sources only. Tests whose name begins with `alone_`
//! need the machine for themselves: `cargo nextest run -p ladder -E 'not test(/alone_/)'` leaves them
//! out.
#![allow(clippy::unwrap_used, clippy::panic, reason = "in a test, a panic is the report")]

mod architecture;
mod controls;
mod deltas;
mod environments;
mod hostile;
mod interface;
mod kept;
mod language;
mod matrix;
mod programs;
mod sensitivity;
mod sensitivity_runsc;
mod service;
mod setup;
mod smoke;
