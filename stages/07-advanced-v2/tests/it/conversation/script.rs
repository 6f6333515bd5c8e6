//! The requests of the conversation.

use std::time::{Duration, Instant};

use http::Method;
use serde_json::{Value, json};

use super::redacted::{self, Names};
use super::{Client, ClientRequest, ClientResponse};

/// No evaluation has this id.
const UNKNOWN_ID: &str = "00000000-0000-7000-8000-000000000000";
/// No event has this number. As long as the real ones, so that it is recorded like them.
const UNKNOWN_NUMBER: &str = "1000000000000";
/// The largest body that is accepted, and one byte.
const TOO_LARGE: usize = (2 << 20) + 1;

/// Sends all requests, and records them with their responses. They are the same ones whatever an API serves, so that
/// two recordings can be compared one by one.
pub(crate) async fn record<C: Client>(client: &C) -> String {
    let mut conversation = Conversation { client, names: Names::default(), text: String::new() };
    conversation.platform_resources().await;
    conversation.unknown_paths_and_methods().await;
    conversation.invalid_submissions().await;
    let first = conversation.one_evaluation().await;
    conversation.events(&first).await;
    conversation.pages().await;
    conversation.cancellation().await;
    conversation.metrics().await;
    conversation.text
}

struct Conversation<'a, C> {
    client: &'a C,
    names: Names,
    text: String,
}

impl<C: Client> Conversation<'_, C> {
    /// Sends a request, and records it with its response.
    async fn send(&mut self, request: ClientRequest) -> ClientResponse {
        let sent = request_text(&request);
        let response = self.client.send(request).await;
        let entry = format!("> {sent}{}", redacted::answer(&response));
        self.text += &self.names.redact(&entry);
        self.text.push('\n');
        response
    }

    async fn get(&mut self, target: &str) -> ClientResponse {
        self.send(ClientRequest::get(target)).await
    }

    async fn platform_resources(&mut self) {
        for target in
            ["/health", "/health?ready=true", "/health?ready=perhaps", "/queue", "/status"]
        {
            self.get(target).await;
        }
        for target in ["/health", "/", "/eval", "/nowhere"] {
            self.send(ClientRequest::new(Method::HEAD, target)).await;
        }
        self.get("/").await;
        for target in ["/page.js", "/page.css"] {
            self.send(ClientRequest::new(Method::HEAD, target)).await;
        }
        let request = ClientRequest::new(Method::POST, "/self-test").with("prefer", "wait=60");
        // An API that tests nothing has no id for it.
        let run = known_id(&self.send(request).await).unwrap_or_else(|| UNKNOWN_ID.to_owned());
        self.get(&format!("/self-test/{run}")).await;
        self.get(&format!("/self-test/{UNKNOWN_ID}")).await;
    }

    async fn unknown_paths_and_methods(&mut self) {
        for target in ["/nowhere", "/eval/", "/eval/7", "/eval/%C3%A9", "/eval/%00", "/EVAL"] {
            self.get(target).await;
        }
        for target in [format!("/eval/{UNKNOWN_ID}"), format!("/eval/{UNKNOWN_ID}/events")] {
            self.get(&target).await;
        }
        for (method, target) in [
            (Method::OPTIONS, "/eval"),
            (Method::PUT, "/eval"),
            (Method::PATCH, "/health"),
            (Method::DELETE, "/metrics"),
            (Method::POST, "/nowhere"),
        ] {
            self.send(ClientRequest::new(method, target)).await;
        }
        self.send(ClientRequest::new(Method::DELETE, format!("/eval/{UNKNOWN_ID}"))).await;
    }

    async fn invalid_submissions(&mut self) {
        for body in ["", "{", "[]", "7", r#"{"code": 7}"#, r#"{"code": "", "image": "mine"}"#] {
            self.send(ClientRequest::submit(body)).await;
        }
        let many = json!({ "code": "\u{0}", "timeout_seconds": 0, "memory_bytes": 1,
                           "files": { "../x": "" } });
        self.send(ClientRequest::submit(many.to_string())).await;
        self.send(ClientRequest::submit(vec![b' '; TOO_LARGE])).await;
        let plain =
            ClientRequest { body: b"{}".to_vec(), ..ClientRequest::new(Method::POST, "/eval") };
        self.send(plain.clone()).await;
        self.send(plain.clone().with("content-type", "text/plain")).await;
        let bytes = ClientRequest { body: b"\xff\x00".to_vec(), ..plain };
        self.send(bytes.with("content-type", "application/octet-stream")).await;
        let other = ClientRequest::submit(r#"{"code": ""}"#).with("origin", "http://evil.example");
        self.send(other).await;
        self.send(ClientRequest::submit(r#"{"code": ""}"#).with("prefer", "wait=soon")).await;
    }

    /// Submits a program and waits for its end.
    async fn submit(&mut self, body: &Value) -> String {
        let request = ClientRequest::submit(body.to_string()).with("prefer", "wait=30");
        id_of(&self.send(request).await)
    }

    /// A submission with all members. Returns its id.
    async fn one_evaluation(&mut self) -> String {
        // In one write, so that it is one event, however quickly it is read.
        let code = "import sys; sys.stdout.write(open('a.txt').read() + input())";
        let id = self
            .submit(&json!({ "code": code, "stdin": "in\n", "files": { "a.txt": "é" },
                             "timeout_seconds": 20, "labels": { "run": "a" } }))
            .await;
        self.get(&format!("/eval/{id}")).await;
        self.send(ClientRequest::new(Method::HEAD, format!("/eval/{id}"))).await;
        id
    }

    async fn events(&mut self, id: &str) {
        let target = format!("/eval/{id}/events");
        let stream = self.get(&target).await;
        let text = String::from_utf8(stream.body).unwrap();
        let numbers: Vec<&str> =
            text.lines().filter_map(|line| line.strip_prefix("id: ")).collect();
        let second = numbers.get(1).copied().unwrap_or(UNKNOWN_NUMBER);
        let newest = numbers.last().copied().unwrap_or(UNKNOWN_NUMBER);
        for last in [second, newest, "soon", "99999999999999999"] {
            self.send(ClientRequest::get(&target).with("last-event-id", last)).await;
        }
        self.send(ClientRequest::new(Method::HEAD, target)).await;
    }

    async fn pages(&mut self) {
        self.submit(&json!({ "code": "raise SystemExit('no')", "labels": { "run": "b" } })).await;
        let first = self.get("/eval?limit=1").await;
        let page: Value = serde_json::from_slice(&first.body).unwrap();
        let cursor = page["next_cursor"].as_str().unwrap();
        for target in [
            &format!("/eval?limit=1&cursor={cursor}"),
            "/eval?label=run%3Aa&outcome=exited",
            "/eval?status=failed",
            "/eval?limit=0",
            "/eval?limit=1&limit=2",
            "/eval?cursor=next",
            "/eval?limt=1",
        ] {
            self.get(target).await;
        }
    }

    async fn cancellation(&mut self) {
        let request =
            ClientRequest::submit(json!({ "code": "import time; time.sleep(60)" }).to_string());
        let id = id_of(&self.send(request).await);
        let target = format!("/eval/{id}");
        self.wait_for(&target, "running").await;
        self.send(ClientRequest::new(Method::DELETE, &target)).await;
        // Where a worker on another machine has to end it, it may take a moment.
        self.wait_for(&target, "cancelled").await;
        self.send(ClientRequest::new(Method::DELETE, &target)).await;
        self.get(&format!("{target}/events")).await;
    }

    /// Waits for a status. Not recorded, because the number of these requests depends on the time.
    async fn wait_for(&self, target: &str, status: &str) {
        let started = Instant::now();
        loop {
            let response = self.client.send(ClientRequest::get(target)).await;
            let evaluation: Value = serde_json::from_slice(&response.body).unwrap();
            if evaluation["status"] == status {
                return;
            }
            assert!(
                started.elapsed() < Duration::from_secs(30),
                "it is never {status}: {evaluation}"
            );
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    async fn metrics(&mut self) {
        self.get("/metrics").await;
        self.get("/metrics?x=1").await;
    }
}

fn id_of(response: &ClientResponse) -> String {
    known_id(response).expect("the answer has an id")
}

fn known_id(response: &ClientResponse) -> Option<String> {
    let resource: Value = serde_json::from_slice(&response.body).ok()?;
    Some(resource["id"].as_str()?.to_owned())
}

/// A request as text.
fn request_text(request: &ClientRequest) -> String {
    let headers = request.headers.iter().map(|(name, value)| format!("> {name}: {value}\n"));
    let body = match &request.body[..] {
        [] => String::new(),
        long @ [_, .., _] if long.len() > 1000 => format!("> <{} bytes>\n", long.len()),
        short => format!("> {}\n", String::from_utf8_lossy(short)),
    };
    format!("{} {}\n{}{body}", request.method, request.target, headers.collect::<String>())
}
