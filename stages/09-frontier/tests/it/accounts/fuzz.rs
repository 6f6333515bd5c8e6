//! Schemathesis makes requests from the contract, with a key and without one.

use std::path::Path;
use std::process::Command;

use super::Site;

/// The same requests in each run.
const SEED: u32 = 9009;
/// How long the run with a key takes, in seconds.
const SECONDS: u32 = 60;
/// How long the run without one takes. Nearly all of its answers are 401.
const KEYLESS_SECONDS: u32 = 30;
/// The operations of this stage.
const OPERATIONS: &str = "55 selected / 55 total";

async fn schemathesis(with_key: bool) {
    let tool = Path::new("/opt/crucible/bin/schemathesis");
    assert!(tool.exists(), "{} is missing: just setup --with-tests", tool.display());
    let site = Site::new();
    let key = site.key("fuzz", &["admin"]);
    let limits = ["--strict-contract", "--rate-limit", "10000000", "--key-queued", "100000"];
    let server = site.launch().args(limits).start();
    let work = tempfile::tempdir().unwrap();
    let contract = work.path().join("contract.json");
    std::fs::write(&contract, server.client().get("/openapi.json").await.body).unwrap();
    let files = Path::new(env!("CARGO_MANIFEST_DIR")).join("../08-openapi/tests/it");
    let config = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it/accounts/schemathesis.toml");
    let seconds = if with_key { SECONDS } else { KEYLESS_SECONDS };
    let mut command = Command::new(tool);
    command
        .current_dir(work.path())
        .env("HOME", work.path())
        .env("SCHEMATHESIS_HOOKS", files.join("hooks.py"))
        .arg("--config-file")
        .arg(config)
        .args(["run", "--seed", &harness::fuzz_seed(SEED)])
        .args(["--max-time", &harness::fuzz_seconds(seconds), "--url", server.url()])
        .arg(&contract);
    if with_key {
        command.arg("--header").arg(format!("Authorization: Bearer {key}"));
    }
    let output = tokio::task::spawn_blocking(move || command.output().unwrap()).await.unwrap();
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success(), "{text}");
    // A run that tested nothing would find nothing as well.
    assert!(text.contains(OPERATIONS) && text.contains("Stateful (in"), "{text}");
    assert!(!text.contains("FAILURES") && !text.contains("ERRORS"), "{text}");
    let metrics = server.client().with_key(&key).get("/metrics").await.text();
    let broken = metrics.lines().filter(|line| line.contains("_broken_total{"));
    let broken: Vec<_> = broken.filter(|line| !line.ends_with(" 0")).collect();
    assert!(broken.is_empty(), "{broken:?}\n{}", server.stderr());
}

#[tokio::test]
async fn schemathesis_finds_nothing_with_a_key() {
    schemathesis(true).await;
}

#[tokio::test]
async fn schemathesis_finds_nothing_without_a_key() {
    schemathesis(false).await;
}
