//! The stage as a process, and a client for it.

use std::io::{BufRead as _, BufReader};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use reqwest::{Client, Method, RequestBuilder};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};

pub(crate) const BINARY: &str = env!("CARGO_BIN_EXE_stage-06-advanced");
/// The engine that needs nothing, for what is not about walls.
pub(crate) const OPEN: [&str; 3] = ["--engine", "subprocess", "--unsafe"];

/// A running stage. Dropping it ends it in order.
pub(crate) struct Server {
    child: Child,
    pub(crate) url: String,
    client: Client,
}

impl Server {
    pub(crate) fn start(arguments: &[&str]) -> Self {
        Self::with(arguments, &[])
    }

    pub(crate) fn with(arguments: &[&str], variables: &[(&str, &str)]) -> Self {
        let mut child = Command::new(BINARY)
            .args(["--listen", "127.0.0.1:0", "--drain-seconds", "1"])
            .args(arguments)
            .envs(variables.iter().copied())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let url = line.trim().strip_prefix("listening on ").expect("see above for why").to_owned();
        Self { child, url, client: Client::new() }
    }

    pub(crate) fn request(&self, method: Method, path: &str) -> RequestBuilder {
        self.client.request(method, format!("{}{path}", self.url))
    }

    pub(crate) async fn ask(&self, method: Method, path: &str) -> (u16, Value) {
        answer(self.request(method, path)).await
    }

    pub(crate) async fn get(&self, path: &str) -> (u16, Value) {
        self.ask(Method::GET, path).await
    }

    /// Submits and waits for the end.
    pub(crate) async fn run(&self, body: Value) -> Value {
        let request = self.request(Method::POST, "/eval").header("prefer", "wait=60").json(&body);
        let (status, ended) = answer(request).await;
        assert_eq!(status, 200, "{ended}");
        ended
    }

    pub(crate) async fn run_code(&self, code: &str) -> Value {
        self.run(json!({ "code": code })).await
    }

    /// Sends SIGTERM and waits for the end: the exit code.
    pub(crate) fn stop(&mut self) -> Option<i32> {
        let pid = Pid::from_raw(i32::try_from(self.child.id()).unwrap()).unwrap();
        kill_process(pid, Signal::TERM).unwrap();
        let started = Instant::now();
        while started.elapsed() < Duration::from_secs(30) {
            if let Some(status) = self.child.try_wait().unwrap() {
                return status.code();
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        panic!("the stage did not end on SIGTERM");
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        if self.child.try_wait().is_ok_and(|status| status.is_none()) {
            self.stop();
        }
    }
}

pub(crate) async fn answer(request: RequestBuilder) -> (u16, Value) {
    let answer = request.send().await.unwrap();
    let status = answer.status().as_u16();
    (status, serde_json::from_slice(&answer.bytes().await.unwrap()).unwrap_or_default())
}
