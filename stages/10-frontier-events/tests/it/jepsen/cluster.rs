//! One API, three workers and a broker as processes, with a link between each two of them.

use std::fs;
use std::net::TcpListener;
use std::path::PathBuf;
use std::process::Command;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU32, Ordering};

use harness::{Client, Launch, Server, Signal};
use tempfile::TempDir;
use tokio::task::block_in_place;

use super::Plan;
use super::disk::Disk;
use super::link::Link;
use crate::broker::system::{Moto, Nats, Process};
use crate::fleet::site::{SHARED, Worker};
use crate::stage::BINARY;

pub(super) const WORKERS: usize = 3;
/// The size of the disk of the API, without what many evaluations need.
const DISK_MEBIBYTES: u32 = 48;

/// The broker.
pub(super) enum System {
    Nats(Nats),
    Moto(Moto),
}

impl System {
    pub(super) fn start(name: &str) -> Self {
        match name {
            "nats" => Self::Nats(Nats::start()),
            "sqs" => Self::Moto(Moto::start()),
            other => panic!("{other} is no broker: nats and sqs are"),
        }
    }

    pub(super) fn process(&self) -> &Process {
        match self {
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
    lease_seconds: u32,
    failpoints: Mutex<&'static str>,
    started: AtomicU32,
    pub(super) api_to_broker: Link,
    pub(super) to_api: [Link; WORKERS],
    pub(super) to_broker: [Link; WORKERS],
}

impl Cluster {
    /// Starts all of it.
    pub(super) async fn start(plan: &Plan) -> Self {
        let broker = System::start(&plan.broker);
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let there = broker.process().port;
        let directory = tempfile::tempdir().unwrap();
        let data = directory.path().join("data");
        fs::create_dir(&data).unwrap();
        let cluster = Self {
            disk: Disk::mount(&data, DISK_MEBIBYTES + plan.count / 16),
            directory,
            port,
            lease_seconds: plan.lease_seconds,
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
        for worker in 0..WORKERS {
            cluster.start_worker(worker);
        }
        cluster
    }

    pub(super) fn client(&self) -> Client {
        Client::new(format!("http://127.0.0.1:{}", self.port))
    }

    pub(super) fn start_api(&self) {
        let launch = Launch::new(BINARY)
            .args(["--role", "api", "--drain-seconds", "5"])
            .args(["--listen", &format!("127.0.0.1:{}", self.port)])
            .args(["--lease-seconds", &self.lease_seconds.to_string()])
            .args(["--republish-seconds", "1"])
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
            .args(["--workers", "2", "--drain-seconds", "1"])
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
