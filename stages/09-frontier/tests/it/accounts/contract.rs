//! The contract of this stage: its rules, and what it says about keys.

use std::collections::BTreeSet;
use std::path::Path;
use std::process::Command;

use harness::Method;
use serde_json::Value;
use stage_09_frontier::{Access, required};

use super::{Site, Tenants};

async fn served() -> Value {
    Site::new().start().client().get("/openapi.json").await.json()
}

#[tokio::test]
async fn the_contract_names_the_scope_that_each_operation_needs() {
    let contract = served().await;
    let mut seen = 0;
    for (path, item) in contract["paths"].as_object().unwrap() {
        for (name, operation) in item.as_object().unwrap() {
            let Ok(method) = name.to_uppercase().parse::<Method>() else { continue };
            if operation.get("operationId").is_none() {
                continue;
            }
            let security = operation["security"].as_array().unwrap();
            let is_public = security.contains(&serde_json::json!({}));
            match required(&method, path) {
                Access::Public => assert!(is_public, "{path}"),
                Access::Scope(scope) => {
                    assert!(!is_public, "{path}");
                    assert_eq!(operation["x-scope"], scope.as_str(), "{method} {path}");
                }
            }
            assert!(operation["responses"].get("401").is_some(), "{method} {path}");
            assert!(operation["responses"].get("429").is_some(), "{method} {path}");
            seen += 1;
        }
    }
    assert!(seen >= 22, "{seen}");
}

#[tokio::test]
async fn spectral_finds_nothing_with_every_rule() {
    let tool = Path::new("/opt/crucible/bin/spectral");
    assert!(tool.exists(), "{} is missing: just setup --with-tests", tool.display());
    let work = tempfile::tempdir().unwrap();
    let contract = work.path().join("openapi.json");
    let client = Site::new();
    let server = client.start();
    std::fs::write(&contract, server.client().get("/openapi.json").await.body).unwrap();
    // The rules of stage 08, and none of its exceptions.
    let rules = Path::new(env!("CARGO_MANIFEST_DIR")).join("../08-openapi/.spectral.yaml");
    let rules = std::fs::read_to_string(rules).unwrap();
    let (all, exceptions) = rules.split_once("rules:\n").unwrap();
    assert!(exceptions.contains("owasp:api4:2023-rate-limit: off"), "{exceptions}");
    let ruleset = work.path().join("rules.yaml");
    std::fs::write(&ruleset, all).unwrap();
    let output = Command::new(tool)
        .args(["lint", "--format", "json", "--quiet"])
        .arg(&contract)
        .arg("--ruleset")
        .arg(&ruleset)
        .output()
        .unwrap();
    let found: Value = serde_json::from_slice(&output.stdout)
        .unwrap_or_else(|_| panic!("{}", String::from_utf8_lossy(&output.stderr)));
    let found: BTreeSet<_> = found
        .as_array()
        .unwrap()
        .iter()
        .map(|one| format!("{} {} {}", one["code"], one["message"], one["path"]))
        .collect();
    assert!(found.is_empty(), "{found:#?}");
}

#[tokio::test]
async fn every_answer_to_a_client_with_a_key_is_in_the_contract() {
    let Tenants { alice, mallory, admin, server, site: _site } = Tenants::new();
    let id = alice.run("print(1)").await["id"].as_str().unwrap().to_owned();
    for client in [&alice, &mallory, &admin, &server.client()] {
        let one = format!("/eval/{id}");
        let listed = ["/eval", "/environments", "/keys", "/audit", "/security-test"];
        let others = ["/queue", "/status", "/metrics", &one, "/nothing"];
        for path in listed.into_iter().chain(others) {
            assert_ne!(client.get(path).await.status, 500, "{path}");
        }
    }
    let metrics = admin.get("/metrics").await.text();
    let broken = metrics.lines().filter(|line| line.contains("_broken_total{"));
    let broken: Vec<_> = broken.filter(|line| !line.ends_with(" 0")).collect();
    assert!(broken.is_empty(), "{broken:?}");
}
