//! The log: where it goes, in which format, and which events it has.
//!
//! `CRUCIBLE_LOG` chooses events by level and target, as `tracing` describes it: `debug`, or
//! `warn,stage_06_advanced=debug`. No log event has the text of a program, a key, or the value of a
//! header.

use std::io::IsTerminal as _;

use clap::ValueEnum;
use tracing_subscriber::EnvFilter;

/// The format of the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum LogFormat {
    /// Text on a terminal, JSON elsewhere
    Auto,
    /// Text
    Text,
    /// A JSON object on each line
    Json,
}

/// Starts logging to standard error. Without `CRUCIBLE_LOG` the log has events from `level` up.
pub(super) fn start(format: LogFormat, level: &str) {
    let filter = EnvFilter::try_from_env("CRUCIBLE_LOG").unwrap_or_else(|_| EnvFilter::new(level));
    let log = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
    let is_terminal = std::io::stderr().is_terminal();
    if format == LogFormat::Json || (format == LogFormat::Auto && !is_terminal) {
        log.json().flatten_event(true).init();
    } else {
        log.with_ansi(is_terminal).init();
    }
}
