//! A site: an API, workers, and the broker between them.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use harness::{Client, Launch, Server, Worker, eventually_some};
use serde_json::Value;
use tempfile::TempDir;

use crate::broker::system::{Moto, Nats};
use crate::stage::binary;

/// How long anything may take that should happen soon.
pub(crate) const EVENT_TIMEOUT: Duration = Duration::from_mins(1);

/// The flags that API and workers share: no isolation, which is not what is tested here, and one process, so that a
/// kill hits the one that stores or runs.
pub(crate) const SHARED: [&str; 6] =
    ["--engine", "subprocess", "--unsafe", "--single-process", "--self-test-seconds", "3600"];

/// An API that can be started again at the same address, and what its workers need.
pub(crate) struct Site {
    pub(crate) directory: TempDir,
    queue: Vec<String>,
    port: u16,
    lease_seconds: u32,
}

impl Site {
    pub(crate) fn on_nats(nats: &Nats, lease_seconds: u32) -> Self {
        Self::new(vec!["--queue".to_owned(), nats.url("fleet")], lease_seconds)
    }

    pub(crate) fn on_sqs(moto: &Moto, lease_seconds: u32) -> Self {
        let credentials = moto.process.directory.path().join("credentials").display().to_string();
        let queue =
            format!("sqs://us-east-1/fleet?endpoint=http://127.0.0.1:{}", moto.process.port);
        let flags = ["--queue", &queue, "--broker-credentials", &credentials];
        Self::new(flags.map(str::to_owned).to_vec(), lease_seconds)
    }

    fn new(mut queue: Vec<String>, lease_seconds: u32) -> Self {
        let port = harness::free_port();
        queue.extend(["--broker-visibility-seconds", "5"].map(str::to_owned));
        Self { directory: tempfile::tempdir().unwrap(), queue, port, lease_seconds }
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    pub(crate) fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    fn api_arguments(&self, role: &str) -> Vec<String> {
        let (listen, lease) = (format!("127.0.0.1:{}", self.port), self.lease_seconds.to_string());
        let data = self.path("data").display().to_string();
        let flags =
            ["--role", role, "--strict-contract", "--drain-seconds", "5", "--listen", &listen];
        let more = ["--lease-seconds", &lease, "--republish-seconds", "1", "--data-dir", &data];
        let all = flags.iter().chain(&more).chain(&SHARED).map(|text| (*text).to_owned());
        all.chain(self.queue.iter().cloned()).collect()
    }

    /// The API, to be configured further.
    pub(crate) fn command(&self) -> Command {
        let mut command = Command::new(binary());
        command.args(self.api_arguments("api")).stdin(Stdio::null()).stdout(Stdio::null());
        command.stderr(Stdio::null());
        command
    }

    /// The API, until it listens.
    pub(crate) fn launch(&self) -> Launch {
        Launch::new(binary()).args(self.api_arguments("api"))
    }

    /// An API that runs programs as well, two at a time, as the worker of that name.
    pub(crate) fn all(&self, name: &str) -> Server {
        let launch = Launch::new(binary()).args(self.api_arguments("all"));
        launch.args(["--worker-name", name, "--workers", "2"]).start()
    }

    pub(crate) fn api(&self) -> Server {
        self.launch().start()
    }

    /// A worker for so many programs at a time, on these processors.
    #[cfg(feature = "figures")]
    pub(crate) fn worker_on(&self, processors: &str, workers: usize) -> Worker {
        let mut command = Command::new("taskset");
        command
            .args(["--cpu-list", processors])
            .arg(binary())
            .args(["--role", "worker", "--api", &self.url(), "--drain-seconds", "5"])
            .args(["--worker-name", &format!("on-{processors}")])
            .args(["--workers", &workers.to_string()])
            .args(SHARED)
            .args(&self.queue);
        Worker::start(&mut command, self.path(&format!("on-{processors}.log")))
    }

    /// A worker for two programs at a time.
    pub(crate) fn worker(&self, name: &str) -> Worker {
        self.worker_with(name, &["--drain-seconds", "5"])
    }

    /// The same, with more arguments.
    pub(crate) fn worker_with(&self, name: &str, more: &[&str]) -> Worker {
        self.worker_at(&self.url(), name, more)
    }

    /// The same, for an API at that address.
    pub(crate) fn worker_at(&self, url: &str, name: &str, more: &[&str]) -> Worker {
        let mut command = Command::new(binary());
        command
            .args(["--role", "worker", "--api", url, "--worker-name", name])
            .args(["--workers", "2"])
            .args(SHARED)
            .args(&self.queue)
            .args(more);
        Worker::start(&mut command, self.path(&format!("{name}.log")))
    }
}

/// Waits until so many workers take work.
pub(crate) async fn ready(client: &Client, count: u64) {
    eventually_some(&format!("{count} workers"), EVENT_TIMEOUT, async || {
        let status = client.get("/status").await.json();
        (status["fleet"]["ready"] == count).then_some(())
    })
    .await;
}

/// The workers as the API lists them.
pub(crate) async fn workers(client: &Client) -> Vec<Value> {
    client.get("/workers").await.json()["items"].as_array().unwrap().clone()
}

/// The worker of this name.
pub(crate) async fn worker_named(client: &Client, name: &str) -> Value {
    let all = workers(client).await;
    all.iter().find(|one| one["name"] == name).unwrap_or_else(|| panic!("{name}: {all:?}")).clone()
}

/// A program that prints `out`, and ends when a file exists.
pub(crate) fn waits_for(release: &Path) -> String {
    format!(
        "import os, time\nprint('out', flush=True)\nwhile not os.path.exists('{}'):\n    time.sleep(0.02)\n\
         print('end', flush=True)",
        release.display()
    )
}

/// Waits until the program of that attempt has printed its first line.
pub(crate) async fn has_printed(client: &Client, id: &str, attempt: u64) {
    let printed = |one: &Value| one["attempt"] == attempt && one["stdout"]["bytes_total"] == 4;
    client.wait_until(id, "its output", printed).await;
}
