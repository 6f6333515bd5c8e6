//! Checks what `infrastructure/` deploys, without a cloud: Terraform with the real AWS provider against `moto_server`,
//! Kubernetes' objects against its schemas and policies, workflows and services against their linters.
//!
//! The tests are the package; here is what they share. The tools come from `infrastructure/setup/cloud.sh`.
//!
//! 1. `tools`: how a tool is called;
//! 2. `stack`: a copy of `infrastructure/terraform` that a test may change;
//! 3. `mutations`: changes that each break one property, and which of them are applied together;
//! 4. `moto`: a server in the place of AWS.

mod moto;
mod mutations;
mod stack;
mod tools;

pub use moto::Moto;
pub use mutations::{BATCHES, Mutation, expected, mutations, of_batch};
pub use stack::{Failures, Stack};
pub use tools::{infrastructure, text, tool, workspace};
