//! Measurements: whether a stage evaluates correctly, how long it takes, and what it leaves behind.
//!
//! [`programs`], [`humaneval`] (with its [`tasks`]) and [`cpython`] compare results with known ones; [`mod@bench`]
//! and [`storage`] measure time; [`hostile`] has clients that want to hurt the server; [`soak`] runs a [`workload`] for long, and looks at the [`footprint`] of the server
//! and at the [`owned_sandboxes`] that are left.

pub mod bench;
pub mod cpython;
pub mod footprint;
pub mod hostile;
pub mod humaneval;
pub mod owned_sandboxes;
pub mod programs;
pub mod soak;
pub mod storage;
pub mod tasks;
pub mod workload;
