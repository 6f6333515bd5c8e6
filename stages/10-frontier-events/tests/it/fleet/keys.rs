//! Keys of workers.

use std::fs;
use std::process::Command;

use harness::{Client, Server, eventually_some};
use serde_json::json;

use super::by_hand::{Hand, announcement};
use super::site::{EVENT_TIMEOUT, Site, ready};
use crate::broker::system::Nats;
use crate::stage::BINARY;

fn key(site: &Site, name: &str, scopes: &[&str]) -> String {
    let mut command = Command::new(BINARY);
    command.args(["keys", "create", "--name", name]);
    for scope in scopes {
        command.args(["--scope", scope]);
    }
    let output = command.arg("--data-dir").arg(site.path("data")).output().unwrap();
    assert!(output.status.success(), "{output:?}");
    String::from_utf8(output.stdout).unwrap().trim().to_owned()
}

fn revoke(site: &Site, name: &str) {
    let keys = |arguments: &[&str]| {
        let mut command = Command::new(BINARY);
        command.arg("keys").args(arguments).arg("--data-dir").arg(site.path("data"));
        let output = command.output().unwrap();
        assert!(output.status.success(), "{output:?}");
        String::from_utf8(output.stdout).unwrap()
    };
    let list = keys(&["list"]);
    let line = list.lines().find(|line| line.ends_with(&format!("\t{name}"))).unwrap();
    keys(&["revoke", line.split('\t').next().unwrap()]);
}

fn file(site: &Site, name: &str, text: &str) -> String {
    let path = site.path(name);
    fs::write(&path, text).unwrap();
    path.display().to_string()
}

struct Closed {
    site: Site,
    api: Server,
    client: Client,
    _nats: Nats,
}

/// An API with keys.
fn closed() -> Closed {
    closed_with(60)
}

fn closed_with(lease_seconds: u32) -> Closed {
    let nats = Nats::start();
    let site = Site::on_nats(&nats, lease_seconds);
    let admin = key(&site, "admin", &["admin"]);
    let api = site.api();
    let client = api.client().with_key(&admin);
    Closed { site, api, client, _nats: nats }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_needs_a_key_with_its_scope() {
    let Closed { site, client, .. } = &closed();
    let mut without = site.worker("without");
    assert_eq!(without.ended().code(), Some(1));
    assert!(without.log().contains("the API answers 401"), "{}", without.log());
    assert!(without.log().contains("--api-key-file"), "{}", without.log());
    let submitter = file(site, "submitter", &key(site, "submitter", &["submit", "read"]));
    let mut wrong = site.worker_with("wrong", &["--api-key-file", &submitter]);
    assert_eq!(wrong.ended().code(), Some(1));
    assert!(wrong.log().contains("scope worker"), "{}", wrong.log());
    let mut absent = site.worker_with("absent", &["--api-key-file", "/nowhere/key"]);
    assert_eq!(absent.ended().code(), Some(2));
    assert!(absent.log().contains("cannot read /nowhere/key"), "{}", absent.log());
    let empty = file(site, "empty", "hello\n");
    let mut none = site.worker_with("none", &["--api-key-file", &empty]);
    assert_eq!(none.ended().code(), Some(2));
    assert!(none.log().contains("has no key"), "{}", none.log());
    let right = key(site, "worker", &["worker"]);
    let right = file(site, "right", &format!("{right}\n"));
    let worker = site.worker_with("right", &["--api-key-file", &right]);
    ready(client, 1).await;
    assert_eq!(client.run("print(1)").await["stdout"]["text"], "1\n");
    assert!(!worker.log().contains("crk_"), "a key is in the log");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_of_a_worker_is_for_nothing_else_and_no_other_key_is_for_workers() {
    let Closed { site, api, client, .. } = &closed();
    let of = |name: &str, scopes: &[&str]| api.client().with_key(&key(site, name, scopes));
    let worker = of("worker", &["worker"]);
    let id = client.submit_code("print(1)").await;
    for path in ["/eval", "/workers", "/keys", "/status", "/events", &format!("/eval/{id}")] {
        assert_eq!(worker.get(path).await.status, 403, "{path}");
    }
    assert_eq!(worker.post("/eval", &json!({ "code": "" })).await.status, 403);
    let own = "/workers/019abcde-f012-7345-8678-9abcdef01234";
    assert_eq!(worker.post(&format!("{own}/drain"), &json!({})).await.status, 403);
    let submitter = of("submitter", &["submit", "read"]);
    let sync = json!({ "sessions": [], "cancelled": [], "draining": false });
    let claim = json!({ "evaluation": id, "attempt": 1, "claim": id });
    for (path, body) in [("sync", &sync), ("claim", &claim)] {
        let path = format!("{own}/{path}");
        assert_eq!(submitter.post(&path, body).await.status, 403, "{path}");
        assert_eq!(api.client().post(&path, body).await.status, 401, "{path}");
        assert_eq!(worker.post(&path, body).await.status, 404, "{path}");
    }
    assert_eq!(submitter.get("/workers").await.status, 403);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_is_of_one_key_and_ends_when_that_is_revoked() {
    let Closed { site, api, client, .. } = &closed_with(10);
    let [stolen, other] =
        ["stolen", "other"].map(|name| api.client().with_key(&key(site, name, &["worker"])));
    let hand = Hand::join(&stolen, 1).await;
    let id = client.submit(&json!({ "code": "", "max_attempts": 2 })).await;
    let token = hand.token(&id, 1).await;
    assert_eq!(hand.output(&token, 0, "first").await, 204);
    // Another worker knows everything of the first but its key.
    let thief = Hand { client: &other, id: hand.id.clone() };
    assert_eq!(thief.announce(&announcement()).await.status, 404);
    let sync = json!({ "sessions": [token], "cancelled": [], "draining": false });
    assert_eq!(thief.post("sync", &sync).await.status, 404);
    assert_eq!(thief.output(&token, 5, "forged").await, 410);
    assert_eq!(thief.result(&token, 0).await, 410);
    assert_eq!(other.delete(&format!("/workers/{}", hand.id)).await.status, 404);
    revoke(site, "stolen");
    eventually_some("the key is refused", EVENT_TIMEOUT, async || {
        (hand.output(&token, 0, "first").await == 401).then_some(())
    })
    .await;
    assert_eq!(hand.result(&token, 0).await, 401);
    assert_eq!(hand.announce(&announcement()).await.status, 401);
    // What the worker of that key had claimed is lost after its lease, and runs elsewhere.
    client.wait_until(&id, "the second attempt", |one| one["attempt"] == 2).await;
    let second = Hand::join(&other, 2).await;
    let token = second.token(&id, 2).await;
    assert_eq!(second.output(&token, 0, "second").await, 204);
    assert_eq!(second.result(&token, 0).await, 204);
    assert_eq!(client.wait(&id).await["stdout"]["text"], "second");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_speaks_tls_and_trusts_whom_it_was_told_to() {
    let nats = Nats::start();
    let site = Site::on_nats(&nats, 60);
    let certificate = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).unwrap();
    let cert = file(&site, "cert.pem", &certificate.cert.pem());
    let private = file(&site, "key.pem", &certificate.signing_key.serialize_pem());
    let mut api = site.command();
    let mut api = api.args(["--tls-cert", &cert, "--tls-key", &private]).spawn().unwrap();
    let url = site.url().replace("http://127.0.0.1", "https://localhost");
    let trusting = site.worker_at(&url, "trusting", &["--api-ca", &cert]);
    trusting.has_logged("working for https://localhost").await;
    let other = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).unwrap();
    let other = file(&site, "other.pem", &other.cert.pem());
    let wary = site.worker_at(&url, "wary", &["--api-ca", &other]);
    wary.has_logged("not joined yet").await;
    let none = file(&site, "none.pem", "no certificate");
    let mut lost = site.worker_at(&url, "lost", &["--api-ca", &none]);
    assert_eq!(lost.ended().code(), Some(1));
    assert!(lost.log().contains("--api-ca"), "{}", lost.log());
    drop((trusting, wary));
    api.kill().unwrap();
    api.wait().unwrap();
}
