//! Clients of a server that may be gone at any moment.

use std::time::Duration;

use harness::{Client, Server};
use serde_json::{Value, json};
use tokio::task::JoinSet;

use super::history::{Event, History};

/// How long everything may take to end at last.
const END_TIMEOUT: Duration = Duration::from_mins(3);
/// Between two submissions of one client.
const PAUSE: Duration = Duration::from_millis(30);

pub(crate) struct Load(JoinSet<()>);

impl Load {
    /// Returns when every client has noticed that the server is gone.
    pub(crate) async fn ended(mut self) {
        while let Some(ended) = self.0.join_next().await {
            ended.unwrap();
        }
    }
}

/// Clients that submit, that read states, and one that follows all events.
pub(crate) fn start(server: &Server, history: &History) -> Load {
    let mut tasks = JoinSet::new();
    for client in 0..2 {
        tasks.spawn(submit(server.client(), history.clone(), client));
    }
    tasks.spawn(read(server.client(), history.clone()));
    tasks.spawn(follow(server.client(), history.clone()));
    Load(tasks)
}

/// Reads until everything has ended and every event was read.
pub(crate) async fn finish(server: &Server, history: &History) {
    let client = server.client();
    let events = tokio::spawn(follow(client.clone(), history.clone()));
    let read = async {
        while !history.open().is_empty() {
            read_once(&client, history).await;
            tokio::time::sleep(PAUSE).await;
        }
    };
    tokio::time::timeout(END_TIMEOUT, read).await.expect("everything ends");
    // What comes after the end of the last one was committed with it.
    let marker = client.run("print('the last')").await;
    let id = marker["id"].as_str().unwrap();
    history.accepted(id);
    history.read(&marker);
    let newest = newest_event(&client, id).await;
    harness::eventually("every event is read", END_TIMEOUT, || history.last_event() > newest).await;
    events.abort();
    events.await.ok();
}

/// The number of the last event of an evaluation.
async fn newest_event(client: &Client, id: &str) -> u64 {
    let mut events = harness::EventStream::new(client.open(&format!("/eval/{id}/events")).await);
    let mut newest = 0;
    while let Some(event) = events.next().await {
        newest = event.sequence;
    }
    newest
}

/// Whether the process is a zombie: it is waited for later.
pub(crate) fn has_exited(server: &Server) -> bool {
    let stat = std::fs::read_to_string(format!("/proc/{}/stat", server.pid())).unwrap_or_default();
    stat.rsplit_once(") ").is_none_or(|(_, rest)| rest.starts_with('Z'))
}

async fn submit(client: Client, history: History, number: usize) {
    for round in number.. {
        let code = match round % 4 {
            0 => "print('x' * 40_000, __import__('time').time_ns())".to_owned(),
            1 => "import time; time.sleep(0.1)".to_owned(),
            _ => format!("print({round})"),
        };
        let body = json!({ "code": code, "max_attempts": 1 + round % 3 });
        let Some(response) = send(client.request(method("POST"), "/eval").json(&body)).await else {
            return;
        };
        match response {
            (202, accepted) => history.accepted(accepted["id"].as_str().unwrap()),
            (500 | 503, _) => {} // nothing is promised
            other => history.violation(format!("a submission was answered {other:?}")),
        }
        tokio::time::sleep(PAUSE).await;
    }
}

async fn read(client: Client, history: History) {
    while read_once(&client, &history).await {
        tokio::time::sleep(PAUSE).await;
    }
}

/// Reads the state of all that has not ended. False when the server is gone.
async fn read_once(client: &Client, history: &History) -> bool {
    if send(client.request(method("GET"), "/health")).await.is_none() {
        return false;
    }
    for id in history.open() {
        match send(client.request(method("GET"), &format!("/eval/{id}"))).await {
            Some((200, evaluation)) => history.read(&evaluation),
            Some((404, _)) => history.violation(format!("{id} was accepted, and is not found")),
            Some((500 | 503, _)) => {}
            Some(other) => history.violation(format!("{id} was answered {other:?}")),
            None => return false,
        }
    }
    true
}

/// Follows all events from the last one that was received, as far as they are whole.
async fn follow(client: Client, history: History) {
    let last = history.last_event().to_string();
    let mut response = loop {
        let request = client.request(method("GET"), "/events").header("last-event-id", &last);
        let Ok(response) = request.send().await else { return };
        match response.status().as_u16() {
            200 => break response,
            // What has happened is written before it is sent, and that may have failed.
            500 | 503 => tokio::time::sleep(PAUSE).await,
            other => return history.violation(format!("the events were answered {other}")),
        }
    };
    let mut text = Vec::new();
    while let Ok(Some(chunk)) = response.chunk().await {
        text.extend_from_slice(&chunk);
        while let Some(end) = text.windows(2).position(|two| two == b"\n\n") {
            let block: Vec<u8> = text.drain(..end + 2).collect();
            if let Some(event) = event(&String::from_utf8(block).unwrap()) {
                history.event(event);
            }
        }
    }
}

/// None for a comment.
fn event(block: &str) -> Option<Event> {
    let field = |name: &str| block.lines().find_map(|line| line.strip_prefix(name)).map(str::trim);
    let data: Value = serde_json::from_str(field("data:")?).unwrap();
    Some(Event {
        number: field("id:")?.parse().unwrap(),
        kind: field("event:")?.to_owned(),
        subject: data["subject"].as_str().map(str::to_owned),
    })
}

/// The status and the body; None when the server is gone.
async fn send(request: reqwest::RequestBuilder) -> Option<(u16, Value)> {
    let response = request.send().await.ok()?;
    let status = response.status().as_u16();
    Some((status, response.json().await.ok()?))
}

fn method(name: &str) -> reqwest::Method {
    name.parse().unwrap()
}
