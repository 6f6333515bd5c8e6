//! A sandbox that has really lost a part of its isolation, while the stage runs.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use harness::{Launch, eventually_some};
use serde_json::{Value, json};

use crate::receiver::Receiver;
use crate::stage::BINARY;

const TIMEOUT: Duration = Duration::from_mins(1);

/// Takes the place of runsc: leaves the network out of what is isolated, and starts the real one. The ladder does
/// the same with each of the controls.
const WITHOUT_NETWORK: &str = r#"#!/bin/sh
real=$0.real
spec=
for word; do case $word in --bundle=*) spec=${word#--bundle=}/config.json ;; esac; done
[ -n "$spec" ] || exec $real "$@"
sed 's/{"type":"network"},//' $spec > $spec.new && mv $spec.new $spec
for word; do
    shift
    [ "$word" = --network=none ] && word=--network=host
    set -- "$@" "$word"
done
exec $real "$@"
"#;

/// Puts a file in the place of another one at once.
fn replace(path: &Path, with: impl FnOnce(&Path)) {
    let new = path.with_extension("new");
    with(&new);
    fs::set_permissions(&new, fs::Permissions::from_mode(0o755)).unwrap();
    fs::rename(new, path).unwrap();
}

/// A copy of the runsc on `PATH`, and another one beside it for the script.
fn copy_runsc(directory: &Path) -> PathBuf {
    let paths = std::env::var_os("PATH").unwrap();
    let mut found = std::env::split_paths(&paths).map(|one| one.join("runsc"));
    let installed = found.find(|path| path.is_file()).expect("run infrastructure/setup/setup.sh");
    let runsc = directory.join("runsc");
    fs::copy(&installed, &runsc).unwrap();
    fs::hard_link(&runsc, directory.join("runsc.real")).unwrap();
    runsc
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sandbox_without_its_isolation_is_an_event_with_evidence_and_no_work_is_accepted() {
    let directory = tempfile::tempdir().unwrap();
    fs::set_permissions(directory.path(), fs::Permissions::from_mode(0o755)).unwrap();
    let (runsc, receiver) = (copy_runsc(directory.path()), Receiver::start(200).await);
    let server = Launch::new(BINARY)
        .args(["--strict-contract", "--workers", "1", "--warm-sandboxes", "0"])
        .args(["--self-test-seconds", "3600", "--webhook-allow", "127.0.0.1/32", "--runsc"])
        .arg(&runsc)
        .arg("--data-dir")
        .arg(directory.path().join("data"))
        .start();
    let client = server.client();
    let hook = json!({ "url": receiver.url, "events": ["security.violation"] });
    assert_eq!(client.post("/webhooks", &hook).await.status, 201);
    assert_eq!(client.run("print(1)").await["outcome"], "exited");
    let mut stream = client.all_events(None).await;

    replace(&runsc, |new| fs::write(new, WITHOUT_NETWORK).unwrap());
    let self_test = async || {
        let request = client.request(harness::Method::POST, "/self-test");
        client.send(request.header("prefer", "wait=60")).await
    };
    self_test().await;
    let event = stream.until("security.violation").await;
    assert_eq!(event.data()["component"], "runsc engine", "{event:?}");
    let evidence = &event.data()["evidence"];
    assert_eq!(evidence["decided_by"], "self_test", "{evidence}");
    assert_eq!(evidence["detail"], "a sandbox differs from what was ordered", "{evidence}");
    receiver.eventually("the webhook is called", |received| !received.is_empty()).await;
    assert_eq!(receiver.received()[0].event["data"]["evidence"], *evidence);
    let refused = client.post("/eval", &json!({ "code": "print(2)" })).await;
    assert_eq!(refused.status, 503, "{refused:?}");
    let row = async || {
        let page: Value = client.get("/audit").await.json();
        let rows = page["items"].as_array().unwrap();
        rows.iter().find(|row| row["action"] == "security.violation").cloned()
    };
    let row = eventually_some("the violation is in the audit log", TIMEOUT, row).await;
    assert_eq!(row["detail"].as_str().unwrap().parse::<Value>().unwrap(), *evidence, "{row}");

    // In force again: work is accepted, and the next loss is another event.
    replace(&runsc, |new| {
        fs::copy(runsc.with_extension("real"), new).unwrap();
    });
    self_test().await;
    assert_eq!(client.run("print(3)").await["stdout"]["text"], "3\n");
    let history: Value = client.get("/events/history?type=security.*").await.json();
    assert_eq!(history["items"].as_array().unwrap().len(), 1, "{history}");
}
