//! Schemathesis makes requests from the contract, with a key and without one.

use std::path::Path;

use harness::Schemathesis;

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
    let site = Site::new();
    let key = site.key("fuzz", &["admin"]);
    let limits = ["--strict-contract", "--rate-limit", "10000000", "--key-queued", "100000"];
    let server = site.launch().args(limits).start();
    let contract = server.client().get("/openapi.json").await.body;
    let config = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it/accounts/schemathesis.toml");
    let run = Schemathesis {
        url: server.url(),
        contract: &contract,
        seed: SEED,
        seconds: if with_key { SECONDS } else { KEYLESS_SECONDS },
        config: Some(config),
        key: with_key.then_some(&*key),
        args: &[],
    };
    let (code, text) = run.run().await;
    assert_eq!(code, Some(0), "{text}");
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
