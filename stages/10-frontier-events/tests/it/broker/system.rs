//! Brokers as processes: a NATS server, and moto in place of Amazon SQS. Set-up installs both.

use std::env;
use std::fs::{self, File};
use std::io::ErrorKind;
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::Instant;

use futures_util::future::BoxFuture;
use harness::Signal;
use rustix::process::{Pid, kill_process};
use serde_json::json;
use stage_10_frontier_events::{Broker, BrokerOptions, open_broker as open};
use tempfile::TempDir;

use super::suite::{ARRIVAL_TIMEOUT, Guarantees, MakeBroker, PYTHON, options};

/// Where set-up puts the programs.
const TOOLS: &str = "/opt/crucible/bin";

/// Another NATS server than that of set-up.
const NATS_SERVER_ENV: &str = "CRUCIBLE_NATS_SERVER";

/// A process with a port and a directory, that can be stopped and started again.
pub(crate) struct Process {
    pub(crate) directory: TempDir,
    pub(crate) port: u16,
    program: PathBuf,
    arguments: Vec<String>,
    child: Mutex<Option<Child>>,
}

impl Process {
    fn new(program: PathBuf, arguments: impl FnOnce(u16, &Path) -> Vec<String>) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let port = harness::free_port();
        let arguments = arguments(port, directory.path());
        Self { directory, port, program, arguments, child: Mutex::new(None) }
    }

    /// Starts it, and waits until it accepts connections.
    pub(crate) fn start(&self) {
        let log = File::create(self.directory.path().join("log")).unwrap();
        let child = Command::new(&self.program)
            .args(&self.arguments)
            .stdin(Stdio::null())
            .stdout(log.try_clone().unwrap())
            .stderr(log)
            .spawn();
        let missing = "run infrastructure/setup/setup.sh --with-tests";
        let child = child.unwrap_or_else(|e| panic!("{}: {e}: {missing}", self.program.display()));
        *self.child.lock().unwrap() = Some(child);
        let started = Instant::now();
        while TcpStream::connect(("127.0.0.1", self.port)).is_err() {
            let log = || fs::read_to_string(self.directory.path().join("log")).unwrap();
            assert!(started.elapsed() < ARRIVAL_TIMEOUT, "{}: {}", self.program.display(), log());
            std::thread::sleep(std::time::Duration::from_millis(20));
        }
    }

    /// Kills it.
    pub(crate) fn stop(&self) {
        if let Some(mut child) = self.child.lock().unwrap().take() {
            child.kill().unwrap();
            child.wait().unwrap();
        }
    }

    /// Stops every thread of it, and returns when they have stopped: a busy kernel takes its time.
    pub(crate) fn freeze(&self) {
        let pid = self.signal(Signal::STOP);
        let started = Instant::now();
        let has_stopped = |task: fs::DirEntry| {
            let stat = fs::read_to_string(task.path().join("stat")).unwrap_or_default();
            stat.rsplit_once(") ").is_none_or(|(_, rest)| rest.starts_with('T'))
        };
        while !fs::read_dir(format!("/proc/{pid}/task")).unwrap().flatten().all(has_stopped) {
            assert!(started.elapsed() < ARRIVAL_TIMEOUT, "process {pid} does not stop");
            std::thread::sleep(std::time::Duration::from_millis(5));
        }
    }

    /// Lets it go on.
    pub(crate) fn thaw(&self) {
        self.signal(Signal::CONT);
    }

    fn signal(&self, signal: Signal) -> u32 {
        let child = self.child.lock().unwrap();
        let child = child.as_ref().unwrap();
        kill_process(Pid::from_child(child), signal).unwrap();
        child.id()
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.stop();
    }
}

/// A NATS server.
pub(crate) struct Nats(pub(crate) Process);

impl Nats {
    pub(crate) fn start() -> Self {
        let nats = Self::stopped("");
        nats.0.start();
        nats
    }

    /// With more lines in its configuration, and not started. `DIRECTORY` there is its directory.
    pub(crate) fn stopped(more: &str) -> Self {
        let program = env::var_os(NATS_SERVER_ENV)
            .map_or_else(|| Path::new(TOOLS).join("nats-server"), PathBuf::from);
        let version = Command::new(&program).arg("--version").output();
        let version = version.map(|output| String::from_utf8_lossy(&output.stdout).into_owned());
        // Debian 12's does not know the setting.
        let is_old = version.is_ok_and(|version| version.contains("v2.9."));
        let sync = if is_old { "" } else { "sync_interval: always" };
        Self(Process::new(program, |port, directory| {
            let path = directory.display().to_string();
            let more = more.replace("DIRECTORY", &path);
            let text = format!(
                "listen: 127.0.0.1:{port}\njetstream {{ store_dir: \"{path}/data\"\n{sync} }}\n{more}\n"
            );
            let file = directory.join("nats.conf");
            fs::write(&file, text).unwrap();
            vec!["-c".to_owned(), file.display().to_string()]
        }))
    }

    /// Removes what it has stored. It must be stopped.
    pub(crate) fn lose_everything(&self) {
        // One that was killed before it had started has stored nothing.
        match fs::remove_dir_all(self.0.directory.path().join("data")) {
            Err(error) if error.kind() == ErrorKind::NotFound => {}
            removed => removed.unwrap(),
        }
    }

    pub(crate) fn url(&self, name: &str) -> String {
        format!("nats://127.0.0.1:{}/{name}", self.0.port)
    }
}

impl MakeBroker for Nats {
    fn guarantees(&self) -> Guarantees {
        Guarantees { order: true, dedup: true }
    }

    fn open<'a>(&'a self, name: &'a str, options: BrokerOptions) -> BoxFuture<'a, Arc<dyn Broker>> {
        Box::pin(async move { open(&self.url(name).parse().unwrap(), &options).await.unwrap() })
    }

    fn inject<'a>(&'a self, name: &'a str, bytes: &'a str) -> BoxFuture<'a, ()> {
        Box::pin(async move {
            self.open(name, options()).await.stats().await.unwrap(); // which creates the stream
            let client = async_nats::connect(format!("127.0.0.1:{}", self.0.port)).await.unwrap();
            let jetstream = async_nats::jetstream::new(client);
            let subject = format!("{name}.tickets.{PYTHON}");
            let sent = jetstream.publish(subject, bytes.to_owned().into()).await.unwrap();
            sent.await.unwrap();
        })
    }
}

/// Moto, which forgets everything when it is stopped.
pub(crate) struct Moto {
    pub(crate) process: Process,
    scheme: &'static str,
}

impl Moto {
    pub(crate) fn start() -> Self {
        let moto = Self::stopped("http", &[]);
        moto.process.start();
        moto
    }

    /// With more arguments, and not started. `DIRECTORY` there is its directory.
    pub(crate) fn stopped(scheme: &'static str, more: &[&str]) -> Self {
        let process = Process::new(Path::new(TOOLS).join("moto_server"), |port, directory| {
            fs::write(directory.join("credentials"), "an-id:a-secret\n").unwrap();
            let path = directory.display().to_string();
            let more = more.iter().map(|argument| argument.replace("DIRECTORY", &path));
            ["-H", "127.0.0.1", "-p", &port.to_string()]
                .map(str::to_owned)
                .into_iter()
                .chain(more)
                .collect()
        });
        Self { process, scheme }
    }

    fn endpoint(&self) -> String {
        format!("{}://127.0.0.1:{}", self.scheme, self.process.port)
    }

    async fn call(&self, action: &str, body: serde_json::Value) -> serde_json::Value {
        let request = reqwest::Client::new().post(self.endpoint());
        let request = request
            .header("X-Amz-Target", format!("AmazonSQS.{action}"))
            .header(
                "Authorization",
                "AWS4-HMAC-SHA256 Credential=id/20260101/us-east-1/sqs/aws4_request",
            )
            .header("Content-Type", "application/x-amz-json-1.0")
            .body(body.to_string());
        let answer = request.send().await.unwrap().error_for_status().unwrap();
        serde_json::from_str(&answer.text().await.unwrap()).unwrap()
    }
}

impl MakeBroker for Moto {
    fn guarantees(&self) -> Guarantees {
        Guarantees::default()
    }

    fn open<'a>(&'a self, name: &'a str, options: BrokerOptions) -> BoxFuture<'a, Arc<dyn Broker>> {
        Box::pin(async move {
            let credentials = self.process.directory.path().join("credentials");
            let options = BrokerOptions { credentials: Some(credentials), ..options };
            let url = format!("sqs://us-east-1/{name}?endpoint={}", self.endpoint());
            open(&url.parse().unwrap(), &options).await.unwrap()
        })
    }

    fn inject<'a>(&'a self, name: &'a str, bytes: &'a str) -> BoxFuture<'a, ()> {
        Box::pin(async move {
            let broker = self.open(name, options()).await;
            broker.receive(&[PYTHON.to_owned()], std::time::Duration::ZERO).await.unwrap();
            let queue = format!("{name}-queue-{PYTHON}");
            let queue = self.call("GetQueueUrl", json!({ "QueueName": queue })).await;
            let message = json!({ "QueueUrl": queue["QueueUrl"], "MessageBody": bytes });
            self.call("SendMessage", message).await;
        })
    }
}
