//! The settings of a platform. No request can choose any of these.

use std::path::PathBuf;

use clap::value_parser;
use shared::cli::Settings;
use stage_02_queue::ArchiveLimits;
use stage_03_monitoring::MonitorOptions;

use crate::choice::EngineArgs;

/// What can be set about a platform, beside what every stage has.
#[derive(Debug, Clone, clap::Args)]
pub struct PlatformArgs {
    /// TOML file with settings, each under the name of its flag; flags and variables go before it
    #[arg(long, global = true, value_name = "FILE", env = "CRUCIBLE_CONFIG")]
    pub config: Option<PathBuf>,
    /// Which walls.
    #[command(flatten)]
    pub engine: EngineArgs,
    /// Ended evaluations that are stored; one more deletes the one that ended first
    #[arg(long, global = true, value_name = "N", env = "CRUCIBLE_STORAGE_ENTRIES",
          default_value_t = 10_000, value_parser = value_parser!(u32).range(1..=10_000_000))]
    pub storage_entries: u32,
    /// Bytes that stored evaluations may take together, about
    #[arg(long, global = true, value_name = "BYTES", env = "CRUCIBLE_STORAGE_BYTES",
          default_value_t = 256 << 20, value_parser = value_parser!(u64).range(1 << 20..=1 << 40))]
    pub storage_bytes: u64,
    /// Bytes that the events of all evaluations may take together, about
    #[arg(long, global = true, value_name = "BYTES", env = "CRUCIBLE_EVENT_BYTES",
          default_value_t = 64 << 20, value_parser = value_parser!(u64).range(1 << 20..=1 << 40))]
    pub event_bytes: u64,
    /// Readers of event streams at one moment; one more is answered 503
    #[arg(long, global = true, value_name = "N", env = "CRUCIBLE_EVENT_STREAMS",
          default_value_t = 256, value_parser = value_parser!(u32).range(1..=100_000))]
    pub event_streams: u32,
    /// How often the platform verifies itself while it serves, in seconds
    #[arg(long, global = true, value_name = "SECONDS", env = "CRUCIBLE_SELF_TEST_SECONDS",
          default_value_t = 60, value_parser = value_parser!(u32).range(1..=86_400))]
    pub self_test_seconds: u32,
}

impl PlatformArgs {
    pub(crate) fn retention(&self) -> ArchiveLimits {
        ArchiveLimits {
            entries: size(self.storage_entries.into()),
            bytes: size(self.storage_bytes),
        }
    }

    pub(crate) fn monitor(&self) -> MonitorOptions {
        let mut options = MonitorOptions::default();
        options.retention.total_bytes = size(self.event_bytes);
        options.max_streams = size(self.event_streams.into());
        options
    }

    pub(crate) fn options(
        &self,
        stage: &'static str,
        settings: &Settings,
    ) -> super::PlatformOptions {
        super::PlatformOptions {
            stage,
            isolation: self.engine.engine.isolation().0,
            bounds: settings.bounds(),
            self_test_every: std::time::Duration::from_secs(self.self_test_seconds.into()),
        }
    }
}

fn size(number: u64) -> usize {
    usize::try_from(number).unwrap_or(usize::MAX)
}
