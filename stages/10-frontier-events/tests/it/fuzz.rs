//! Schemathesis sends what the contract allows, and what it does not.

use std::path::Path;
use std::process::Command;

use crate::stage;
use crate::tenants::key;

/// The same requests in each run.
const SEED: u32 = 10;
/// How long it may search.
const SECONDS: u32 = 35;

#[tokio::test]
async fn schemathesis_finds_nothing_in_the_operations_of_this_stage() {
    let tool = Path::new("/opt/crucible/bin/schemathesis");
    assert!(tool.exists(), "{} is missing: just setup --with-tests", tool.display());
    let work = tempfile::tempdir().unwrap();
    let data = work.path().join("data");
    let key = key(&data, "fuzz", &["admin"]);
    let server = stage::on(&data).args(["--rate-limit", "10000000"]).start();
    let contract = work.path().join("contract.json");
    std::fs::write(&contract, server.client().get("/openapi.json").await.body).unwrap();
    let own = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut command = Command::new(tool);
    command
        .current_dir(work.path())
        .env("HOME", work.path())
        .env("SCHEMATHESIS_HOOKS", own.join("../08-openapi/tests/it/hooks.py"))
        .arg("--config-file")
        .arg(own.join("tests/it/schemathesis.toml"))
        .args(["run", "--seed", &harness::fuzz_seed(SEED)])
        .args(["--max-time", &harness::fuzz_seconds(SECONDS), "--url", server.url()])
        .args(["--include-path-regex", "^/(webhooks|rules)"])
        .arg("--header")
        .arg(format!("Authorization: Bearer {key}"))
        .arg(&contract);
    let output = tokio::task::spawn_blocking(move || command.output().unwrap()).await.unwrap();
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success(), "{text}\n{}", String::from_utf8_lossy(&output.stderr));
    // A run that tested nothing would find nothing as well.
    assert!(text.contains("8 selected"), "{text}");
    let metrics = server.client().with_key(&key).get("/metrics").await.text();
    let broken = metrics.lines().filter(|line| line.contains("_broken_total{"));
    assert!(broken.clone().all(|line| line.ends_with(" 0")), "{:#?}", broken.collect::<Vec<_>>());
}
