//! The stage as a process, and a client for it.

use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use reqwest::{Client, Method, RequestBuilder};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

pub(crate) const BINARY: &str = env!("CARGO_BIN_EXE_stage-08-openapi");
/// The engine that needs nothing, for what is not about walls.
pub(crate) const OPEN: [&str; 3] = ["--engine", "subprocess", "--unsafe"];
/// Where set-up puts the programs that a contract is tested with.
const TOOLS: &str = "/opt/crucible/bin";

/// A running stage that sends nothing outside the contract. Dropping it ends it in order.
pub(crate) struct Server {
    child: Child,
    pub(crate) url: String,
    client: Client,
}

impl Server {
    pub(crate) fn start(arguments: &[&str]) -> Self {
        let mut child = Command::new(BINARY)
            .args(["--listen", "127.0.0.1:0", "--drain-seconds", "1", "--strict-contract"])
            .args(arguments)
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

    pub(crate) async fn get(&self, path: &str) -> (u16, Value) {
        answer(self.request(Method::GET, path)).await
    }

    pub(crate) async fn text(&self, path: &str) -> String {
        self.request(Method::GET, path).send().await.unwrap().text().await.unwrap()
    }

    /// Nothing was outside the contract so far.
    pub(crate) async fn assert_nothing_broken(&self) {
        let metrics = self.text("/metrics").await;
        let counters: Vec<_> = metrics.lines().filter(|it| it.contains("_broken_total{")).collect();
        let broken = counters.iter().filter(|line| !line.ends_with(" 0"));
        assert_eq!(broken.collect::<Vec<_>>(), [&""; 0], "see the log above");
        assert!(counters.len() > 15, "{metrics}");
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

/// The folder of this stage.
pub(crate) fn folder() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// One of the programs that a contract is tested with.
pub(crate) fn tool(name: &str) -> PathBuf {
    let tool = Path::new(TOOLS).join(name);
    assert!(tool.exists(), "{} is missing: just setup --with-tests", tool.display());
    tool
}

/// Runs a program to its end: its exit code, and everything that it said.
pub(crate) fn ended(command: &mut Command) -> (Option<i32>, String) {
    let Output { status, stdout, stderr } = command.output().unwrap();
    let said = [stdout, stderr].concat();
    (status.code(), String::from_utf8_lossy(&said).into_owned())
}
