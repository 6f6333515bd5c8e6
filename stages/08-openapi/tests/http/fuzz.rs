//! Schemathesis: requests made out of the contract, and answers held to it, by somebody else's reading.

use std::process::Command;

use crate::server::{OPEN, Server, ended, folder, tool};

/// The same requests in each run.
const SEED: &str = "8008";
/// How long it goes on, in seconds.
const SECONDS: &str = "60";

#[tokio::test]
async fn schemathesis_finds_nothing() {
    let server = Server::start(&OPEN);
    let work = tempfile::tempdir().unwrap();
    // From a file: Schemathesis does not test the operation that it has the contract from.
    let contract = work.path().join("contract.json");
    std::fs::write(&contract, server.text("/openapi.json").await).unwrap();
    let mut schemathesis = Command::new(tool("schemathesis"));
    schemathesis
        .current_dir(work.path())
        .env("HOME", work.path())
        .env("SCHEMATHESIS_HOOKS", folder().join("tests/http/hooks.py"))
        .arg("--config-file")
        .arg(folder().join("tests/http/schemathesis.toml"))
        .args(["run", "--seed", SEED, "--max-time", SECONDS])
        .args(["--url", &server.url])
        .arg(&contract);
    let (code, said) = tokio::task::spawn_blocking(move || ended(&mut schemathesis)).await.unwrap();
    assert_eq!(code, Some(0), "{said}");
    // A run that tested nothing would find nothing as well.
    assert!(said.contains("18 selected / 18 total") && said.contains("No issues found"), "{said}");
    server.assert_nothing_broken().await;
}
