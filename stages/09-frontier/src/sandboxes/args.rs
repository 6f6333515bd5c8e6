//! The flags of sandboxes that stay. A request can be below them, and never above.

use std::time::Duration;

use clap::value_parser;

/// The flags of sandboxes that stay.
#[derive(Debug, Clone, clap::Args)]
pub struct SandboxArgs {
    /// Sandboxes that stay, of one key at the same time; one more is answered 429
    #[arg(long, global = true, value_name = "N", env = "CRUCIBLE_KEY_SANDBOXES",
          default_value_t = 64, value_parser = value_parser!(u32).range(1..=1_024))]
    pub key_sandboxes: u32,
    /// Memory that the sandboxes of one key may have together, in bytes; more is answered 429
    #[arg(long, global = true, value_name = "BYTES", env = "CRUCIBLE_KEY_SANDBOX_MEMORY_BYTES",
          default_value_t = 64 << 30, value_parser = value_parser!(u64).range(64 << 20..=1 << 50))]
    pub key_sandbox_memory_bytes: u64,
    /// The most memory that one sandbox that stays may request, in bytes
    #[arg(long, global = true, value_name = "BYTES", env = "CRUCIBLE_SANDBOX_MEMORY_BYTES",
          default_value_t = 4 << 30, value_parser = value_parser!(u64).range(64 << 20..=1 << 50))]
    pub sandbox_memory_bytes: u64,
    /// The longest lifetime that a sandbox may request, in seconds; each renewal starts it anew
    #[arg(long, global = true, value_name = "SECONDS", env = "CRUCIBLE_SANDBOX_LIFETIME_SECONDS",
          default_value_t = 86_400, value_parser = value_parser!(u64).range(1..=604_800))]
    pub sandbox_lifetime_seconds: u64,
    /// Output of one sandbox that is stored on disk at the same time, in bytes
    #[arg(long, global = true, value_name = "BYTES", env = "CRUCIBLE_SANDBOX_OUTPUT_BYTES",
          default_value_t = 256 << 20, value_parser = value_parser!(u64).range(32 << 20..=1 << 40))]
    pub sandbox_output_bytes: u64,
}

impl SandboxArgs {
    /// The longest lifetime.
    pub(super) fn max_lifetime(&self) -> Duration {
        Duration::from_secs(self.sandbox_lifetime_seconds)
    }
}
