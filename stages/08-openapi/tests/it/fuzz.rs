//! Schemathesis: another implementation of the contract makes requests from it, and checks the responses.

use std::path::PathBuf;

use harness::{Schemathesis, Server};

use crate::stage::{assert_no_violation, directory, unsandboxed};

/// The same requests in each run.
const SEED: u32 = 8008;
/// How long it runs, in seconds.
const SECONDS: u32 = 40;
/// The same without configuration.
const BARE_SECONDS: u32 = 30;

/// The exit code and the output of a run.
async fn schemathesis(
    server: &Server,
    seconds: u32,
    config: Option<PathBuf>,
) -> (Option<i32>, String) {
    let contract = server.client().get("/openapi.json").await.body;
    let (url, contract) = (server.url(), &contract[..]);
    Schemathesis { url, contract, seed: SEED, seconds, config, key: None, args: &[] }.run().await
}

#[tokio::test]
async fn schemathesis_finds_nothing() {
    let server = unsandboxed();
    let config = directory().join("tests/it/schemathesis.toml");
    let (code, output) = schemathesis(&server, SECONDS, Some(config)).await;
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
    let (_, output) = schemathesis(&server, BARE_SECONDS, None).await;
    assert!(output.contains("Selected: 19/19"), "{output}");
    let failures = output.lines().filter_map(|line| line.trim().strip_prefix("\u{274c} ST"));
    let others: Vec<_> = failures.filter(|code| !code.starts_with("301 ")).collect();
    assert!(others.is_empty() && !output.contains("ERRORS"), "{output}");
    assert_no_violation(&server).await;
}
