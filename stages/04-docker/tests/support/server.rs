//! The real binary, served on a free port, and a client for it. Whoever includes this file names the
//! binary.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test fails by panicking"
)]

use std::io::{BufRead as _, BufReader};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use reqwest::{Client, Method};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};

use super::BINARY;

pub(crate) struct Server {
    pub(crate) child: Child,
    url: String,
    client: Client,
}

impl Server {
    pub(crate) fn start() -> Self {
        let mut child = Command::new(BINARY)
            .args(["--listen", "127.0.0.1:0", "--drain-seconds", "1"])
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let url = line.trim().strip_prefix("listening on ").expect(&line).to_owned();
        Self { child, url, client: Client::new() }
    }

    async fn ask(&self, method: Method, path: &str, body: Option<Value>) -> Value {
        let request = self.client.request(method, format!("{}{path}", self.url));
        let request = request.header("prefer", "wait=0");
        let request = if let Some(body) = body { request.json(&body) } else { request };
        let answer = request.send().await.unwrap();
        serde_json::from_slice(&answer.bytes().await.unwrap()).unwrap()
    }

    /// Submits a program and gives the evaluation's id.
    pub(crate) async fn submit(&self, code: &str, timeout_seconds: f64) -> String {
        let body = json!({ "code": code, "timeout_seconds": timeout_seconds });
        let accepted = self.ask(Method::POST, "/eval", Some(body)).await;
        accepted["id"].as_str().unwrap_or_else(|| panic!("refused: {accepted}")).to_owned()
    }

    /// Waits until the evaluation is as `wanted`.
    pub(crate) async fn until(&self, id: &str, wanted: impl Fn(&Value) -> bool) -> Value {
        let started = Instant::now();
        loop {
            let evaluation = self.ask(Method::GET, &format!("/eval/{id}"), None).await;
            if wanted(&evaluation) {
                return evaluation;
            }
            assert!(started.elapsed() < Duration::from_secs(20), "never: {evaluation}");
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    /// Runs a program to its end.
    pub(crate) async fn run(&self, code: &str) -> Value {
        let id = self.submit(code, 20.0).await;
        self.until(&id, |evaluation| !evaluation["outcome"].is_null()).await
    }

    pub(crate) fn signal(&self, signal: Signal) {
        let pid = i32::try_from(self.child.id()).unwrap();
        kill_process(Pid::from_raw(pid).unwrap(), signal).unwrap();
    }
}

impl Drop for Server {
    /// In an orderly way, so that no test leaves a container behind.
    fn drop(&mut self) {
        if self.child.try_wait().unwrap().is_none() {
            self.signal(Signal::CONT);
            self.signal(Signal::TERM); // once: a second one would end it at once
        }
        let started = Instant::now();
        while self.child.try_wait().unwrap().is_none() {
            if started.elapsed() > Duration::from_secs(15) {
                self.child.kill().unwrap();
            }
            std::thread::sleep(Duration::from_millis(50));
        }
    }
}
