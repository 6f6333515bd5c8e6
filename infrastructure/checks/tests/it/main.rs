//! What `infrastructure/` deploys, checked without a cloud.
//!
//! For `x86_64`: the AWS provider that a package registry has is for this processor.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "test code; clippy's own exception covers only functions marked #[test]"
)]
#![cfg(target_arch = "x86_64")]

mod advisories;
mod authorizer;
mod checkov;
mod install;
mod kubernetes;
mod moto;
mod provider;
mod rehearsal;
mod terraform;
mod units;
mod workflows;
