//! What is said in the conversation.

use std::time::{Duration, Instant};

use http::Method;
use serde_json::{Value, json};

use super::settled::{self, Names};
use super::{Answered, Asked, Client};

/// No evaluation has this id.
const NOBODY: &str = "00000000-0000-7000-8000-000000000000";
/// The largest body that is taken, and one byte.
const TOO_LARGE: usize = (2 << 20) + 1;

/// Holds the conversation, and writes it down.
pub(crate) async fn hold<C: Client>(client: &C) -> String {
    let mut conversation = Conversation { client, names: Names::default(), text: String::new() };
    conversation.about_itself().await;
    conversation.wrong_places().await;
    conversation.wrong_submissions().await;
    let first = conversation.one_evaluation().await;
    conversation.its_events(&first).await;
    conversation.pages().await;
    conversation.an_end_by_force().await;
    conversation.measures().await;
    conversation.text
}

struct Conversation<'a, C> {
    client: &'a C,
    names: Names,
    text: String,
}

impl<C: Client> Conversation<'_, C> {
    /// Asks, and writes down what was asked and what was answered.
    async fn ask(&mut self, asked: Asked) -> Answered {
        let question = question(&asked);
        let answered = self.client.ask(asked).await;
        let entry = format!("> {question}{}", settled::answer(&answered));
        self.text += &self.names.settle(&entry);
        self.text.push('\n');
        answered
    }

    async fn get(&mut self, target: &str) -> Answered {
        self.ask(Asked::get(target)).await
    }

    async fn about_itself(&mut self) {
        for target in
            ["/health", "/health?ready=true", "/health?ready=perhaps", "/queue", "/status"]
        {
            self.get(target).await;
        }
        for target in ["/health", "/", "/eval", "/nowhere"] {
            self.ask(Asked::new(Method::HEAD, target)).await;
        }
        self.get("/").await;
        for target in ["/page.js", "/page.css"] {
            self.ask(Asked::new(Method::HEAD, target)).await;
        }
        self.ask(Asked::new(Method::POST, "/self-test")).await;
    }

    async fn wrong_places(&mut self) {
        for target in ["/nowhere", "/eval/", "/eval/7", "/eval/%C3%A9", "/eval/%00", "/EVAL"] {
            self.get(target).await;
        }
        for target in [format!("/eval/{NOBODY}"), format!("/eval/{NOBODY}/events")] {
            self.get(&target).await;
        }
        for (method, target) in [
            (Method::OPTIONS, "/eval"),
            (Method::PUT, "/eval"),
            (Method::PATCH, "/health"),
            (Method::DELETE, "/metrics"),
            (Method::POST, "/nowhere"),
        ] {
            self.ask(Asked::new(method, target)).await;
        }
        self.ask(Asked::new(Method::DELETE, format!("/eval/{NOBODY}"))).await;
    }

    async fn wrong_submissions(&mut self) {
        for body in ["", "{", "[]", "7", r#"{"code": 7}"#, r#"{"code": "", "image": "mine"}"#] {
            self.ask(Asked::submit(body)).await;
        }
        let many = json!({ "code": "\u{0}", "timeout_seconds": 0, "memory_bytes": 1,
                           "files": { "../x": "" } });
        self.ask(Asked::submit(many.to_string())).await;
        self.ask(Asked::submit(vec![b' '; TOO_LARGE])).await;
        let plain = Asked { body: b"{}".to_vec(), ..Asked::new(Method::POST, "/eval") };
        self.ask(plain.clone()).await;
        self.ask(plain.clone().with("content-type", "text/plain")).await;
        let bytes = Asked { body: b"\xff\x00".to_vec(), ..plain };
        self.ask(bytes.with("content-type", "application/octet-stream")).await;
        let other = Asked::submit(r#"{"code": ""}"#).with("origin", "http://evil.example");
        self.ask(other).await;
        self.ask(Asked::submit(r#"{"code": ""}"#).with("prefer", "wait=soon")).await;
    }

    /// Submits a program and waits for its end.
    async fn submit(&mut self, body: &Value) -> String {
        let asked = Asked::submit(body.to_string()).with("prefer", "wait=30");
        id_of(&self.ask(asked).await)
    }

    /// One that uses all that a submission can bring. Gives its id back.
    async fn one_evaluation(&mut self) -> String {
        // In one write, so that it is one event, however quickly it is read.
        let code = "import sys; sys.stdout.write(open('a.txt').read() + input())";
        let id = self
            .submit(&json!({ "code": code, "stdin": "in\n", "files": { "a.txt": "é" },
                             "timeout_seconds": 20, "labels": { "run": "a" } }))
            .await;
        self.get(&format!("/eval/{id}")).await;
        self.ask(Asked::new(Method::HEAD, format!("/eval/{id}"))).await;
        id
    }

    async fn its_events(&mut self, id: &str) {
        let target = format!("/eval/{id}/events");
        let stream = self.get(&target).await;
        let text = String::from_utf8(stream.body).unwrap();
        let numbers: Vec<&str> = text.lines().filter_map(|it| it.strip_prefix("id: ")).collect();
        for last in [numbers[1], numbers[numbers.len() - 1], "soon", "99999999999999999"] {
            self.ask(Asked::get(&target).with("last-event-id", last)).await;
        }
        self.ask(Asked::new(Method::HEAD, target)).await;
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

    async fn an_end_by_force(&mut self) {
        let asked = Asked::submit(json!({ "code": "import time; time.sleep(60)" }).to_string());
        let id = id_of(&self.ask(asked).await);
        let target = format!("/eval/{id}");
        let started = Instant::now();
        while !self.runs(&target).await {
            assert!(started.elapsed() < Duration::from_secs(30), "{id} is never started");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        self.ask(Asked::new(Method::DELETE, &target)).await;
        self.ask(Asked::new(Method::DELETE, &target)).await;
        self.get(&format!("{target}/events")).await;
    }

    /// Whether it runs. Not written down: how often that is asked depends on the time.
    async fn runs(&self, target: &str) -> bool {
        let answered = self.client.ask(Asked::get(target)).await;
        let evaluation: Value = serde_json::from_slice(&answered.body).unwrap();
        evaluation["status"] == "running"
    }

    async fn measures(&mut self) {
        self.get("/metrics").await;
        self.get("/metrics?x=1").await;
    }
}

fn id_of(answered: &Answered) -> String {
    let evaluation: Value = serde_json::from_slice(&answered.body).unwrap();
    evaluation["id"].as_str().unwrap().to_owned()
}

/// What is asked, as text.
fn question(asked: &Asked) -> String {
    let headers = asked.headers.iter().map(|(name, value)| format!("> {name}: {value}\n"));
    let body = match &asked.body[..] {
        [] => String::new(),
        long @ [_, .., _] if long.len() > 1000 => format!("> <{} bytes>\n", long.len()),
        short => format!("> {}\n", String::from_utf8_lossy(short)),
    };
    format!("{} {}\n{}{body}", asked.method, asked.target, headers.collect::<String>())
}
