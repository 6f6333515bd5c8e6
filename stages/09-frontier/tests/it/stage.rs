//! The stage as a process.

use std::path::Path;

use harness::{Launch, Server};

pub(crate) const BINARY: &str = env!("CARGO_BIN_EXE_stage-09-frontier");

/// The stage on a data directory, in one process and without isolation: what is tested here is not
/// about isolation, and a kill has to hit the process that stores.
pub(crate) fn on(directory: &Path) -> Launch {
    Launch::new(BINARY)
        .args(["--engine", "subprocess", "--unsafe", "--single-process", "--strict-contract"])
        .args(["--workers", "2", "--drain-seconds", "5", "--self-test-seconds", "3600"])
        .arg("--data-dir")
        .arg(directory)
}

pub(crate) fn start(directory: &Path) -> Server {
    on(directory).start()
}
