//! One client against another: reading, cancelling and replaying what belongs to another tenant.
//!
//! Up to stage 8 the clients are the same one, so that these succeed there.

use std::time::Duration;

use anyhow::{Context as _, Result};
use reqwest::{Method, RequestBuilder, StatusCode};
use serde_json::{Value, json};
use shared::Evaluation;
use tokio::time::sleep;

use super::{HttpProbe, http_probe};
use crate::attack::probe::program::canary;
use crate::attack::testbed::Testbed;
use crate::attack::testbed::tenants::{FIRST_WITH_KEYS, Tenants};
use crate::attack::verdict::{By, Verdict};
use crate::support::client::{Client, Program};

pub(super) const LIST: &[HttpProbe] = &[
    http_probe!(
        read_by_id,
        "id: tenants/read-by-id"
        "class: Lateral"
        "title: Read another client's evaluation"
        "intent: Asks for an evaluation of another client, the files it left, and lists, by its id"
        "success: What the program of the other client printed or left is in an answer, or its id"
        "source: OWASP API1:2023; CWE-639"
        "host: safe"
        "contained-from: 9"
    ),
    http_probe!(
        follow,
        "id: tenants/event-stream"
        "class: Lateral"
        "title: Follow another client's events"
        "intent: Follows the events of another client's evaluation, and those of all, from the first on"
        "success: The id or the output of the other client's evaluation is in a stream"
        "source: OWASP API1:2023; CWE-639"
        "host: safe"
        "contained-from: 9"
    ),
    http_probe!(
        cancel,
        "id: tenants/cancel"
        "class: PeerDoS"
        "title: Cancel another client's program"
        "intent: Cancels an evaluation of another client by its id"
        "success: The evaluation of the other client is cancelled"
        "source: OWASP API1:2023; CWE-639"
        "host: safe"
        "contained-from: 9"
    ),
    http_probe!(
        batch,
        "id: tenants/batch"
        "class: Lateral"
        "title: Read and cancel another client's batch"
        "intent: Asks for a batch of another client, its results from any cursor on, and cancels it"
        "success: An output, an id, or a cancelled evaluation of the other client's batch"
        "source: OWASP API1:2023; CWE-639"
        "host: safe"
        "contained-from: 9"
    ),
    http_probe!(
        replay,
        "id: tenants/replayed-key"
        "class: Lateral"
        "title: Replay another client's Idempotency-Key"
        "intent: Sends the request and the Idempotency-Key of another client, for a program and a batch"
        "success: The answer is what the other client's request has made"
        "source: draft-ietf-httpapi-idempotency-key-header-07, 5; CWE-639"
        "host: safe"
        "contained-from: 9"
    ),
];

const NO_IDS: Verdict = Verdict::NotApplicable("this stage has no ids");
const NO_BATCHES: Verdict = Verdict::NotApplicable("this stage has no batches");
const NO_KEYS: Verdict = Verdict::NotApplicable("the keys of this server are not known");
/// How long a stream is read that should have nothing.
const STREAM_WINDOW: Duration = Duration::from_secs(3);
/// How long a batch may take.
const BATCH_TIMEOUT: Duration = Duration::from_secs(40);

fn judge(escaped: bool) -> Verdict {
    if escaped { Verdict::Escaped } else { Verdict::Contained(By::Authorization) }
}

/// A program that prints `secret`, which its text does not have, and leaves it in a file where that is
/// possible.
fn printing(secret: &str) -> String {
    let reversed: String = secret.chars().rev().collect();
    format!(
        "import os, time\nsecret = '{reversed}'[::-1]\nprint(secret, flush=True)\n\
         if os.path.isdir('/output'):\n    open('/output/secret', 'w').write(secret)\ntime.sleep(1)"
    )
}

/// What a client is answered: status and text.
async fn ask(request: RequestBuilder) -> Result<(StatusCode, String)> {
    let response = request.send().await.context("the server did not respond")?;
    let status = response.status();
    Ok((status, response.text().await.unwrap_or_default()))
}

/// Runs `attack` with two clients that must not reach each other.
async fn with_tenants(
    testbed: &Testbed,
    attack: impl AsyncFnOnce(&Tenants) -> Result<bool>,
) -> Result<Verdict> {
    let Some(tenants) = testbed.tenants().await? else { return Ok(NO_KEYS) };
    let escaped = attack(&tenants).await;
    tenants.close().await?;
    escaped.map(judge)
}

// ANCHOR: read-by-id
async fn read_by_id(testbed: &Testbed) -> Result<Verdict> {
    if testbed.stage == 1 {
        return Ok(NO_IDS);
    }
    with_tenants(testbed, async |tenants| {
        let secret = canary();
        let Evaluation { id, .. } = submitted(&tenants.owner, &secret).await?;
        if testbed.stage >= FIRST_WITH_KEYS {
            let file = tenants.owner.request(Method::GET, &format!("/eval/{id}/artifacts/0"));
            anyhow::ensure!(ask(file).await?.1.contains(&secret), "the program left no file");
        }
        let mut escaped = false;
        for path in [
            format!("/eval/{id}"),
            format!("/eval/{id}/artifacts"),
            format!("/eval/{id}/artifacts/0"),
            "/eval?limit=100".to_owned(),
            "/eval?status=completed&limit=100".to_owned(),
            format!("/eval?cursor={id}&limit=100"),
            "/eval?cursor=ffffffff-ffff-7fff-bfff-ffffffffffff&limit=100".to_owned(),
        ] {
            let (_, text) = ask(tenants.stranger.request(Method::GET, &path)).await?;
            escaped |= text.contains(&secret) || text.contains(&format!("\"id\":\"{id}\""));
        }
        let (status, _) =
            ask(tenants.stranger.request(Method::HEAD, &format!("/eval/{id}"))).await?;
        Ok(escaped || status.is_success())
    })
    .await
}
// ANCHOR_END: read-by-id

/// An evaluation of `client` that has printed `secret`.
async fn submitted(client: &Client, secret: &str) -> Result<Evaluation> {
    let evaluation = client.submit(&Program::new(printing(secret)), 20).await?;
    let evaluation = client.finished(evaluation).await?;
    anyhow::ensure!(evaluation.stdout.text.contains(secret), "the program printed nothing");
    Ok(evaluation)
}

// ANCHOR: event-stream
async fn follow(testbed: &Testbed) -> Result<Verdict> {
    if testbed.stage < 3 {
        return Ok(Verdict::NotApplicable("this stage has no event streams"));
    }
    with_tenants(testbed, async |tenants| {
        let secret = canary();
        let program = Program::new(printing(&secret));
        let id = tenants.owner.submit(&program, 0).await?.id.to_string();
        let own = format!("/eval/{id}/events");
        let streams = ["/events", own.as_str()].into_iter().flat_map(|path| {
            [None, Some("0"), Some("1")].map(|last| read_stream(&tenants.stranger, path, last))
        });
        let texts = futures_util::future::try_join_all(streams).await?;
        Ok(texts.iter().any(|text| text.contains(&id) || text.contains(&secret)))
    })
    .await
}
// ANCHOR_END: event-stream

/// What a stream has within [`STREAM_WINDOW`].
async fn read_stream(client: &Client, path: &str, last: Option<&str>) -> Result<String> {
    let mut request = client.request(Method::GET, path).header("Accept", "text/event-stream");
    if let Some(last) = last {
        request = request.header("Last-Event-ID", last);
    }
    let mut response = request.send().await.context("the server did not respond")?;
    let mut text = Vec::new();
    if response.status().is_success() {
        let reading = async {
            while let Ok(Some(chunk)) = response.chunk().await {
                text.extend_from_slice(&chunk);
            }
        };
        tokio::time::timeout(STREAM_WINDOW, reading).await.ok(); // a stream of all events has no end
    }
    Ok(String::from_utf8_lossy(&text).into_owned())
}

// ANCHOR: cancel
async fn cancel(testbed: &Testbed) -> Result<Verdict> {
    if testbed.stage == 1 {
        return Ok(NO_IDS);
    }
    with_tenants(testbed, async |tenants| {
        let program = Program::new("import time\ntime.sleep(2)\nprint('through')");
        let submitted = tenants.owner.submit(&program, 0).await?;
        let path = format!("/eval/{}", submitted.id);
        let (status, _) = ask(tenants.stranger.request(Method::DELETE, &path)).await?;
        let ended = tenants.owner.finished(submitted).await?;
        Ok(status.is_success() || ended.stdout.text != "through\n")
    })
    .await
}
// ANCHOR_END: cancel

// ANCHOR: batch
async fn batch(testbed: &Testbed) -> Result<Verdict> {
    if testbed.stage < FIRST_WITH_KEYS {
        return Ok(NO_BATCHES);
    }
    with_tenants(testbed, async |tenants| {
        let secret = canary();
        let programs =
            json!({ "evaluations": [{ "code": printing(&secret) }, { "code": "print(2)" }] });
        let (status, text) =
            ask(tenants.owner.request(Method::POST, "/batches").json(&programs)).await?;
        anyhow::ensure!(status.is_success(), "the batch was answered {status}: {text}");
        let batch: Value = serde_json::from_str(&text)?;
        let id = batch["id"].as_str().context("a batch has an id")?;
        let member = batch["evaluations"][0].as_str().context("a batch has evaluations")?;
        let mut escaped = false;
        for (method, path) in [
            (Method::GET, format!("/batches/{id}")),
            (Method::DELETE, format!("/batches/{id}")),
            (Method::GET, format!("/batches/{id}/results")),
            (Method::GET, format!("/batches/{id}/results?cursor={member}")),
            (Method::GET, format!("/eval/{member}")),
        ] {
            let (status, text) = ask(tenants.stranger.request(method, &path)).await?;
            escaped |= status.is_success() || text.contains(member) || text.contains(&secret);
        }
        Ok(escaped || !ended(&tenants.owner, id).await?.contains(&secret))
    })
    .await
}
// ANCHOR_END: batch

/// The results of a batch, once it has ended.
async fn ended(client: &Client, id: &str) -> Result<String> {
    let started = tokio::time::Instant::now();
    loop {
        let (_, text) = ask(client.request(Method::GET, &format!("/batches/{id}"))).await?;
        let batch: Value = serde_json::from_str(&text)?;
        if batch["status"] == "ended" {
            return Ok(ask(client.request(Method::GET, &format!("/batches/{id}/results")))
                .await?
                .1);
        }
        anyhow::ensure!(started.elapsed() < BATCH_TIMEOUT, "the batch does not end: {text}");
        sleep(Duration::from_millis(100)).await;
    }
}

// ANCHOR: replayed-key
async fn replay(testbed: &Testbed) -> Result<Verdict> {
    if testbed.stage < FIRST_WITH_KEYS {
        return Ok(Verdict::NotApplicable("this stage ignores Idempotency-Key"));
    }
    with_tenants(testbed, async |tenants| {
        let mut escaped = false;
        let program = json!({ "code": "print(1)" });
        for (path, body) in
            [("/eval", program.clone()), ("/batches", json!({ "evaluations": [program] }))]
        {
            let key = format!("\"{}\"", canary());
            let mut ids = Vec::new();
            // The owner twice: a server that ignores the header has nothing to replay.
            for client in [&tenants.owner, &tenants.owner, &tenants.stranger] {
                let request = client.request(Method::POST, path).header("Idempotency-Key", &key);
                let (status, text) = ask(request.json(&body)).await?;
                anyhow::ensure!(status.is_success(), "{path} was answered {status}: {text}");
                let made: Value = serde_json::from_str(&text)?;
                ids.push(made["id"].as_str().context("what was made has an id")?.to_owned());
            }
            anyhow::ensure!(ids[0] == ids[1], "{path} does not know its client's own key again");
            escaped |= ids[2] == ids[0];
        }
        Ok(escaped)
    })
    .await
}
// ANCHOR_END: replayed-key
