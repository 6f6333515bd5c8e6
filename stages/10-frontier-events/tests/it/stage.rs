//! The stage as a process.

use std::path::Path;

use harness::{Launch, Server};

pub(crate) const BINARY: &str = env!("CARGO_BIN_EXE_stage-10-frontier-events");

/// Another build of it, for figures: `just scale` gives that of a release.
pub(crate) fn binary() -> String {
    std::env::var("CRUCIBLE_BINARY").unwrap_or_else(|_| BINARY.to_owned())
}

/// The stage on a data directory, in one process and without isolation: what is tested here is not
/// about isolation, and a kill has to hit the process that stores.
pub(crate) fn on(directory: &Path) -> Launch {
    Launch::new(binary())
        .args(["--engine", "subprocess", "--unsafe", "--single-process", "--strict-contract"])
        .args(["--workers", "2", "--drain-seconds", "5", "--self-test-seconds", "3600"])
        .arg("--data-dir")
        .arg(directory)
}

pub(crate) fn start(directory: &Path) -> Server {
    on(directory).start()
}

#[tokio::test]
async fn it_runs_a_program_without_a_broker() {
    let directory = tempfile::tempdir().unwrap();
    let server = start(directory.path());
    let client = server.client();
    let ended = client.run("print(6 * 7)").await;
    assert_eq!(ended["stdout"]["text"], "42\n", "{ended}");
    assert_eq!(client.get("/status").await.json()["stage"], "stage-10-frontier-events");
    assert_eq!(server.stop(), Some(0));
}
