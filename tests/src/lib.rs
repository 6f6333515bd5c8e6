//! The ladder: compares the stages with each other.
//!
//! Everything here talks to a stage as any client would, through the HTTP API of its real binary.
//! Stages are not listed by hand, and nothing replaces an engine.
//!
//! | module | commands | question |
//! |---|---|---|
//! | [`attack`] | `attack`, `matrix`, `compare` | which attacks does a stage contain? |
//! | [`measure`] | `humaneval`, `cpython`, `bench`, `soak` | is it correct, fast and without leaks? |
//! | [`deltas`] | `deltas` | what changes from one stage to the next? (for the book) |
//! | [`exercises`] | `exercise` | does a reader's answer do what the book asks for? |
//! | [`rules`] | (tests) | does the workspace keep to its architecture and language? |
//! | [`support`] | | stages, servers, clients, numbers and reports for all of these |

pub mod support;

pub mod attack;
pub mod deltas;
pub mod exercises;
pub mod measure;
pub mod rules;
