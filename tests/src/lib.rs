//! The ladder: where the stages are held against each other.
//!
//! Everything here talks to a stage as a stranger would, through the HTTP API of its real binary.
//! Nothing lists the stages by hand, and nothing stands in for an engine.
//!
//! Read in this order:
//!
//! 1. [`workspace`] and [`stages`]: which stages there are, and their binaries;
//! 2. [`server`] and [`client`]: a running stage, and how to talk to it; [`target`] puts both behind
//!    `--stage` and `--url`;
//! 3. [`percentile`], [`progress`] and [`report`]: numbers, bars and tables;
//! 4. one module for each command: [`humaneval`], with its [`tasks`], and [`soak`], with its
//!    [`workload`] and the [`footprint`] of a server, [`cpython`], and
//!    [`bench`];
//! 5. [`probe`], [`range`], [`evidence`], [`verdict`] and [`promise`]: one attack on one stage;
//!    [`volley`], [`attack`] and [`matrix`]: all of them, on all stages; [`sabotage`]: the same with
//!    a wall taken down, to see that the matrix can turn red;
//! 6. [`deltas`]: what changes from each stage to the next, for the book;
//! 7. [`rules`]: what the architecture tests look for, and [`interface`]: what a stage exports.

pub mod workspace;

pub mod interface;
pub mod rules;

pub mod stages;

pub mod server;

pub mod client;
pub mod target;

pub mod percentile;
pub mod progress;
pub mod report;

pub mod humaneval;
pub mod tasks;

pub mod bench;

pub mod cpython;

pub mod footprint;
pub mod labelled;
pub mod soak;
pub mod workload;

pub mod platform;
pub mod probe;
pub mod promise;
pub mod verdict;

pub mod evidence;
pub mod range;
pub mod sabotage;

pub mod attack;
pub mod deltas;
pub mod matrix;
pub mod volley;
