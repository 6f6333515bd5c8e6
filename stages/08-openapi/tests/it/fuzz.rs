//! Schemathesis: another implementation of the contract makes requests from it, and checks the responses.

use std::path::Path;
use std::process::Command;

use harness::Server;

use crate::stage::{assert_no_violation, directory, run, tool, unsandboxed};

/// The same requests in each run.
const SEED: u32 = 8008;
/// How long it runs, in seconds.
const SECONDS: u32 = 40;
/// The same without configuration.
const BARE_SECONDS: u32 = 30;

/// Schemathesis, with the contract of `server` from a file: it does not test the operation that it
/// loaded the contract with.
async fn schemathesis(server: &Server, work: &Path, seconds: u32) -> Command {
    let contract = work.join("contract.json");
    std::fs::write(&contract, server.client().get("/openapi.json").await.body).unwrap();
    let mut schemathesis = Command::new(tool("schemathesis"));
    schemathesis.current_dir(work).env("HOME", work);
    schemathesis.args(["run", "--seed", &harness::fuzz_seed(SEED)]);
    schemathesis.args(["--max-time", &harness::fuzz_seconds(seconds), "--url", server.url()]);
    schemathesis.arg(&contract);
    schemathesis
}

async fn output(mut command: Command) -> (Option<i32>, String) {
    tokio::task::spawn_blocking(move || run(&mut command)).await.unwrap()
}

#[tokio::test]
async fn schemathesis_finds_nothing() {
    let server = unsandboxed();
    let work = tempfile::tempdir().unwrap();
    std::fs::copy(
        directory().join("tests/it/schemathesis.toml"),
        work.path().join("schemathesis.toml"),
    )
    .unwrap();
    let mut schemathesis = schemathesis(&server, work.path(), SECONDS).await;
    schemathesis.env("SCHEMATHESIS_HOOKS", directory().join("tests/it/hooks.py"));
    let (code, output) = output(schemathesis).await;
    assert_eq!(code, Some(0), "{output}");
    // A run that tested nothing would find nothing as well.
    assert!(
        output.contains("19 selected / 19 total") && output.contains("No issues found"),
        "{output}"
    );
    assert_no_violation(&server).await;
}

/// With nothing but the URL it finds what the contract explains, and nothing else: `GET` after
/// `DELETE`, ST301.
#[tokio::test]
async fn schemathesis_needs_no_configuration() {
    let server = unsandboxed();
    let contract = server.client().get("/openapi.yaml").await.text();
    assert!(contract.contains("and `GET` answers 200 with it"), "the explanation is gone");
    let work = tempfile::tempdir().unwrap();
    let (_, output) = output(schemathesis(&server, work.path(), BARE_SECONDS).await).await;
    assert!(output.contains("Selected: 19/19"), "{output}");
    let failures = output.lines().filter_map(|line| line.trim().strip_prefix("\u{274c} ST"));
    let others: Vec<_> = failures.filter(|code| !code.starts_with("301 ")).collect();
    assert!(others.is_empty() && !output.contains("ERRORS"), "{output}");
    assert_no_violation(&server).await;
}
