//! The flags of sandboxes that stay. A request can be below them, and never above.

use std::sync::{Arc, OnceLock};

use clap::value_parser;
use stage_06_advanced::{KeptSandboxes, SandboxBounds, SandboxLimits};

/// The flags of sandboxes that stay.
#[derive(Debug, Clone, clap::Args)]
pub struct SandboxArgs {
    /// Sandboxes that stay, at the same time; one more is answered 503
    #[arg(long, global = true, value_name = "N", env = "CRUCIBLE_SANDBOXES",
          default_value_t = 64, value_parser = value_parser!(u32).range(0..=1_024))]
    pub sandboxes: u32,
    /// Sandboxes that stay, of one key at the same time; one more is answered 429 [default: half of --sandboxes]
    #[arg(long, global = true, value_name = "N", env = "CRUCIBLE_KEY_SANDBOXES",
          value_parser = value_parser!(u32).range(1..=1_024))]
    pub key_sandboxes: Option<u32>,
    /// Memory that the sandboxes of one key may use together, in bytes, with what each may use above its limit; more is
    /// answered 429
    #[arg(long, global = true, value_name = "BYTES", env = "CRUCIBLE_KEY_SANDBOX_MEMORY_BYTES",
          default_value_t = 80 << 30, value_parser = value_parser!(u64).range(64 << 20..=1 << 50))]
    pub key_sandbox_memory_bytes: u64,
    /// The most memory that one sandbox that stays may request, in bytes
    #[arg(long, global = true, value_name = "BYTES", env = "CRUCIBLE_SANDBOX_MEMORY_BYTES",
          default_value_t = 4 << 30, value_parser = value_parser!(u64).range(64 << 20..=1 << 50))]
    pub sandbox_memory_bytes: u64,
    /// How long a sandbox can exist, in seconds, however often it is renewed
    #[arg(long, global = true, value_name = "SECONDS", env = "CRUCIBLE_SANDBOX_SECONDS",
          default_value_t = 86_400, value_parser = value_parser!(u64).range(1..=604_800))]
    pub sandbox_seconds: u64,
    /// Output of one sandbox that is stored on disk at the same time, in bytes
    #[arg(long, global = true, value_name = "BYTES", env = "CRUCIBLE_SANDBOX_OUTPUT_BYTES",
          default_value_t = 256 << 20, value_parser = value_parser!(u64).range(32 << 20..=1 << 40))]
    pub sandbox_output_bytes: u64,
    /// The engine of sandboxes, once it has started. All clones have the same.
    #[arg(skip)]
    kept: Arc<OnceLock<KeptSandboxes>>,
}

impl SandboxArgs {
    /// What the engine of sandboxes enforces, and how it is reached.
    pub(crate) fn kept(&self) -> KeptSandboxes {
        if self.sandboxes == 0 {
            return KeptSandboxes::default();
        }
        self.kept.get_or_init(|| KeptSandboxes::within(self.bounds())).clone()
    }

    /// Sandboxes of one client. Of one without a key, where none is needed, they have no limit of their own.
    pub(crate) fn of_client(&self, is_key: bool) -> u32 {
        let half = self.sandboxes.div_ceil(2).max(1);
        self.key_sandboxes.unwrap_or(if is_key { half } else { u32::MAX })
    }

    fn bounds(&self) -> SandboxBounds {
        let bounds = SandboxBounds::default();
        let max = SandboxLimits { memory_bytes: self.sandbox_memory_bytes, ..bounds.max };
        SandboxBounds {
            max_sandboxes: usize::try_from(self.sandboxes).unwrap_or(usize::MAX),
            max_lifetime_seconds: self.sandbox_seconds,
            default: bounds.default.within(max),
            max,
        }
    }
}
