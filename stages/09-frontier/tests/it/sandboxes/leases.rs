//! Sandboxes are opened, found, renewed and removed by the key that they belong to.

use std::time::Duration;

use harness::{Client, Method, Server};
use serde_json::{Value, json};

use super::{Sandbox, launch, put};
use crate::accounts::Site;

/// The standard output of a command of the stage on the data of a site.
fn output(site: &Site, arguments: &[&str]) -> String {
    let mut command = std::process::Command::new(crate::stage::BINARY);
    command.args(arguments).arg("--data-dir").arg(site.path().join("data"));
    let output = command.output().unwrap();
    assert!(output.status.success(), "{output:?}");
    String::from_utf8(output.stdout).unwrap().trim().to_owned()
}

fn key(site: &Site, name: &str, scopes: &[&str]) -> String {
    let mut arguments = vec!["keys", "create", "--name", name];
    for scope in scopes {
        arguments.extend(["--scope", scope]);
    }
    output(site, &arguments)
}

/// A server, and the keys of two tenants.
fn served(site: &Site, arguments: &[&str]) -> (Server, [Client; 2]) {
    let both = ["submit", "read"];
    let keys = [key(site, "alice", &both), key(site, "mallory", &both)];
    let server = launch(site.path()).args(arguments).start();
    let clients = keys.map(|key| server.client().with_key(&key));
    (server, clients)
}

async fn with_key(client: &Client, key: &str, body: &Value) -> harness::Response {
    let request = client.request(Method::POST, "/sandboxes").json(body);
    client.send(request.header("idempotency-key", format!("\"{key}\""))).await
}

#[tokio::test]
async fn a_revoked_key_has_no_sandboxes() {
    let site = Site::new();
    let admin = key(&site, "admin", &["admin"]);
    let (server, [alice, mallory]) = served(&site, &[]);
    let admin = server.client().with_key(&admin);
    let own = Sandbox::open(&alice, json!({})).await;
    let other = Sandbox::open(&mallory, json!({})).await;
    other.detach("e", json!({ "argv": ["sleep", "600"] })).await;
    let list = output(&site, &["keys", "list"]);
    let line = list.lines().find(|line| line.ends_with("\tmallory")).unwrap();
    output(&site, &["keys", "revoke", line.split('\t').next().unwrap()]);
    let path = other.path("");
    let has_ended = async || (admin.get(&path).await.json()["status"] == "ended").then_some(());
    harness::eventually_some("it has ended", Duration::from_mins(1), has_ended).await;
    assert_eq!(own.get("").await.json()["status"], "ready");
}

#[tokio::test]
async fn another_keys_sandbox_does_not_exist() {
    let site = Site::new();
    let arguments = ["--key-sandboxes", "2", "--sandbox-seconds", "5000"];
    let (_server, [alice, mallory]) = served(&site, &arguments);
    let labels = json!({ "labels": { "task": "t-1" }, "lifetime_seconds": 1000 });
    let first = with_key(&alice, "k", &labels).await;
    assert_eq!(first.status, 201, "{first:?}");
    let again = with_key(&alice, "k", &labels).await;
    assert_eq!((again.status, &again.json()["id"]), (201, &first.json()["id"]), "{again:?}");
    assert_eq!(with_key(&alice, "k", &json!({})).await.status, 422);
    let id = first.json()["id"].as_str().unwrap().to_owned();
    let own = Sandbox { client: alice.clone(), id: id.clone() };
    let cat = json!({ "argv": ["cat"], "stdin": "stream", "detach": false });
    let ended = own.exec("e", &cat);
    let ended = tokio::time::timeout(Duration::from_millis(300), ended).await;
    assert!(ended.is_err(), "it waits for its input");

    // Every route, with the id of a sandbox that is another key's.
    let foreign = Sandbox { client: mallory.clone(), id };
    let exec = json!({ "argv": ["true"] });
    let mut answers = Vec::new();
    for path in [
        "",
        "/execs",
        "/execs/e",
        "/execs/e/stdout",
        "/execs/e/stderr",
        "/execs/e/events",
        "/file?path=x",
        "/tar?path=x",
        "/diff",
    ] {
        answers.push((path, foreign.get(path).await));
    }
    answers.push(("renew", mallory.post(&foreign.path("/renew"), &json!({})).await));
    answers.push(("exec", foreign.put("/execs/e", &exec).await));
    let signal = json!({ "signal": "KILL" });
    answers.push(("signal", mallory.post(&foreign.path("/execs/e/signal"), &signal).await));
    answers.push(("stdin", foreign.put_bytes("/execs/e/stdin", "x").await));
    answers.push(("write", foreign.put_bytes("/file?path=x", "x").await));
    answers.push(("kill", mallory.delete(&foreign.path("/execs/e")).await));
    answers.push(("remove", mallory.delete(&foreign.path("")).await));
    for (what, answer) in answers {
        assert_eq!(answer.status, 404, "{what}: {answer:?}");
        assert_eq!(answer.json()["detail"], "there is no sandbox with this id", "{what}");
    }
    let listed = async |client: &Client, query: &str| {
        let page = client.get(&format!("/sandboxes{query}")).await.json();
        page["items"].as_array().unwrap_or_else(|| panic!("{page}")).len()
    };
    assert_eq!(listed(&mallory, "").await, 0);
    assert_eq!(listed(&alice, "?label=task%3Dt-1&status=ready").await, 1);
    assert_eq!(listed(&alice, "?label=task%3Dt-2").await, 0);
    let text = own.put_bytes("/execs/e/stdin?eof=true", "hello").await;
    assert_eq!(text.json(), json!({ "received": 5, "closed": true }));
    assert_eq!(own.ended("e").await["stdout"]["text"], "hello");

    // A quota, and the end of what has it.
    let second = Sandbox::open(&alice, json!({ "lifetime_seconds": 5000 })).await;
    let refused = alice.post("/sandboxes", &json!({})).await;
    assert_eq!(refused.status, 429, "{refused:?}");
    assert!(!refused.header("retry-after").is_empty());
    let renewed = alice.post(&own.path("/renew"), &json!({ "lifetime_seconds": 4000 })).await;
    assert_eq!((renewed.status, &renewed.json()["lifetime_seconds"]), (200, &json!(4000)));
    let renewed = alice.post(&second.path("/renew"), &json!({})).await.json();
    let whole = renewed["expires_at"].as_str().unwrap() > renewed["created_at"].as_str().unwrap();
    assert!(whole, "{renewed}");
    for _ in 0..2 {
        let removed = alice.delete(&second.path("")).await;
        assert_eq!((removed.status, &removed.json()["end_reason"]), (200, &json!("removed")));
    }
    let gone = second.put("/execs/e", &exec).await;
    assert_eq!((gone.status, &gone.json()["end_reason"]), (410, &json!("removed")), "{gone:?}");
    assert_eq!(Sandbox::open(&alice, json!({})).await.get("").await.json()["status"], "ready");
    let metrics = alice.get("/metrics").await.text();
    for line in [
        "crucible_sandboxes_open 2",
        "crucible_sandboxes_ended_total{reason=\"removed\"} 1",
        "crucible_sandbox_execs_total{outcome=\"exited\"} 1",
        "crucible_sandbox_quota_refusals_total 1",
    ] {
        assert!(metrics.lines().any(|found| found == line), "{line}: {metrics}");
    }
}

#[tokio::test]
async fn idle_time_and_lifetime_end_a_sandbox() {
    let directory = tempfile::tempdir().unwrap();
    let memory = ((4_u64 * (512 + 568)) << 20).to_string();
    let limits = ["--sandboxes", "3", "--key-sandbox-memory-bytes", &memory];
    let server = launch(directory.path()).args(limits).start();
    let client = server.client();
    // What it may use above its limit counts as well: 568 MiB with 64 processes or more.
    let large = json!({ "limits": { "memory_bytes": (4_u64 * (512 + 568) - 567) << 20 } });
    let refused = client.post("/sandboxes", &large).await;
    assert_eq!(refused.status, 429, "{refused:?}");
    assert!(refused.text().contains("bytes of memory"), "{refused:?}");
    let idle = Sandbox::open(&client, json!({ "idle_timeout_seconds": 1 })).await;
    let used = Sandbox::open(&client, json!({ "idle_timeout_seconds": 1 })).await;
    used.detach("sleep", json!({ "argv": ["sleep", "3"] })).await;
    let short = Sandbox::open(&client, json!({ "lifetime_seconds": 6 })).await;
    short.detach("sleep", json!({ "argv": ["sleep", "100"] })).await;
    for (sandbox, reason) in
        [(&idle, "idle_timeout"), (&short, "lifetime_exceeded"), (&used, "idle_timeout")]
    {
        let ended = async || {
            let found = sandbox.get("").await.json();
            (found["status"] == "ended").then_some(found)
        };
        let found = harness::eventually_some("its end", Duration::from_mins(1), ended).await;
        assert_eq!(found["end_reason"], reason, "{found}");
    }
    let times = async |sandbox: &Sandbox| {
        let found = sandbox.get("").await.json();
        found["ended_at"].as_str().unwrap().to_owned()
    };
    assert!(times(&idle).await < times(&used).await, "an execution is a use");
}

#[tokio::test]
async fn a_request_that_is_wrong_is_told_how() {
    let directory = tempfile::tempdir().unwrap();
    let server = launch(directory.path()).args(["--sandboxes", "1"]).start();
    let client = server.client();
    for (body, status, pointer) in [
        (json!({ "environment": "python" }), 422, "/environment"),
        (json!({ "environment": "../x" }), 422, "/environment"),
        (json!({ "limits": { "memory_bytes": 1_u64 << 45 } }), 422, "/limits/memory_bytes"),
        (json!({ "limits": { "pids": 0 } }), 422, "/limits/pids"),
        (json!({ "limits": { "network": true } }), 400, "/limits/network"),
        (json!({ "lifetime_seconds": 200_000 }), 422, "/lifetime_seconds"),
        (json!({ "lifetime_seconds": 0 }), 422, "/lifetime_seconds"),
        (json!({ "labels": { "a": 1 } }), 422, "/labels/a"),
        (json!({ "image": "x" }), 400, "/image"),
    ] {
        let refused = client.post("/sandboxes", &body).await;
        let text = refused.text();
        assert!([400, 422].contains(&refused.status), "{status} {body}: {text}");
        let first = pointer.split('/').nth(1).unwrap();
        assert!(text.contains(first), "{body}: {text}");
    }
    let sandbox = Sandbox::open(&client, json!({})).await;
    let full = client.post("/sandboxes", &json!({})).await;
    assert_eq!((full.status, &full.json()["kind"]), (503, &json!("full")), "{full:?}");
    assert!(!full.header("retry-after").is_empty());
    for (body, status) in [
        (json!({}), 400),
        (json!({ "argv": [] }), 422),
        (json!({ "argv": "ls" }), 422),
        (json!({ "argv": ["a\u{0}b"] }), 422),
        (json!({ "argv": ["a"], "env": { "A=B": "c" } }), 422),
        (json!({ "argv": ["a"], "cwd": "" }), 422),
        (json!({ "argv": ["a"], "stdin": { "base64": "?" } }), 422),
        (json!({ "argv": ["a"], "stdin": "x" }), 422),
        (json!({ "argv": ["a"], "max_output_bytes": 1 << 30 }), 422),
        (json!({ "argv": ["a"], "keep": "middle" }), 422),
        (json!({ "argv": ["a"], "timeout_seconds": -1 }), 422),
        (json!({ "argv": ["a"], "shell": true }), 400),
    ] {
        let refused = sandbox.put("/execs/e", &body).await;
        let is_refused = refused.status == status || [400, 422].contains(&refused.status);
        assert!(is_refused, "{body}: {refused:?}");
    }
    let text = sandbox.get("").await.json()["id"].as_str().unwrap().to_owned();
    assert_eq!(text, sandbox.id);
    for (path, status) in [
        ("/execs/e", 404),
        ("/execs/a%20b", 404),
        ("/execs/e?wait_seconds=301", 400),
        ("/execs/e/stdout?offset=-1", 400),
        ("/file", 400),
        ("/file?path=", 400),
        ("/file?path=x&mode=1", 400),
        ("/file?path=%00", 400),
        ("/nothing", 404),
        ("/execs?limit=1", 400),
    ] {
        let refused = sandbox.get(path).await;
        assert_eq!(refused.status, status, "{path}: {refused:?}");
    }
    for (path, status) in
        [("/sandboxes/x", 404), ("/sandboxes?status=lost", 400), ("/sandboxes?label=x", 400)]
    {
        assert_eq!(client.get(path).await.status, status, "{path}");
    }
    let signal = client.post(&sandbox.path("/execs/e/signal"), &json!({ "signal": "TERM" })).await;
    assert_eq!(signal.status, 404, "{signal:?}");
    sandbox.detach("e", json!({ "argv": ["sleep", "100"] })).await;
    for body in [json!({}), json!({ "signal": "NOSUCH" }), json!({ "signal": 65 })] {
        let refused = client.post(&sandbox.path("/execs/e/signal"), &body).await;
        assert!([400, 422].contains(&refused.status), "{body}: {refused:?}");
    }
    let refused = sandbox.put_bytes("/execs/e/stdin", "x").await;
    assert_eq!((refused.status, &refused.json()["kind"]), (409, &json!("stdin_not_streamed")));
    assert_eq!(put(&client, &sandbox.path("/file?path=x"), &json!({})).await.status, 415);
}

/// Without isolation there is nothing that a sandbox could be opened with.
#[tokio::test]
async fn a_server_without_such_an_engine_opens_none_and_says_so() {
    let directory = tempfile::tempdir().unwrap();
    let server = crate::stage::start(directory.path());
    let client = server.client();
    let refused = client.post("/sandboxes", &json!({})).await;
    assert_eq!(
        (refused.status, &refused.json()["kind"]),
        (501, &json!("no_engine")),
        "{refused:?}"
    );
    assert!(refused.text().contains("local engine"), "{refused:?}");
    assert_eq!(client.get("/sandboxes").await.json(), json!({ "items": [], "next_cursor": null }));
}
