//! Receivers of webhooks: one that answers as a test says, and one with another library.

use std::io::BufRead as _;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU16, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use serde_json::Value;
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::{TcpListener, TcpStream};

/// No answer at all.
pub(crate) const HANG: u16 = 0;

/// One request.
#[derive(Debug, Clone)]
pub(crate) struct Received {
    pub(crate) id: String,
    pub(crate) signature: String,
    pub(crate) seconds: i64,
    pub(crate) body: String,
    pub(crate) event: Value,
    /// What it was answered with.
    pub(crate) status: u16,
}

#[derive(Clone)]
pub(crate) struct Receiver {
    pub(crate) url: String,
    status: Arc<AtomicU16>,
    received: Arc<Mutex<Vec<Received>>>,
}

impl Receiver {
    /// A receiver that answers with this status.
    pub(crate) async fn start(status: u16) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/hook", listener.local_addr().unwrap());
        let status = Arc::new(AtomicU16::new(status));
        let receiver = Self { url, status, received: Arc::default() };
        let own = receiver.clone();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(own.clone().answer(stream));
            }
        });
        receiver
    }

    pub(crate) fn set_status(&self, status: u16) {
        self.status.store(status, Ordering::Relaxed);
    }

    pub(crate) fn received(&self) -> Vec<Received> {
        self.received.lock().unwrap().clone()
    }

    /// The ids of the evaluations of the events that were answered with a success.
    pub(crate) fn subjects(&self) -> Vec<String> {
        let received = self.received();
        let delivered = received.iter().filter(|one| (200..300).contains(&one.status));
        delivered.map(|one| one.event["subject"].as_str().unwrap_or("").to_owned()).collect()
    }

    pub(crate) async fn eventually(&self, what: &str, is_true: impl Fn(&[Received]) -> bool) {
        harness::eventually(what, Duration::from_mins(1), || is_true(&self.received())).await;
    }

    async fn answer(self, stream: TcpStream) -> Option<()> {
        let mut stream = BufReader::new(stream);
        let (mut line, mut length) = (String::new(), 0);
        let (mut id, mut signature, mut seconds) = (String::new(), String::new(), 0);
        while stream.read_line(&mut line).await.ok()? > 2 {
            let (name, value) = line.split_once(": ").unwrap_or_default();
            match name {
                "content-length" => length = value.trim().parse().ok()?,
                "webhook-id" => value.trim().clone_into(&mut id),
                "webhook-timestamp" => seconds = value.trim().parse().ok()?,
                "webhook-signature" => value.trim().clone_into(&mut signature),
                _ => {}
            }
            line.clear();
        }
        let mut body = vec![0; length];
        stream.read_exact(&mut body).await.ok()?;
        let body = String::from_utf8(body).ok()?;
        let (event, status) =
            (serde_json::from_str(&body).unwrap(), self.status.load(Ordering::Relaxed));
        self.received.lock().unwrap().push(Received {
            id,
            signature,
            seconds,
            body,
            event,
            status,
        });
        if status == HANG {
            std::future::pending::<()>().await;
        }
        let head = format!("HTTP/1.1 {status} X\r\ncontent-length: 0\r\nconnection: close\r\n\r\n");
        stream.write_all(head.as_bytes()).await.ok()
    }
}

/// The receiver of `receiver.py`, as a process.
pub(crate) struct Verifying {
    child: Child,
    pub(crate) url: String,
}

impl Verifying {
    /// Starts it. With the files of a certificate and its key it has HTTPS.
    pub(crate) fn start(secret: &Path, log: &Path, tls: &[&Path]) -> Self {
        let python = Path::new("/opt/crucible/contract/bin/python3");
        assert!(python.exists(), "{} is missing: just setup --with-tests", python.display());
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it/receiver.py");
        let mut child = Command::new(python)
            .args([&script, secret, log])
            .args(tls)
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let mut port = String::new();
        std::io::BufReader::new(child.stdout.take().unwrap()).read_line(&mut port).unwrap();
        let scheme = if tls.is_empty() { "http" } else { "https" };
        Self { child, url: format!("{scheme}://127.0.0.1:{}/", port.trim()) }
    }
}

impl Drop for Verifying {
    fn drop(&mut self) {
        self.child.kill().ok(); // it may have ended
        self.child.wait().ok();
    }
}
