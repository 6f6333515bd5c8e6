//! The protocol, with a test in the place of the worker: what a faithful worker never does.

use harness::{Client, Method, Response, eventually_some};
use serde_json::{Value, json};

use super::site::{EVENT_TIMEOUT, Site};
use crate::broker::system::Nats;

/// A worker that is this test.
pub(super) struct Hand<'a> {
    pub(super) client: &'a Client,
    pub(super) id: String,
}

pub(super) fn announcement() -> Value {
    json!({
        "protocol": 1, "name": "by hand", "version": "0.1.0", "capacity": 2,
        "environments": { "python": null },
        "sandbox": { "engine": "subprocess" },
        "bounds": {
            "limits": {
                "timeout_seconds": 30, "cpu_seconds": 30, "memory_bytes": 268_435_456, "pids": 64,
                "output_bytes": 1_048_576, "disk_bytes": 67_108_864, "open_files": 256,
            },
            "max_timeout_seconds": 300, "max_memory_bytes": 1_073_741_824,
        },
    })
}

impl<'a> Hand<'a> {
    pub(super) async fn join(client: &'a Client, number: u32) -> Self {
        let hand = Self { client, id: format!("019abcde-f012-7345-8678-9abcdef0{number:04}") };
        let answer = hand.announce(&announcement()).await;
        assert_eq!(answer.status, 200, "{answer:?}");
        hand
    }

    pub(super) async fn announce(&self, announcement: &Value) -> Response {
        let request = self.client.request(Method::PUT, &format!("/workers/{}", self.id));
        self.client.send(request.json(announcement)).await
    }

    pub(super) async fn post(&self, path: &str, body: &Value) -> Response {
        self.client.post(&format!("/workers/{}/{path}", self.id), body).await
    }

    async fn claim(&self, evaluation: &str, attempt: u32) -> Response {
        let claim = "019abcde-f012-7345-8678-9abcdef01234";
        self.post("claim", &json!({ "evaluation": evaluation, "attempt": attempt, "claim": claim }))
            .await
    }

    pub(super) async fn token(&self, evaluation: &str, attempt: u32) -> String {
        let answer = self.claim(evaluation, attempt).await;
        assert_eq!(answer.status, 200, "{answer:?}");
        answer.json()["token"].as_str().unwrap().to_owned()
    }

    pub(super) async fn output(&self, token: &str, offset: u64, text: &str) -> u16 {
        let piece = json!({ "stream": "stdout", "offset": offset, "base64": base64(text) });
        self.post("output", &json!({ "token": token, "pieces": [piece] })).await.status
    }

    async fn file(&self, token: &str, number: u64, path: Option<&str>, text: &str) -> u16 {
        let mut part = json!({ "token": token, "number": number, "base64": base64(text) });
        if let Some(path) = path {
            part["path"] = base64(path).into();
        }
        self.post("files", &part).await.status
    }

    pub(super) async fn result(&self, token: &str, file_parts: u64) -> u16 {
        let verdict = json!({
            "outcome": "exited", "exit_code": 0, "signal": null, "usage": null,
            "evidence": { "decided_by": "exit_status" }, "error": null,
        });
        let result = json!({
            "token": token, "pieces": [], "file_parts": file_parts, "excess_bytes": [0, 0],
            "verdict": verdict,
        });
        self.post("result", &result).await.status
    }
}

fn base64(text: &str) -> String {
    use base64::Engine as _;
    base64::engine::general_purpose::STANDARD.encode(text)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_counts_until_its_lease_is_over_and_a_later_one_after_it() {
    let nats = Nats::start();
    let site = Site::on_nats(&nats, 3);
    let api = site.api();
    let client = api.client();
    let (one, two) = (Hand::join(&client, 1).await, Hand::join(&client, 2).await);
    let id = client.submit(&json!({ "code": "", "max_attempts": 2 })).await;
    let first = one.token(&id, 1).await;
    assert_eq!(one.token(&id, 1).await, first, "a claim whose answer was lost is repeated");
    assert_eq!(two.claim(&id, 1).await.status, 409);
    assert_eq!(one.output(&first, 0, "first").await, 204);
    assert_eq!(two.output(&first, 5, "forged").await, 410);
    // No sign of life any more.
    client.wait_until(&id, "the second attempt", |one| one["attempt"] == 2).await;
    for worker in [&one, &two] {
        assert_eq!(worker.announce(&announcement()).await.status, 200);
    }
    assert_eq!(one.claim(&id, 1).await.status, 409, "the ticket of the first attempt");
    let second = two.token(&id, 2).await;
    assert_ne!(first, second);
    assert_eq!(one.output(&first, 5, "late").await, 410);
    assert_eq!(one.result(&first, 0).await, 410);
    let sync = json!({ "sessions": [first], "cancelled": [], "draining": false });
    assert_eq!(one.post("sync", &sync).await.json()["lost"], json!([first]));
    assert_eq!(two.output(&second, 0, "second").await, 204);
    assert_eq!(two.result(&second, 0).await, 204);
    assert_eq!(two.result(&second, 0).await, 204, "a result whose answer was lost is confirmed");
    assert_eq!(one.result(&second, 0).await, 410);
    assert_eq!(two.output(&second, 6, "after the end").await, 410);
    let ended = client.wait(&id).await;
    assert_eq!(
        (&ended["stdout"]["text"], &ended["attempt"]),
        (&json!("second"), &json!(2)),
        "{ended}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn requests_may_be_repeated_and_none_may_be_left_out() {
    let nats = Nats::start();
    let site = Site::on_nats(&nats, 60);
    let api = site.api();
    let client = api.client();
    let hand = Hand::join(&client, 1).await;
    let id = client.submit_code("").await;
    let token = hand.token(&id, 1).await;
    assert_eq!(hand.output(&token, 0, "abc").await, 204);
    assert_eq!(hand.output(&token, 0, "abc").await, 204);
    assert_eq!(hand.output(&token, 1, "bcd").await, 204);
    assert_eq!(hand.output(&token, 5, "f").await, 409, "a gap");
    assert_eq!(hand.file(&token, 0, Some("a.txt"), "one").await, 204);
    assert_eq!(hand.file(&token, 0, Some("a.txt"), "one").await, 204);
    assert_eq!(hand.file(&token, 2, None, "three").await, 409, "a gap");
    assert_eq!(hand.file(&token, 1, None, "two").await, 204);
    for path in ["../a", "/etc/passwd", ""] {
        assert_eq!(hand.file(&token, 2, Some(path), "x").await, 422, "{path}");
    }
    assert_eq!(hand.result(&token, 1).await, 409, "a part of a file is missing");
    assert_eq!(hand.result(&token, 2).await, 204);
    let ended = client.wait(&id).await;
    assert_eq!(ended["stdout"]["text"], "abcd");
    let file = client.get(&format!("/eval/{id}/artifacts/0")).await;
    assert_eq!((file.status, file.text().as_str()), (200, "onetwo"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_gets_what_it_can_run_and_no_more() {
    let nats = Nats::start();
    let site = Site::on_nats(&nats, 60);
    let api = site.api();
    let client = api.client();
    let hand = Hand::join(&client, 1).await;
    let mut ids = Vec::new();
    for _ in 0..4 {
        ids.push(client.submit_code("").await);
    }
    let first = hand.token(&ids[0], 1).await;
    hand.token(&ids[1], 1).await;
    let third = hand.claim(&ids[2], 1).await;
    assert_eq!(third.status, 409, "{third:?}");
    assert!(third.text().contains("as many as it can run"), "{third:?}");
    assert_eq!(hand.result(&first, 0).await, 204);
    assert_eq!(hand.claim(&ids[2], 2).await.status, 409, "no such attempt");
    assert_eq!(hand.claim(&ids[2], 1).await.status, 200);
    // A ticket for what was cancelled, which may still be at the broker.
    assert_eq!(client.delete(&format!("/eval/{}", ids[3])).await.status, 200);
    let cancelled = Hand::join(&client, 2).await.claim(&ids[3], 1).await;
    assert_eq!(cancelled.status, 409, "{cancelled:?}");
    for (change, pointer) in [
        (json!({ "engine": "docker" }), "/sandbox"),
        (json!(9), "/protocol"),
        (json!(1 << 28), "/bounds/max_memory_bytes"),
        (json!(16), "/bounds/limits/pids"),
    ] {
        let mut other = announcement();
        *other.pointer_mut(pointer).unwrap() = change;
        let refused = hand.announce(&other).await;
        assert_eq!(refused.status, 409, "{pointer}: {refused:?}");
    }
    // Without its environment there is no work: an environment that this API does not have is none.
    let mut other = announcement();
    other["environments"] = json!({ "science": format!("sha256:{}", "0".repeat(64)) });
    let stranger = Hand { client: &client, id: "019abcde-f012-7345-8678-9abcdef00009".to_owned() };
    assert_eq!(stranger.announce(&other).await.status, 200);
    let waits = client.submit_code("").await;
    let refused = stranger.claim(&waits, 1).await;
    assert_eq!(refused.status, 409, "{refused:?}");
    assert_eq!(client.evaluation(&waits).await["status"], "queued");
}

#[tokio::test(flavor = "multi_thread")]
async fn after_a_restart_of_the_api_no_old_token_counts() {
    let nats = Nats::start();
    let site = Site::on_nats(&nats, 60);
    let api = site.api();
    let client = api.client();
    let hand = Hand::join(&client, 1).await;
    let id = client.submit(&json!({ "code": "", "max_attempts": 2 })).await;
    let old = hand.token(&id, 1).await;
    assert_eq!(hand.output(&old, 0, "old").await, 204);
    api.kill();
    let api = site.api();
    let client = api.client();
    let hand = Hand { client: &client, ..hand };
    let sync = json!({ "sessions": [old], "cancelled": [], "draining": false });
    assert_eq!(hand.post("sync", &sync).await.status, 404);
    assert_eq!(hand.result(&old, 0).await, 410);
    assert_eq!(hand.announce(&announcement()).await.status, 200);
    assert_eq!(hand.result(&old, 0).await, 410);
    assert_eq!(hand.post("sync", &sync).await.json()["lost"], json!([old]));
    let new = hand.token(&id, 2).await;
    assert_eq!(hand.result(&new, 0).await, 204);
    assert_eq!(client.wait(&id).await["attempt"], 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cancellation_is_told_before_the_poll_time_is_over() {
    let nats = Nats::start();
    let site = Site::on_nats(&nats, 600);
    let api = site.api();
    let client = api.client();
    let hand = Hand::join(&client, 1).await;
    let id = client.submit_code("").await;
    let token = hand.token(&id, 1).await;
    let empty = json!({ "sessions": [], "cancelled": [], "draining": false });
    let request = client.request(Method::POST, &format!("/workers/{}/sync", hand.id)).json(&empty);
    let of_sync = client.clone();
    let held = tokio::spawn(async move { of_sync.send(request).await });
    assert_eq!(client.delete(&format!("/eval/{id}")).await.status / 100, 2);
    // The session is newer than the sync that is delayed. The poll time is 150 s.
    let told = tokio::time::timeout(EVENT_TIMEOUT, held).await.unwrap().unwrap();
    assert_eq!(told.json()["cancel"], json!([token]), "{told:?}");
    eventually_some("the end is recorded", EVENT_TIMEOUT, async || {
        (hand.result(&token, 0).await == 204).then_some(())
    })
    .await;
}
