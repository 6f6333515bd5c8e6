//! The stage as a process, and readers of its event streams.

use std::io::{BufRead as _, BufReader};
use std::pin::Pin;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use futures_util::{Stream, StreamExt};
use reqwest::{Client, RequestBuilder, Response};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};
use sse_stream::{Sse, SseByteStream};

/// Longer than anything here takes, shorter than the patience of whoever waits for the tests.
const SOON: Duration = Duration::from_secs(30);

pub(crate) fn binary() -> &'static str {
    env!("CARGO_BIN_EXE_stage-03-monitoring")
}

/// A running stage. Dropping it ends it, and whatever it runs.
pub(crate) struct Server {
    child: Child,
    pub(crate) address: String,
    client: Client,
}

impl Server {
    pub(crate) async fn start(args: &[&str]) -> Self {
        let mut child = Command::new(binary())
            .args(["--listen", "127.0.0.1:0", "--drain-seconds", "0.1"])
            .args(args)
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let mut stdout = BufReader::new(child.stdout.take().unwrap());
        let reading = tokio::task::spawn_blocking(move || {
            let mut line = String::new();
            stdout.read_line(&mut line).map(|_| line)
        });
        let line = tokio::time::timeout(SOON, reading).await.unwrap().unwrap().unwrap();
        let address = line.trim().strip_prefix("listening on http://").expect(&line).to_owned();
        Self { child, address, client: Client::new() }
    }

    fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    pub(crate) fn get(&self, path: &str) -> RequestBuilder {
        self.client.get(self.url(path))
    }

    pub(crate) fn delete(&self, path: &str) -> RequestBuilder {
        self.client.delete(self.url(path))
    }

    async fn post(&self, body: Value, wait: bool) -> Value {
        let request = self.client.post(self.url("/eval")).json(&body);
        let request = if wait { request.header("prefer", "wait=30") } else { request };
        let answer = request.send().await.unwrap();
        assert!(answer.status().is_success(), "{}", answer.text().await.unwrap());
        answer.json().await.unwrap()
    }

    /// Submits a program, and gives its id back.
    pub(crate) async fn submit(&self, code: &str) -> String {
        self.submit_body(json!({ "code": code })).await
    }

    pub(crate) async fn submit_body(&self, body: Value) -> String {
        self.post(body, false).await["id"].as_str().unwrap().to_owned()
    }

    /// Submits a program, and gives the ended evaluation back.
    pub(crate) async fn submit_and_wait(&self, code: &str) -> Value {
        self.post(json!({ "code": code }), true).await
    }

    pub(crate) async fn evaluation(&self, id: &str) -> Value {
        self.get(&format!("/eval/{id}")).send().await.unwrap().json().await.unwrap()
    }

    pub(crate) async fn events(&self, id: &str, after: Option<u64>) -> Response {
        let request = self.get(&format!("/eval/{id}/events"));
        let request = match after {
            Some(number) => request.header("last-event-id", number),
            None => request,
        };
        request.send().await.unwrap()
    }

    pub(crate) async fn follow(&self, id: &str, after: Option<u64>) -> Reader {
        Reader::new(self.events(id, after).await)
    }

    pub(crate) fn terminate(&self) {
        let pid = Pid::from_raw(self.child.id().try_into().unwrap()).unwrap();
        kill_process(pid, Signal::TERM).unwrap();
    }

    pub(crate) fn ended(&mut self) -> Option<ExitStatus> {
        let started = Instant::now();
        while started.elapsed() < SOON {
            if let Some(status) = self.child.try_wait().unwrap() {
                return Some(status);
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        None
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        if self.child.try_wait().is_ok_and(|status| status.is_none()) {
            self.terminate();
            if self.ended().is_none() {
                self.child.kill().unwrap();
                self.child.wait().unwrap();
                eprintln!("the stage did not end on SIGTERM");
            }
        }
    }
}

/// One event, as it came over the wire.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Seen {
    pub(crate) kind: String,
    pub(crate) number: u64,
    pub(crate) envelope: Value,
}

impl Seen {
    pub(crate) fn data(&self) -> &Value {
        &self.envelope["data"]
    }

    pub(crate) fn is_final(&self) -> bool {
        ["evaluation.completed", "evaluation.failed", "evaluation.cancelled"]
            .contains(&self.kind.as_str())
    }
}

/// A client that reads a stream of events.
pub(crate) struct Reader(Pin<Box<dyn Stream<Item = Sse> + Send>>);

impl Reader {
    pub(crate) fn new(response: Response) -> Self {
        assert_eq!(response.headers()["content-type"], "text/event-stream");
        let events = SseByteStream::new(response.bytes_stream()).map(Result::unwrap);
        Self(Box::pin(events))
    }

    /// The next event; None at the end of the stream.
    pub(crate) async fn next(&mut self) -> Option<Seen> {
        let event = tokio::time::timeout(SOON, self.0.next()).await.expect("the stream hangs")?;
        let envelope: Value = serde_json::from_str(&event.data.unwrap()).unwrap();
        let kind = event.event.unwrap();
        assert_eq!(envelope["type"], kind);
        Some(Seen { kind, number: event.id.unwrap().parse().unwrap(), envelope })
    }

    pub(crate) async fn until(&mut self, kind: &str) -> Seen {
        loop {
            let seen = self.next().await.unwrap_or_else(|| panic!("no {kind} before the end"));
            if seen.kind == kind {
                return seen;
            }
        }
    }

    /// Everything up to the end of the stream.
    pub(crate) async fn rest(mut self) -> Vec<Seen> {
        let mut seen = Vec::new();
        while let Some(event) = self.next().await {
            seen.push(event);
        }
        seen
    }
}

pub(crate) fn kinds(seen: &[Seen]) -> Vec<&str> {
    seen.iter().map(|event| event.kind.as_str()).collect()
}

/// What the program printed, put together from its progress.
pub(crate) fn output(seen: &[Seen]) -> String {
    let progress = seen.iter().filter(|event| event.kind == "evaluation.progress");
    progress.map(|event| event.data()["text"].as_str().unwrap()).collect()
}
