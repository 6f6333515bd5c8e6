//! Webhooks of clients with keys, and the contract.

use std::collections::BTreeSet;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use harness::Method;
use serde_json::{Value, json};
use stage_09_frontier::Access;
use stage_10_frontier_events::required;

use crate::receiver::{HANG, Receiver};
use crate::stage;

/// The standard output of a command of the stage that succeeds.
fn output(data: &Path, arguments: &[&str]) -> String {
    let mut command = Command::new(stage::BINARY);
    let output = command.args(arguments).arg("--data-dir").arg(data).output().unwrap();
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{arguments:?}: {errors}");
    String::from_utf8(output.stdout).unwrap().trim().to_owned()
}

pub(crate) fn key(data: &Path, name: &str, scopes: &[&str]) -> String {
    let mut arguments = vec!["keys", "create", "--name", name];
    for scope in scopes {
        arguments.extend(["--scope", scope]);
    }
    output(data, &arguments)
}

#[tokio::test]
async fn a_webhook_of_a_key_has_events_of_its_own_evaluations() {
    let directory = tempfile::tempdir().unwrap();
    let data = directory.path();
    let both = ["submit", "read"];
    let keys = [
        key(data, "alice", &both),
        key(data, "mallory", &both),
        key(data, "reader", &["read"]),
        key(data, "admin", &["admin"]),
    ];
    let server = stage::on(data).args(["--webhook-allow", "127.0.0.1/32"]).start();
    let [alice, mallory, reader, admin] = keys.map(|key| server.client().with_key(&key));
    let (to_alice, to_admin) = (Receiver::start(200).await, Receiver::start(200).await);
    let hook = |url: &str| json!({ "url": url, "events": ["evaluation.completed"] });
    let created = alice.post("/webhooks", &hook(&to_alice.url)).await;
    assert_eq!(created.status, 201, "{created:?}");
    let path = created.headers["location"].to_str().unwrap().to_owned();
    assert_eq!(admin.post("/webhooks", &hook(&to_admin.url)).await.status, 201);
    assert_eq!(reader.post("/webhooks", &hook(&to_alice.url)).await.status, 403);
    assert_eq!(server.client().get("/webhooks").await.status, 401);
    // That of another key does not exist.
    for request in [mallory.get(&path).await, mallory.delete(&path).await] {
        assert_eq!(request.status, 404, "{request:?}");
    }
    for operation in ["rotate", "redeliver"] {
        let response = mallory.post(&format!("{path}/{operation}"), &json!({})).await;
        assert_eq!(response.status, 404, "{response:?}");
    }
    assert_eq!(mallory.get(&format!("{path}/deliveries")).await.status, 404);
    assert_eq!(mallory.get("/webhooks").await.json()["items"], json!([]));
    assert_eq!(admin.get("/webhooks").await.json()["items"].as_array().unwrap().len(), 2);
    let of_mallory = mallory.run("print('secret')").await["id"].as_str().unwrap().to_owned();
    let of_alice = alice.run("print(1)").await["id"].as_str().unwrap().to_owned();
    let all = BTreeSet::from([of_mallory, of_alice.clone()]);
    harness::eventually("the administrator gets both", Duration::from_mins(1), || {
        to_admin.subjects().into_iter().collect::<BTreeSet<_>>() == all
    })
    .await;
    to_alice.eventually("alice gets hers", |received| !received.is_empty()).await;
    assert_eq!(to_alice.subjects(), [of_alice]);
    let actions = admin.get("/audit").await.text();
    assert!(actions.contains("webhook.create"), "{actions}");
}

#[tokio::test]
async fn a_webhook_of_a_revoked_key_is_silent() {
    let directory = tempfile::tempdir().unwrap();
    let data = directory.path();
    let alice = key(data, "alice", &["submit", "read"]);
    let admin = key(data, "admin", &["admin"]);
    let server = stage::on(data).args(["--webhook-allow", "127.0.0.1/32"]).start();
    let [alice, admin] = [alice, admin].map(|key| server.client().with_key(&key));
    let receiver = Receiver::start(200).await;
    let hook = json!({ "url": receiver.url, "events": ["evaluation.completed"] });
    let created: Value = alice.post("/webhooks", &hook).await.json();
    let id = alice.submit_code("import time; time.sleep(3)").await;
    let list = output(data, &["keys", "list"]);
    let line = list.lines().find(|line| line.ends_with("\talice")).unwrap();
    output(data, &["keys", "revoke", line.split('\t').next().unwrap()]);
    admin.wait(&id).await;
    let path = format!("/webhooks/{}", created["id"].as_str().unwrap());
    let is_parked = async || (admin.get(&path).await.json()["parked"] == 1).then_some(());
    harness::eventually_some("its event is parked", Duration::from_mins(1), is_parked).await;
    assert!(receiver.received().is_empty());
    let parked: Value = admin.get(&format!("{path}/deliveries")).await.json();
    let error = parked["items"][0]["error"].as_str().unwrap();
    assert!(error.contains("not valid any more"), "{error}");
}

#[tokio::test]
async fn a_webhook_without_a_key_ends_when_there_are_keys() {
    let directory = tempfile::tempdir().unwrap();
    let data = directory.path();
    let receiver = Receiver::start(200).await;
    let start = || stage::on(data).args(["--webhook-allow", "127.0.0.1/32"]).start();
    let server = start();
    let hook = json!({ "url": receiver.url, "events": ["evaluation.completed"] });
    let created: Value = server.client().post("/webhooks", &hook).await.json();
    server.client().run("print(1)").await;
    receiver.eventually("its event", |received| received.len() == 1).await;
    assert_eq!(server.stop(), Some(0));
    let admin = key(data, "admin", &["admin"]);
    let server = start();
    let admin = server.client().with_key(&admin);
    admin.run("print('secret')").await;
    let path = format!("/webhooks/{}", created["id"].as_str().unwrap());
    let is_parked = async || (admin.get(&path).await.json()["parked"] == 1).then_some(());
    harness::eventually_some("its event is parked", Duration::from_mins(1), is_parked).await;
    assert_eq!(receiver.received().len(), 1);
}

#[tokio::test]
async fn receivers_of_one_key_that_hang_hold_up_no_other_key() {
    let directory = tempfile::tempdir().unwrap();
    let data = directory.path();
    let keys = [key(data, "alice", &["submit", "read"]), key(data, "mallory", &["submit", "read"])];
    let server = stage::on(data).args(["--webhook-allow", "127.0.0.1/32"]).start();
    let [alice, mallory] = keys.map(|key| server.client().with_key(&key));
    let (hanging, quick) = (Receiver::start(HANG).await, Receiver::start(200).await);
    let hook = |url: &str, events: &str| json!({ "url": url, "events": [events] });
    for _ in 0..20 {
        let created = mallory.post("/webhooks", &hook(&hanging.url, "*")).await;
        assert_eq!(created.status, 201, "{created:?}");
    }
    for _ in 0..20 {
        mallory.run("print(1)").await;
    }
    alice.post("/webhooks", &hook(&quick.url, "evaluation.completed")).await;
    alice.run("print(2)").await;
    // There is more for those that hang than all requests at one moment could send before this.
    quick.eventually("alice gets hers", |received| received.len() == 1).await;
}

#[tokio::test]
async fn the_contract_names_the_scope_that_each_operation_needs() {
    let directory = tempfile::tempdir().unwrap();
    let server = stage::start(directory.path());
    let contract: Value = server.client().get("/openapi.json").await.json();
    let mut seen = 0;
    for (path, item) in contract["paths"].as_object().unwrap() {
        for (name, operation) in item.as_object().unwrap() {
            let Ok(method) = name.to_uppercase().parse::<Method>() else { continue };
            if operation.get("operationId").is_none() {
                continue;
            }
            let is_public = operation["security"].as_array().unwrap().contains(&json!({}));
            match required(&method, path) {
                Access::Public => assert!(is_public, "{path}"),
                Access::Scope(scope) => {
                    assert!(!is_public, "{path}");
                    assert_eq!(operation["x-scope"], scope.as_str(), "{method} {path}");
                }
            }
            seen += 1;
        }
    }
    assert!(seen >= 38, "{seen}");
}

#[tokio::test]
async fn spectral_finds_nothing_with_every_rule() {
    let tool = Path::new("/opt/crucible/bin/spectral");
    assert!(tool.exists(), "{} is missing: just setup --with-tests", tool.display());
    let work = tempfile::tempdir().unwrap();
    let contract = work.path().join("openapi.json");
    let server = stage::start(&work.path().join("data"));
    std::fs::write(&contract, server.client().get("/openapi.json").await.body).unwrap();
    // The rules of stage 08, and none of its exceptions.
    let rules = Path::new(env!("CARGO_MANIFEST_DIR")).join("../08-openapi/.spectral.yaml");
    let rules = std::fs::read_to_string(rules).unwrap();
    let (all, _) = rules.split_once("rules:\n").unwrap();
    let ruleset = work.path().join("rules.yaml");
    std::fs::write(&ruleset, all).unwrap();
    let mut command = Command::new(tool);
    command.args(["lint", "--format", "json", "--quiet"]).arg(&contract);
    let output = command.arg("--ruleset").arg(&ruleset).output().unwrap();
    let found: Value = serde_json::from_slice(&output.stdout)
        .unwrap_or_else(|_| panic!("{}", String::from_utf8_lossy(&output.stderr)));
    let found = found.as_array().unwrap().iter();
    let found: BTreeSet<_> =
        found.map(|one| format!("{} {} {}", one["code"], one["message"], one["path"])).collect();
    assert!(found.is_empty(), "{found:#?}");
}
