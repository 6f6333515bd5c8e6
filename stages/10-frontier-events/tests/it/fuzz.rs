//! Schemathesis sends what the contract allows, and what it does not.

use std::path::Path;

use harness::Schemathesis;

use crate::stage;
use crate::tenants::key;

/// The same requests in each run.
const SEED: u32 = 10;
/// How long it may search.
const SECONDS: u32 = 35;

#[tokio::test]
async fn schemathesis_finds_nothing_in_the_operations_of_this_stage() {
    let work = tempfile::tempdir().unwrap();
    let data = work.path().join("data");
    let key = key(&data, "fuzz", &["admin"]);
    let server = stage::on(&data).args(["--rate-limit", "10000000"]).start();
    let contract = server.client().get("/openapi.json").await.body;
    let run = Schemathesis {
        url: server.url(),
        contract: &contract,
        seed: SEED,
        seconds: SECONDS,
        config: Some(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it/schemathesis.toml")),
        key: Some(&key),
        args: &["--include-path-regex", "^/(webhooks|rules)"],
    };
    let (code, text) = run.run().await;
    assert_eq!(code, Some(0), "{text}");
    // A run that tested nothing would find nothing as well.
    assert!(text.contains("8 selected"), "{text}");
    let metrics = server.client().with_key(&key).get("/metrics").await.text();
    let broken = metrics.lines().filter(|line| line.contains("_broken_total{"));
    assert!(broken.clone().all(|line| line.ends_with(" 0")), "{:#?}", broken.collect::<Vec<_>>());
}
