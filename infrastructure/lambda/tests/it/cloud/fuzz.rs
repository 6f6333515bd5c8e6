//! Schemathesis makes requests of the function from the contract.

use std::path::Path;

use harness::Schemathesis;

use super::site::Site;

/// The same requests in each run.
const SEED: u32 = 14;
/// How long it may search.
const SECONDS: u32 = 30;
/// What clients are served, and what of it is not.
const PATHS: &str = "^/(eval|queue|health|openapi|docs)";
const NOT_SERVED: &str = "/(events|submission)$";

#[tokio::test(flavor = "multi_thread")]
async fn schemathesis_finds_nothing_in_what_the_function_serves() {
    let site = Site::start(3).await;
    let (key, _) = site.client_with(&["admin"]);
    let contract = site.client.get("/openapi.json").await.body;
    let stages = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../stages");
    let run = Schemathesis {
        url: &site.front.url(),
        contract: &contract,
        seed: SEED,
        seconds: SECONDS,
        config: Some(stages.join("09-frontier/tests/it/accounts/schemathesis.toml")),
        key: Some(&key),
        args: &["--include-path-regex", PATHS, "--exclude-path-regex", NOT_SERVED],
    };
    let (code, text) = run.run().await;
    assert_eq!(code, Some(0), "{text}");
    // A run that tested nothing would find nothing as well. An answer that violates the contract is 500, in strict mode.
    assert!(text.contains("12 selected") && text.contains("Tested: 12"), "{text}");
}
