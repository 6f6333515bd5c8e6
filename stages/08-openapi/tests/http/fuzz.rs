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
    let mut schemathesis = Command::new(tool("schemathesis"));
    schemathesis
        .current_dir(work.path())
        .env("HOME", work.path())
        .env("SCHEMATHESIS_HOOKS", folder().join("tests/http/hooks.py"))
        .arg("--config-file")
        .arg(folder().join("tests/http/schemathesis.toml"))
        .args(["run", "--seed", SEED, "--max-time", SECONDS])
        .args(["--url", &server.url, &format!("{}/openapi.json", server.url)]);
    let (code, said) = tokio::task::spawn_blocking(move || ended(&mut schemathesis)).await.unwrap();
    assert_eq!(code, Some(0), "{said}");
    // A run that could not test is not one that found nothing.
    println!("{said}");
    assert!(said.contains("Stateful"), "{said}");
    server.assert_nothing_broken().await;
}
