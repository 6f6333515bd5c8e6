//! The flags of a platform. No request can set any of these.

use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use clap::value_parser;
use shared::cli::{BuildError, Diagnosis, Isolation, Settings, StageArgs};
use shared::http::HttpServerFn;
use stage_02_queue::ArchiveLimits;
use stage_03_monitoring::MonitorOptions;

use super::engine_kind::EngineArgs;
use super::file;
use crate::engine_host::{self, EngineHostArgs};
use crate::platform::PlatformOptions;

/// The flags of a platform beside those of every stage.
#[derive(Debug, Clone, clap::Args)]
pub struct PlatformArgs {
    /// TOML file with settings, each under the name of its flag; flags and variables override it
    #[arg(long, global = true, value_name = "FILE", env = "CRUCIBLE_CONFIG")]
    pub config: Option<PathBuf>,
    /// The engine.
    #[command(flatten)]
    pub engine: EngineArgs,
    /// The two processes.
    #[command(flatten)]
    pub engine_host: EngineHostArgs,
    /// Ended evaluations that are stored; one more deletes the one that ended first
    #[arg(long, global = true, value_name = "N", env = "CRUCIBLE_STORAGE_ENTRIES",
          default_value_t = 10_000, value_parser = value_parser!(u32).range(1..=10_000_000))]
    pub storage_entries: u32,
    /// Bytes that stored evaluations may take together, approximately
    #[arg(long, global = true, value_name = "BYTES", env = "CRUCIBLE_STORAGE_BYTES",
          default_value_t = 256 << 20, value_parser = value_parser!(u64).range(1 << 20..=1 << 40))]
    pub storage_bytes: u64,
    /// Bytes that the events of all evaluations may take together, approximately
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

impl StageArgs for PlatformArgs {
    async fn doctor(&self) -> Vec<Diagnosis> {
        self.engine.diagnose().await
    }

    fn http_server(&self) -> HttpServerFn {
        Arc::new(stage_02_queue::serve)
    }

    fn isolation(&self) -> Option<Isolation> {
        Some(self.engine.engine.isolation())
    }

    fn configure(command: clap::Command) -> Result<clap::Command, BuildError> {
        Ok(file::configure(command, std::env::args_os(), &[])?)
    }

    fn before_serve(&self, settings: &Settings) -> Result<Option<ExitCode>, BuildError> {
        let start = self.engine.start(settings.bounds().default);
        let profiles = self.engine.profiles();
        let (warm, kept) = (self.engine.runsc.warm.clone(), self.engine.runsc.kept.clone());
        engine_host::before_serve(&self.engine_host, settings, profiles, (warm, kept), start)
    }
}

impl PlatformArgs {
    /// How much the storage may store.
    pub fn archive_limits(&self) -> ArchiveLimits {
        ArchiveLimits {
            entries: size(self.storage_entries.into()),
            bytes: size(self.storage_bytes),
        }
    }

    /// The settings of the monitor.
    pub fn monitor_options(&self) -> MonitorOptions {
        let mut options = MonitorOptions::default();
        options.log_limits.total_bytes = size(self.event_bytes);
        options.max_streams = size(self.event_streams.into());
        options
    }

    /// The settings of the platform that `stage` serves.
    pub fn options(&self, stage: &'static str, settings: &Settings) -> PlatformOptions {
        PlatformOptions {
            stage,
            isolation: self.engine.engine.isolation().summary,
            bounds: settings.bounds(),
            self_test_interval: Duration::from_secs(self.self_test_seconds.into()),
        }
    }
}

fn size(number: u64) -> usize {
    usize::try_from(number).unwrap_or(usize::MAX)
}
