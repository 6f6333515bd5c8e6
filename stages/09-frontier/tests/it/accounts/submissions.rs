//! Idempotency keys, batches, priorities and queue timeouts over HTTP.

use std::time::Duration;

use harness::{Client, Method, eventually_some};
use serde_json::{Value, json};

use super::clients::{self, id_of, post_with_key};
use super::{Site, Tenants};

#[tokio::test]
async fn a_repeated_request_makes_nothing_new() {
    let Tenants { alice, mallory, server: _server, site: _site, .. } = Tenants::new();
    clients::a_repeated_request_makes_nothing_new(&alice, &mallory).await;
}

#[tokio::test]
async fn parallel_repetitions_make_one_evaluation() {
    let Tenants { alice, server: _server, site: _site, .. } = Tenants::new();
    clients::parallel_repetitions_make_one_evaluation(&alice).await;
}

async fn ended(client: &Client, id: &str) -> Value {
    let path = format!("/batches/{id}");
    eventually_some("the batch has ended", Duration::from_mins(1), async || {
        let batch = client.get(&path).await.json();
        (batch["status"] == "ended").then_some(batch)
    })
    .await
}

#[tokio::test]
async fn a_batch_is_accepted_runs_and_is_found_by_one_id() {
    let Tenants { alice, mallory, admin, server: _server, site: _site } = Tenants::new();
    let programs: Vec<_> = (0..30).map(|n| json!({ "code": format!("print({n})") })).collect();
    let body = json!({ "evaluations": programs });
    let accepted = post_with_key(&alice, "/batches", "\"b-1\"", &body).await;
    assert_eq!(accepted.status, 202, "{accepted:?}");
    let id = id_of(&accepted);
    assert_eq!(accepted.headers["location"], format!("/batches/{id}").as_str());
    assert_eq!(accepted.json()["total"], 30);
    let batch = ended(&alice, &id).await;
    assert_eq!(batch["counts"]["completed"], 30, "{batch}");
    // The results come in the order of the submissions, page by page.
    let (mut texts, mut cursor) = (Vec::new(), String::new());
    loop {
        let page = alice.get(&format!("/batches/{id}/results?limit=7{cursor}")).await.json();
        let items = page["items"].as_array().unwrap();
        texts.extend(items.iter().map(|item| item["stdout"]["text"].as_str().unwrap().to_owned()));
        let Some(next) = page["next_cursor"].as_str() else { break };
        cursor = format!("&cursor={next}");
    }
    assert_eq!(texts, (0..30).map(|number| format!("{number}\n")).collect::<Vec<_>>());
    let again = post_with_key(&alice, "/batches", "\"b-1\"", &body).await;
    assert_eq!((again.status, id_of(&again)), (202, id.clone()));
    assert_eq!(post_with_key(&alice, "/eval", "\"b-1\"", &json!({ "code": "" })).await.status, 422);
    // Another key finds no batch, on no route, and cannot cancel it.
    for (method, path) in [
        (Method::GET, format!("/batches/{id}")),
        (Method::GET, format!("/batches/{id}/results")),
        (Method::GET, format!("/batches/{id}/results?cursor={id}")),
        (Method::DELETE, format!("/batches/{id}")),
    ] {
        let response = mallory.send(mallory.request(method, &path)).await;
        assert_eq!(response.status, 404, "{path}");
    }
    let theirs = post_with_key(&mallory, "/batches", "\"b-1\"", &body).await;
    assert_ne!(id_of(&theirs), id);
    assert_eq!(admin.get(&format!("/batches/{id}")).await.status, 200);
}

#[tokio::test]
async fn a_batch_is_refused_as_a_whole() {
    let Tenants { alice, server: _server, site: _site, .. } =
        Tenants::with(&["--queue-capacity", "10", "--key-queued", "8"]);
    let batch = |count: usize| json!({ "evaluations": vec![json!({ "code": "pass" }); count] });
    for (body, status) in [
        (json!({}), 400),
        (json!({ "evaluations": [] }), 422),
        (json!({ "evaluations": {} }), 400),
        (batch(1001), 422),
        (json!({ "evaluations": [{ "code": "pass" }, { "code": "pass", "cod": 1 }] }), 400),
        (
            json!({ "evaluations": [{ "code": "pass" }, { "code": "x", "timeout_seconds": 1e9 }] }),
            422,
        ),
        (
            json!({ "evaluations": [{ "code": "pass" }, { "code": "x", "priority": "urgent" }] }),
            422,
        ),
        (batch(9), 422),
    ] {
        let response = alice.post("/batches", &body).await;
        assert_eq!(response.status, status, "{response:?}");
    }
    let wrong =
        json!({ "evaluations": [{ "code": "pass" }, { "code": "x", "timeout_seconds": 1e9 }] });
    let problem = alice.post("/batches", &wrong).await.json();
    assert_eq!(problem["errors"][0]["pointer"], "/evaluations/1/timeout_seconds", "{problem}");
    assert!(alice.get("/eval").await.json()["items"].as_array().unwrap().is_empty());
    let sleeps = json!({ "code": "import time; time.sleep(60)" });
    let first = json!({ "evaluations": vec![sleeps; 8] });
    assert_eq!(alice.post("/batches", &first).await.status, 202);
    let refused = alice.post("/batches", &batch(8)).await;
    assert_eq!((refused.status, refused.header("retry-after")), (429, "5"), "{refused:?}");
}

#[tokio::test]
async fn a_cancelled_batch_ends() {
    let Tenants { alice, server: _server, site: _site, .. } = Tenants::new();
    let body = json!({ "evaluations": vec![json!({ "code": "import time; time.sleep(60)" }); 20] });
    let id = id_of(&alice.post("/batches", &body).await);
    let cancelled = alice.delete(&format!("/batches/{id}")).await;
    assert_eq!(cancelled.status, 200, "{cancelled:?}");
    let batch = ended(&alice, &id).await;
    assert_eq!(batch["counts"]["cancelled"], 20, "{batch}");
    assert_eq!(alice.delete(&format!("/batches/{id}")).await.status, 200, "there is nothing to do");
}

#[tokio::test]
async fn what_waits_too_long_expires_and_what_runs_does_not() {
    let Tenants { alice, server: _server, site: _site, .. } = Tenants::with(&["--workers", "1"]);
    let long =
        json!({ "code": "import time; time.sleep(3); print('done')", "queue_timeout_seconds": 60 });
    let running = alice.submit(&long).await;
    alice.wait_for_status(&running, "running").await;
    let waiting = alice.submit(&json!({ "code": "pass", "queue_timeout_seconds": 0.2 })).await;
    let expired = alice.wait(&waiting).await;
    assert_eq!(
        (&expired["status"], &expired["outcome"]),
        (&json!("failed"), &json!("queue_time_exceeded"))
    );
    assert_eq!(expired["evidence"]["decided_by"], "queue_timeout");
    assert!(expired["timing"]["started_at"].is_null(), "{expired}");
    assert_eq!(alice.wait(&running).await["stdout"]["text"], "done\n");
}

#[tokio::test]
async fn a_list_finds_what_has_expired_in_the_queue() {
    let Tenants { alice, mallory, server: _server, site: _site, .. } =
        Tenants::with(&["--workers", "1"]);
    let blocker = alice.submit_code("import time; time.sleep(600)").await;
    alice.wait_for_status(&blocker, "running").await;
    let mut expired = Vec::new();
    for _ in 0..3 {
        let body = json!({ "code": "pass", "queue_timeout_seconds": 0.1 });
        expired.push(alice.submit(&body).await);
    }
    for id in &expired {
        alice.wait(id).await;
    }
    alice.delete(&format!("/eval/{blocker}")).await;
    alice.wait(&blocker).await;
    expired.reverse();
    for filter in ["outcome=queue_time_exceeded", "status=failed"] {
        let list = async |client: &harness::Client| {
            let list = client.get(&format!("/eval?{filter}")).await;
            assert_eq!(list.status, 200, "{list:?}");
            let items = list.json()["items"].as_array().unwrap().clone();
            items.iter().map(|one| one["id"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
        };
        assert_eq!(list(&alice).await, expired, "{filter}");
        assert!(list(&mallory).await.is_empty(), "{filter}");
    }
}

#[tokio::test]
async fn priorities_decide_the_order_and_wrong_ones_are_refused() {
    let Tenants { alice, server: _server, site: _site, .. } = Tenants::with(&["--workers", "1"]);
    let blocker = alice.submit_code("import time; time.sleep(2)").await;
    alice.wait_for_status(&blocker, "running").await;
    let low = alice.submit(&json!({ "code": "pass", "priority": "low" })).await;
    let high =
        alice.submit(&json!({ "code": "pass", "priority": "high", "max_attempts": 3 })).await;
    let mut started = Vec::new();
    for id in [&high, &low] {
        started.push(alice.wait(id).await["timing"]["started_at"].as_str().unwrap().to_owned());
    }
    assert!(started.is_sorted(), "{started:?}");
    for (body, status) in [
        (json!({ "code": "pass", "priority": "urgent" }), 422),
        (json!({ "code": "pass", "priority": 1 }), 400),
        (json!({ "code": "pass", "queue_timeout_seconds": 0 }), 422),
        (json!({ "code": "pass", "max_attempts": 11 }), 422),
        (json!({ "code": "pass", "owner": "another" }), 400),
        (json!({ "code": "pass", "extensions": {} }), 400),
        (json!({ "code": "pass", "scheduling": { "owner": "another" } }), 400),
    ] {
        assert_eq!(alice.post("/eval", &body).await.status, status, "{body}");
    }
}

#[tokio::test]
async fn a_kill_forgets_no_idempotency_key_no_batch_and_no_key() {
    let site = Site::new();
    let key = site.key("alice", &["submit", "read"]);
    let server = site.launch().args(["--workers", "1"]).start();
    let alice = server.client().with_key(&key);
    let program = json!({ "code": "import time; time.sleep(0.2); print(1)" });
    let batch = json!({ "evaluations": vec![program.clone(); 5] });
    let one = id_of(&post_with_key(&alice, "/eval", "\"one\"", &program).await);
    let many = id_of(&post_with_key(&alice, "/batches", "\"many\"", &batch).await);
    server.kill();
    let server = site.start();
    let alice = server.client().with_key(&key);
    let again = post_with_key(&alice, "/eval", "\"one\"", &program).await;
    assert_eq!((again.status, id_of(&again)), (202, one));
    let again = post_with_key(&alice, "/batches", "\"many\"", &batch).await;
    assert_eq!((again.status, id_of(&again)), (202, many.clone()));
    assert_eq!(post_with_key(&alice, "/eval", "\"one\"", &batch["evaluations"]).await.status, 400);
    let ended = ended(&alice, &many).await;
    assert_eq!(ended["counts"]["queued"], 0, "{ended}");
    assert_eq!(ended["total"], 5);
    assert!(site.output(&["audit", "verify"]).contains("none changed"));
}
