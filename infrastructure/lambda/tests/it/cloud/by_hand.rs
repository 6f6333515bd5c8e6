//! The protocol of workers, spoken by the test: what the conditions of the table decide.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use harness::Client;
use reqwest::Method;
use serde_json::{Value, json};

use super::site::Site;

/// Rounds of the race: each is one evaluation that two workers claim at the same time.
const ROUND_COUNT: usize = 20;

const OTHER: &str = "019abcde-f012-7345-8678-9abcdef01234";

/// A worker that does nothing by itself.
pub(super) struct Hand {
    client: Client,
    id: String,
}

impl Hand {
    pub(super) async fn join(client: &Client, number: u32) -> Self {
        let id = format!("019abcde-f012-7345-8678-9abcdef{number:05}");
        let hand = Self { client: client.clone(), id };
        let limits = json!({
            "timeout_seconds": 30.0, "cpu_seconds": 30.0, "memory_bytes": 256 << 20, "pids": 64,
            "output_bytes": 1 << 20, "disk_bytes": 64 << 20, "open_files": 256
        });
        let announcement = json!({
            "protocol": 1, "name": format!("hand {number}"), "version": "1", "capacity": 4,
            "environments": { "python": null }, "sandbox": { "engine": "subprocess" },
            "bounds": { "limits": limits, "max_timeout_seconds": 300.0, "max_memory_bytes": 1 << 30 }
        });
        let (status, welcome) = hand.send(Method::PUT, "", &announcement).await;
        assert_eq!(status, 200, "{welcome}");
        assert!(welcome["pause_seconds"].as_f64().unwrap() > 0.0, "{welcome}");
        hand
    }

    async fn send(&self, method: Method, path: &str, body: &Value) -> (u16, Value) {
        let request =
            self.client.request(method, &format!("/workers/{}{path}", self.id)).json(body);
        let response = self.client.send(request).await;
        let body = if response.body.is_empty() { Value::Null } else { response.json() };
        (response.status, body)
    }

    async fn claim(&self, evaluation: &str, attempt: u32, claim: &str) -> (u16, Value) {
        let body = json!({ "evaluation": evaluation, "attempt": attempt, "claim": claim });
        self.send(Method::POST, "/claim", &body).await
    }

    pub(super) async fn claimed(&self, evaluation: &str, attempt: u32) -> String {
        let (status, reply) = self.claim(evaluation, attempt, &self.id).await;
        assert_eq!(status, 200, "{reply}");
        reply["token"].as_str().unwrap().to_owned()
    }

    async fn output(&self, token: &str, pieces: &Value) -> u16 {
        let body = json!({ "token": token, "pieces": pieces });
        self.send(Method::POST, "/output", &body).await.0
    }

    pub(super) async fn result(
        &self,
        token: &str,
        outcome: &str,
        pieces: &Value,
        parts: u64,
    ) -> u16 {
        let verdict = json!({
            "outcome": outcome, "exit_code": 0, "signal": null, "usage": { "wall_ms": 5 },
            "evidence": { "decided_by": "exit_status" }, "error": null
        });
        let body = json!({
            "token": token, "pieces": pieces, "file_parts": parts, "verdict": verdict,
            "excess_bytes": [0, 0]
        });
        self.send(Method::POST, "/result", &body).await.0
    }

    async fn sync(&self, sessions: &[&str]) -> Value {
        let body = json!({ "sessions": sessions, "cancelled": [], "draining": false });
        let (status, reply) = self.send(Method::POST, "/sync", &body).await;
        assert_eq!(status, 200, "{reply}");
        reply
    }
}

fn piece(stream: &str, offset: usize, bytes: &[u8]) -> Value {
    json!({ "stream": stream, "offset": offset, "base64": STANDARD.encode(bytes) })
}

#[tokio::test(flavor = "multi_thread")]
async fn one_of_two_claims_gets_an_evaluation() {
    let site = Site::start(2).await;
    let one = Hand::join(&site.worker_client, 1).await;
    let other = Hand::join(&site.worker_client, 2).await;
    for round in 0..ROUND_COUNT {
        let id = site.client.submit_code("print(1)").await;
        let claims = tokio::join!(one.claim(&id, 1, &one.id), other.claim(&id, 1, &other.id));
        let mut statuses = [claims.0.0, claims.1.0];
        statuses.sort_unstable();
        assert_eq!(statuses, [200, 409], "round {round}: {claims:?}");
        // The same claim again is answered with the same session.
        let (winner, hand) =
            if claims.0.0 == 200 { (&claims.0.1, &one) } else { (&claims.1.1, &other) };
        let again = hand.claim(&id, 1, &hand.id).await;
        assert_eq!((again.0, &again.1["token"]), (200, &winner["token"]));
        let token = winner["token"].as_str().unwrap();
        // Two ends at once: both are confirmed, because they are the same, and one is recorded.
        let none = json!([]);
        let ends = tokio::join!(
            hand.result(token, "exited", &none, 0),
            hand.result(token, "exited", &none, 0)
        );
        assert_eq!(ends, (204, 204));
        assert_eq!(site.client.evaluation(&id).await["status"], "completed");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_fenced_result_changes_nothing() {
    let site = Site::with(2, &super::site::UNSANDBOXED, 2).await;
    let lost = Hand::join(&site.worker_client, 1).await;
    let next = Hand::join(&site.worker_client, 2).await;
    let id = site.client.submit(&json!({ "code": "print(1)", "max_attempts": 2 })).await;
    let stale = lost.claimed(&id, 1).await;
    assert_eq!(lost.output(&stale, &json!([piece("stdout", 0, b"stale")])).await, 204);
    assert_eq!(site.client.evaluation(&id).await["stdout"]["text"], "stale");
    // It gives no sign of life: the sweep gives its evaluation to another worker.
    site.sweep_until("the second attempt", async |_| {
        let now = site.client.evaluation(&id).await;
        (now["status"] == "queued" && now["attempt"] == 2).then_some(())
    })
    .await;
    assert_eq!(lost.claim(&id, 1, &lost.id).await.0, 409, "the ticket of the first attempt");
    let token = next.claimed(&id, 2).await;
    assert_eq!(lost.output(&stale, &json!([piece("stdout", 5, b"more")])).await, 410);
    assert_eq!(lost.result(&stale, "exited", &json!([piece("stdout", 0, b"stale")]), 0).await, 410);
    assert_eq!(lost.sync(&[&stale]).await["lost"], json!([stale]));
    assert_eq!(next.result(&token, "exited", &json!([piece("stdout", 0, b"new")]), 0).await, 204);
    assert_eq!(lost.result(&stale, "exited", &json!([]), 0).await, 410);
    let ended = site.client.evaluation(&id).await;
    assert_eq!(
        (&ended["status"], &ended["attempt"], &ended["stdout"]["text"]),
        (&json!("completed"), &json!(2), &json!("new")),
        "{ended}"
    );
    // Its worker asks once more, because the answer was lost.
    assert_eq!(next.result(&token, "exited", &json!([]), 0).await, 204);
    assert_eq!(next.sync(&[&token]).await, json!({ "cancel": [], "lost": [], "drain": false }));

    // Without another attempt it has ended.
    let id = site.client.submit_code("print(1)").await;
    let token = lost.claimed(&id, 1).await;
    let ended = site
        .sweep_until("the end", async |_| {
            let now = site.client.evaluation(&id).await;
            (now["status"] == "failed").then_some(now)
        })
        .await;
    assert_eq!(ended["outcome"], "worker_lost", "{ended}");
    assert_eq!(lost.result(&token, "exited", &json!([]), 0).await, 410);
}

#[tokio::test(flavor = "multi_thread")]
async fn output_and_files_arrive_once_and_in_their_order() {
    let site = Site::start(2).await;
    let hand = Hand::join(&site.worker_client, 1).await;
    // Larger than an item: what was submitted is an object of S3.
    let code = format!("print(1)\n#{}", "x".repeat(300 << 10));
    let id = site.client.submit_code(&code).await;
    let (status, reply) = hand.claim(&id, 1, &hand.id).await;
    assert_eq!((status, &reply["job"]["submission"]["code"]), (200, &json!(code)));
    let token = reply["token"].as_str().unwrap().to_owned();
    let large = vec![b'a'; 200 << 10];
    let first = json!([piece("stdout", 0, &large), piece("stderr", 0, b"e")]);
    for _ in 0..2 {
        assert_eq!(hand.output(&token, &first).await, 204);
    }
    let gap = json!([piece("stdout", (200 << 10) + 1, b"b")]);
    assert_eq!(hand.output(&token, &gap).await, 409);
    let overlap = json!([piece("stdout", (200 << 10) - 1, b"ab")]);
    assert_eq!(hand.output(&token, &overlap).await, 204);
    let path = STANDARD.encode("a/b.txt");
    let part = |number: u64, path: Option<&str>, bytes: &[u8]| {
        let mut part =
            json!({ "token": token, "number": number, "base64": STANDARD.encode(bytes) });
        if let Some(path) = path {
            part["path"] = path.into();
        }
        part
    };
    for (part, expected) in [
        (part(1, None, b"le"), 409),
        (part(0, Some(&path), b"fi"), 204),
        (part(0, Some(&path), b"fi"), 204),
        (part(1, None, b"le"), 204),
    ] {
        assert_eq!(hand.send(Method::POST, "/files", &part).await.0, expected, "{part}");
    }
    assert_eq!(hand.result(&token, "exited", &json!([]), 1).await, 409, "a part is missing");
    let last = json!([piece("stdout", (200 << 10) + 1, b"end")]);
    assert_eq!(hand.result(&token, "exited", &last, 2).await, 204);
    let ended = site.client.evaluation(&id).await;
    let stdout = ended["stdout"]["text"].as_str().unwrap();
    assert_eq!((stdout.len(), &stdout[200 << 10..]), ((200 << 10) + 4, "bend"));
    assert_eq!(
        (&ended["stderr"]["text"], &ended["artifacts"][0]["path"]),
        (&json!("e"), &json!("a/b.txt"))
    );
    let files = site.client.get(&format!("/eval/{id}/artifacts")).await.json();
    assert_eq!(files["items"][0]["bytes"], 4, "{files}");
    let file = site.client.get(&format!("/eval/{id}/artifacts/0")).await;
    assert_eq!((file.status, file.text().as_str()), (200, "file"));
    assert_eq!(site.client.get(&format!("/eval/{id}/artifacts/1")).await.status, 404);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_belongs_to_its_worker_and_its_key() {
    let site = Site::start(2).await;
    let hand = Hand::join(&site.worker_client, 1).await;
    let id = site.client.submit_code("print(1)").await;
    let token = hand.claimed(&id, 1).await;
    let other = Hand::join(&site.worker_client, 2).await;
    assert_eq!(other.result(&token, "exited", &json!([]), 0).await, 410);
    assert_eq!(other.sync(&[&token]).await["lost"], json!([token]));
    let stranger = Hand { client: site.client_with(&["worker"]).1, id: hand.id.clone() };
    assert_eq!(stranger.result(&token, "exited", &json!([]), 0).await, 410);
    let sync = json!({ "sessions": [token], "cancelled": [], "draining": false });
    assert_eq!(stranger.send(Method::POST, "/sync", &sync).await.0, 404);
    let unknown = Hand { client: site.worker_client.clone(), id: OTHER.to_owned() };
    assert_eq!(unknown.claim(&id, 1, OTHER).await.0, 404);
    // Neither changed anything.
    assert_eq!(hand.sync(&[&token]).await["lost"], json!([]));

    // What runs is cancelled by way of its worker, and what waits at once.
    let cancelled = site.client.delete(&format!("/eval/{id}")).await;
    assert_eq!(cancelled.status, 202, "{}", cancelled.text());
    assert_eq!(hand.sync(&[&token]).await["cancel"], json!([token]));
    assert_eq!(hand.result(&token, "cancelled", &json!([]), 0).await, 204);
    assert_eq!(site.client.evaluation(&id).await["status"], "cancelled");
    assert_eq!(site.client.delete(&format!("/eval/{id}")).await.status, 409);
    let waits = site.client.submit_code("print(2)").await;
    assert_eq!(site.client.delete(&format!("/eval/{waits}")).await.json()["status"], "cancelled");
    assert_eq!(hand.claim(&waits, 1, &hand.id).await.0, 409);

    // The operator drains it.
    let drain = site.admin.request(Method::POST, &format!("/workers/{}/drain", hand.id));
    let drained = site.admin.send(drain).await;
    assert_eq!(drained.status, 204, "{}", drained.text());
    assert_eq!(hand.sync(&[]).await["drain"], true);
    let workers = site.admin.get("/workers").await.json();
    let names: Vec<_> =
        workers["items"].as_array().unwrap().iter().map(|one| &one["name"]).collect();
    assert_eq!(names, ["hand 1", "hand 2"], "{workers}");
}
