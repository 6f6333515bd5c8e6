//! The stage as a process, and the programs that a contract is tested with.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use harness::Server;

pub(crate) const BINARY: &str = env!("CARGO_BIN_EXE_stage-08-openapi");
/// The engine that needs nothing, for what is not about isolation.
pub(crate) const UNSANDBOXED: [&str; 3] = ["--engine", "subprocess", "--unsafe"];
/// Where the setup script installs the programs that a contract is tested with.
const TOOLS: &str = "/opt/crucible/bin";

/// The stage in strict mode, without isolation.
pub(crate) fn unsandboxed() -> Server {
    harness::launch!("--strict-contract").args(UNSANDBOXED).start()
}

/// No message has violated the contract so far.
pub(crate) async fn assert_no_violation(server: &Server) {
    let metrics = server.client().get("/metrics").await.text();
    let counters: Vec<_> = metrics.lines().filter(|line| line.contains("_broken_total{")).collect();
    let broken = counters.iter().filter(|line| !line.ends_with(" 0"));
    assert_eq!(broken.collect::<Vec<_>>(), [&""; 0], "{}", server.stderr());
    assert!(counters.len() > 15, "{metrics}");
}

/// The directory of this stage.
pub(crate) fn directory() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// One of the programs that a contract is tested with.
pub(crate) fn tool(name: &str) -> PathBuf {
    let tool = Path::new(TOOLS).join(name);
    assert!(tool.exists(), "{} is missing: just setup --with-tests", tool.display());
    tool
}

/// Runs a program to its end: its exit code, and its output.
pub(crate) fn run(command: &mut Command) -> (Option<i32>, String) {
    let Output { status, stdout, stderr } = command.output().unwrap();
    let output = [stdout, stderr].concat();
    (status.code(), String::from_utf8_lossy(&output).into_owned())
}
