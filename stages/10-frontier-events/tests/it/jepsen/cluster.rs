//! One API, three workers and a broker as processes, with a link between each two of them.

use std::fs;
use std::path::PathBuf;
use std::process::Command;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU32, Ordering};

use harness::{Client, Launch, Server, Signal, Worker};
use tempfile::TempDir;
use tokio::task::block_in_place;

use super::disk::Disk;
use super::link::Link;
use super::plan::Plan;
use crate::broker::system::{Moto, Nats, Process};
use crate::fleet::site::SHARED;
use crate::stage::BINARY;

pub(super) const WORKERS: usize = 3;
/// The size of the disk of the API, without what many evaluations need.
const DISK_MEBIBYTES: u32 = 48;

/// Nothing is deleted, however many evaluations end: all of them are read again.
const STORES_ALL: [&str; 4] = ["--storage-entries", "10000000", "--storage-bytes", "1099511627776"];

/// The broker.
pub(super) enum System {
    /// None: the API runs programs itself.
    Memory,
    Nats(Nats),
    Moto(Moto),
}

impl System {
    pub(super) fn start(name: &str) -> Self {
        match name {
            "memory" => Self::Memory,
            "nats" => Self::Nats(Nats::start()),
            "sqs" => Self::Moto(Moto::start()),
            other => panic!("{other} is no broker"),
        }
    }

    pub(super) fn process(&self) -> &Process {
        match self {
            Self::Memory => panic!("there is no process that could fail"),
            Self::Nats(nats) => &nats.0,
            Self::Moto(moto) => &moto.process,
        }
    }

    /// Removes what it has stored, while it is stopped. Moto stores nothing.
    pub(super) fn lose_everything(&self) {
        if let Self::Nats(nats) = self {
            nats.lose_everything();
        }
    }

    /// The flags of a process that reaches it by this port.
    fn flags(&self, port: u16) -> Vec<String> {
        let mut flags = match self {
            Self::Memory => return Vec::new(),
            Self::Nats(_) => vec!["--queue".to_owned(), format!("nats://127.0.0.1:{port}/jepsen")],
            Self::Moto(moto) => {
                let queue = format!("sqs://us-east-1/jepsen?endpoint=http://127.0.0.1:{port}");
                let credentials = moto.process.directory.path().join("credentials");
                let credentials = credentials.display().to_string();
                vec!["--queue".to_owned(), queue, "--broker-credentials".to_owned(), credentials]
            }
        };
        flags.extend(["--broker-visibility-seconds", "5"].map(str::to_owned));
        flags
    }
}

/// All processes. They are dropped in this order.
pub(super) struct Cluster {
    api: Mutex<Option<Server>>,
    workers: [Mutex<Option<Worker>>; WORKERS],
    /// Told to end when the cluster is dropped, and waited for after that.
    ending: Mutex<Vec<Worker>>,
    pub(super) broker: System,
    /// Of the API.
    pub(super) disk: Disk,
    pub(super) directory: TempDir,
    port: u16,
    pub(super) plan: Plan,
    failpoints: Mutex<&'static str>,
    started: AtomicU32,
    pub(super) api_to_broker: Link,
    pub(super) to_api: [Link; WORKERS],
    pub(super) to_broker: [Link; WORKERS],
}

impl Cluster {
    /// Starts all of it.
    pub(super) async fn start(plan: &Plan) -> Self {
        let broker = System::start(plan.broker);
        let port = harness::free_port();
        let there = if matches!(broker, System::Memory) { port } else { broker.process().port };
        let directory = tempfile::tempdir().unwrap();
        let data = directory.path().join("data");
        fs::create_dir(&data).unwrap();
        let cluster = Self {
            disk: Disk::mount(&data, DISK_MEBIBYTES + plan.count / 16),
            directory,
            port,
            plan: plan.clone(),
            failpoints: Mutex::new(plan.failpoints),
            api: Mutex::default(),
            workers: Default::default(),
            ending: Mutex::default(),
            started: AtomicU32::new(0),
            api_to_broker: Link::to(there).await,
            to_api: [Link::to(port).await, Link::to(port).await, Link::to(port).await],
            to_broker: [Link::to(there).await, Link::to(there).await, Link::to(there).await],
            broker,
        };
        cluster.start_api();
        for worker in 0..cluster.workers() {
            cluster.start_worker(worker);
        }
        cluster
    }

    /// How many workers there are besides the API.
    pub(super) fn workers(&self) -> usize {
        if matches!(self.broker, System::Memory) { 0 } else { WORKERS }
    }

    pub(super) fn client(&self) -> Client {
        Client::new(format!("http://127.0.0.1:{}", self.port))
    }

    pub(super) fn start_api(&self) {
        // As many as those of three workers.
        let places = (self.plan.places * 3).to_string();
        let all = ["--role", "all", "--workers", &places];
        let launch = Launch::new(BINARY)
            .args(if self.workers() == 0 { &all[..] } else { &["--role", "api"][..] })
            .args(["--drain-seconds", "5"])
            .args(["--listen", &format!("127.0.0.1:{}", self.port)])
            .args(["--lease-seconds", &self.plan.lease_seconds.to_string()])
            .args(["--republish-seconds", "1"])
            .args(STORES_ALL)
            .args(SHARED)
            .args(self.broker.flags(self.api_to_broker.port))
            .arg("--data-dir")
            .arg(self.directory.path().join("data"))
            .with_wrapper(self.disk.wrapper())
            .env("FAILPOINTS", *self.failpoints.lock().unwrap());
        let api = block_in_place(|| launch.start());
        *self.api.lock().unwrap() = Some(api);
    }

    /// Starts the API again without the failures of its own.
    pub(super) fn without_failpoints(&self) {
        *self.failpoints.lock().unwrap() = "";
        self.kill_api();
        self.start_api();
    }

    pub(super) fn kill_api(&self) {
        let api = self.api.lock().unwrap().take().unwrap();
        block_in_place(|| api.kill());
    }

    pub(super) fn signal_api(&self, signal: Signal) {
        self.api.lock().unwrap().as_ref().unwrap().signal(signal);
    }

    pub(super) fn start_worker(&self, index: usize) {
        let number = self.started.fetch_add(1, Ordering::Relaxed);
        let api = format!("http://127.0.0.1:{}", self.to_api[index].port);
        let mut command = Command::new(BINARY);
        command
            .args(["--role", "worker", "--api", &api, "--worker-name", &format!("w{index}")])
            .args(["--workers", &self.plan.places.to_string(), "--drain-seconds", "1"])
            .args(SHARED)
            .args(self.broker.flags(self.to_broker[index].port))
            .env("FAILPOINTS", *self.failpoints.lock().unwrap());
        let log = self.directory.path().join(format!("w{index}.{number}.log"));
        *self.workers[index].lock().unwrap() = Some(Worker::start(&mut command, log));
    }

    pub(super) fn kill_worker(&self, index: usize) {
        let worker = self.workers[index].lock().unwrap().take().unwrap();
        block_in_place(|| worker.kill());
    }

    pub(super) fn signal_worker(&self, index: usize, signal: Signal) {
        self.workers[index].lock().unwrap().as_ref().unwrap().signal(signal);
    }

    /// What each worker process has logged.
    pub(super) fn logs(&self) -> Vec<(PathBuf, String)> {
        let files = fs::read_dir(self.directory.path()).unwrap().map(|file| file.unwrap().path());
        let logs =
            files.filter(|path| path.extension().is_some_and(|extension| extension == "log"));
        logs.map(|path| (path.clone(), fs::read_to_string(path).unwrap())).collect()
    }
}

impl Drop for Cluster {
    /// Ends all of them at the same time: each on its own would wait for what runs.
    fn drop(&mut self) {
        if let Some(api) = self.api.lock().unwrap().take() {
            api.kill();
        }
        for worker in self.workers.iter().filter_map(|worker| worker.lock().unwrap().take()) {
            worker.signal(Signal::CONT);
            worker.signal(Signal::TERM);
            self.ending.lock().unwrap().push(worker);
        }
    }
}
