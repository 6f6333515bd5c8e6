//! Rules for the sources of this workspace, as functions that report violations: its [`architecture`],
//! the [`interface`] that a stage exports, and the [`language`] of names, comments and messages.
//!
//! `tests/it/architecture.rs`, `interface.rs` and `language.rs` apply them. Here each rule is shown a
//! bad example, because a rule that finds nothing might be unable to.

pub mod architecture;
pub mod interface;
pub mod language;
