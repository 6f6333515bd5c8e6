//! Attacks on a stage: hostile programs and hostile requests, and whether each of them succeeded.
//!
//! Read in this order:
//!
//! 1. [`probe`] and [`http_attacks`]: what is tried, by a program or over HTTP;
//! 2. [`testbed`]: a running stage, a jail around one that has no sandbox, and its environment;
//! 3. [`observe`]: what the ladder sees from outside, and the [`verdict`] by it;
//! 4. [`run_probes`]: all probes against one target, and [`command`], which is `ladder attack`;
//! 5. [`expectations`] and [`matrix`]: all probes against all stages, and what each must contain;
//! 6. [`fault_injection`]: the same with one control disabled, to see that the matrix can turn red.

pub mod command;
pub mod expectations;
pub mod fault_injection;
pub mod http_attacks;
pub mod matrix;
pub mod observe;
pub mod probe;
pub mod run_probes;
pub mod testbed;
pub mod verdict;
