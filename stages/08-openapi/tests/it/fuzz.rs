//! Schemathesis: another implementation of the contract makes requests from it, and checks the responses.

use std::process::Command;

use crate::stage::{assert_no_violation, directory, run, tool, unsandboxed};

/// The same requests in each run.
const SEED: &str = "8008";
/// How long it runs, in seconds.
const SECONDS: &str = "60";

#[tokio::test]
async fn schemathesis_finds_nothing() {
    let server = unsandboxed();
    let work = tempfile::tempdir().unwrap();
    // From a file: Schemathesis does not test the operation that it loaded the contract with.
    let contract = work.path().join("contract.json");
    std::fs::write(&contract, server.client().get("/openapi.json").await.body).unwrap();
    let mut schemathesis = Command::new(tool("schemathesis"));
    schemathesis
        .current_dir(work.path())
        .env("HOME", work.path())
        .env("SCHEMATHESIS_HOOKS", directory().join("tests/it/hooks.py"))
        .arg("--config-file")
        .arg(directory().join("tests/it/schemathesis.toml"))
        .args(["run", "--seed", SEED, "--max-time", SECONDS])
        .args(["--url", server.url()])
        .arg(&contract);
    let (code, output) = tokio::task::spawn_blocking(move || run(&mut schemathesis)).await.unwrap();
    assert_eq!(code, Some(0), "{output}");
    // A run that tested nothing would find nothing as well.
    assert!(
        output.contains("18 selected / 18 total") && output.contains("No issues found"),
        "{output}"
    );
    assert_no_violation(&server).await;
}
