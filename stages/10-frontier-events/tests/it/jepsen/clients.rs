//! Clients of an API that may be gone at any moment.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use harness::{Client, Method};
use serde_json::{Value, json};
use tokio::time::sleep;

use super::history::{Asked, Event, History, Kind};
use super::nemesis::Random;
use super::plan::Plan;

/// Between two requests of one client.
const PAUSE: Duration = Duration::from_millis(100);
/// The same, at most, while it reads an evaluation until the end: many clients would occupy the API.
const MAX_PAUSE: Duration = Duration::from_secs(1);

/// Submits what is left to submit, one after another, and follows each to its end.
pub(super) async fn submit(
    client: Client,
    history: Arc<History>,
    plan: Plan,
    next: Arc<AtomicU32>,
) {
    loop {
        let number = next.fetch_add(1, Ordering::Relaxed);
        if number >= plan.count {
            return;
        }
        let mut random = Random::new(plan.seed, 1_000 + u64::from(number));
        let (asked, body) = program(number, plan.lines);
        let Some(id) = accepted(&client, &history, &plan, number, &body).await else { continue };
        history.accepted(&id, asked.clone());
        let started = Instant::now();
        if asked.is_endless {
            sleep(random.millis(0, 3_000)).await;
            cancel(&client, &history, &plan, &id).await;
        }
        until_ended(&client, &history, &plan, &id).await;
        let mut seen = history.seen();
        seen.slowest = seen.slowest.max(started.elapsed());
    }
}

/// Each fifth is endless, and each fifth takes about as long as a lease, or all of them do.
fn program(number: u32, all: Option<u32>) -> (Asked, Value) {
    let (lines, pause, attempts, is_endless) = match (all, number % 5) {
        (Some(lines), _) => (lines, 0.2, 3, false),
        (None, 0 | 1) => (4, 0.02, 3, false),
        (None, 2) => (4, 0.02, 1, false),
        (None, 3) => (15, 0.2, 3, false),
        (None, _) => (1, 0.02, 3, true),
    };
    let end = if is_endless { "while True:\n    time.sleep(1)\n" } else { "" };
    // The word tells the runs of one program apart.
    let code = format!(
        "import os, time\nrun = os.urandom(6).hex()\nfor line in range({lines}):\n    \
         print({number}, run, line, flush=True)\n    time.sleep({pause})\n{end}"
    );
    let asked = Asked { number, lines, attempts, is_endless };
    (asked, json!({ "code": code, "max_attempts": attempts, "timeout_seconds": 60 }))
}

/// Submits until it is accepted. The key makes it one submission, however often it is sent.
async fn accepted(
    client: &Client,
    history: &History,
    plan: &Plan,
    number: u32,
    body: &Value,
) -> Option<String> {
    let started = Instant::now();
    while started.elapsed() < plan.patience {
        let request = client.request(Method::POST, "/eval");
        let key = || format!("\"jepsen-{number}\"");
        let request =
            if plan.has_keys { request.header("idempotency-key", key()) } else { request };
        match send(request.json(body)).await {
            Some((200 | 202, accepted)) => return accepted["id"].as_str().map(str::to_owned),
            // 409: what was sent first is still being accepted.
            None | Some((409 | 429 | 500 | 503, _)) => sleep(PAUSE).await,
            Some(other) => {
                history.violation(Kind::Answer, format!("submission {number}: {other:?}"));
                return None;
            }
        }
    }
    history.violation(Kind::Answer, format!("submission {number} was never accepted"));
    None
}

async fn cancel(client: &Client, history: &History, plan: &Plan, id: &str) {
    let started = Instant::now();
    while started.elapsed() < plan.patience {
        match send(client.request(Method::DELETE, &format!("/eval/{id}"))).await {
            Some((200, now)) => {
                if now["status"] == "cancelled" {
                    history.cancelled(id);
                }
                return history.read(id, &now);
            }
            // It has ended already: its worker was lost for the last time, or the answer was.
            Some((409, _)) => return,
            // 202: it is being ended, which a crash of the API may forget.
            None | Some((202 | 429 | 500 | 503, _)) => sleep(PAUSE).await,
            Some(other) => {
                return history.violation(Kind::Answer, format!("cancel {id}: {other:?}"));
            }
        }
    }
    history.violation(Kind::Answer, format!("{id} could not be cancelled"));
}

/// Reads an evaluation until it has ended.
pub(super) async fn until_ended(client: &Client, history: &History, plan: &Plan, id: &str) {
    let (started, mut pause) = (Instant::now(), PAUSE);
    while started.elapsed() < plan.patience {
        match send(client.request(Method::GET, &format!("/eval/{id}"))).await {
            Some((200, now)) => {
                history.read(id, &now);
                if !now["outcome"].is_null() {
                    return;
                }
            }
            None | Some((429 | 500 | 503, _)) => {}
            Some(other) => return history.violation(Kind::Lost, format!("{id}: {other:?}")),
        }
        sleep(pause).await;
        pause = (pause * 2).min(MAX_PAUSE);
    }
    history.violation(Kind::Lost, format!("{id} does not end"));
}

/// Follows all events, from the first, over all lives of the API.
pub(super) async fn follow(client: Client, history: Arc<History>) {
    loop {
        follow_once(&client, &history).await;
        sleep(PAUSE).await;
    }
}

async fn follow_once(client: &Client, history: &History) {
    let last = history.last_event().to_string();
    let request = client.request(Method::GET, "/events").header("last-event-id", last);
    let Ok(mut response) = request.timeout(Duration::from_hours(24)).send().await else { return };
    if response.status() != 200 {
        return;
    }
    let mut text = Vec::new();
    while let Ok(Some(chunk)) = response.chunk().await {
        text.extend_from_slice(&chunk);
        while let Some(end) = text.windows(2).position(|two| two == b"\n\n") {
            let block: Vec<u8> = text.drain(..end + 2).collect();
            if let Some(event) = event(&String::from_utf8(block).unwrap()) {
                history.seen().events.push(event);
            }
        }
    }
}

/// None for a comment.
fn event(block: &str) -> Option<Event> {
    let field = |name: &str| block.lines().find_map(|line| line.strip_prefix(name)).map(str::trim);
    let mut data: Value = serde_json::from_str(field("data:")?).unwrap();
    let kind = field("event:")?.to_owned();
    Some(Event {
        number: field("id:")?.parse().unwrap(),
        subject: data["subject"].as_str().map(str::to_owned),
        data: if kind == "evaluation.progress" { data["data"].take() } else { Value::Null },
        kind,
    })
}

/// The status and the body; None when there is no whole answer.
pub(super) async fn send(request: harness::RequestBuilder) -> Option<(u16, Value)> {
    let response = request.timeout(Duration::from_secs(30)).send().await.ok()?;
    let status = response.status().as_u16();
    Some((status, response.json().await.ok()?))
}
