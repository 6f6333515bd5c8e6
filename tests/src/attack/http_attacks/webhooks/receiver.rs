//! Receivers of webhooks on this machine, and listeners that no webhook may reach.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};

use anyhow::{Context as _, Result};
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

/// The largest message that is read.
const MAX_BYTES: usize = 1 << 20;

/// One message.
#[derive(Debug, Clone, Default)]
pub(super) struct Message {
    pub(super) path: String,
    pub(super) id: String,
    pub(super) seconds: String,
    pub(super) signature: String,
    pub(super) body: String,
}

/// Counts connections, and answers each request with the head that `answer` makes of its path.
pub(super) struct Receiver {
    pub(super) address: SocketAddr,
    connections: Arc<Mutex<usize>>,
    messages: Arc<Mutex<Vec<Message>>>,
    task: JoinHandle<()>,
}

impl Drop for Receiver {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Receiver {
    /// One that listens there.
    pub(super) async fn start(
        address: &str,
        answer: impl Fn(&str) -> String + Send + Sync + 'static,
    ) -> Result<Self> {
        let listener = TcpListener::bind(address).await;
        let listener = listener.with_context(|| format!("cannot listen on {address}"))?;
        let address = listener.local_addr()?;
        let (connections, messages) = <(Arc<Mutex<usize>>, Arc<Mutex<Vec<Message>>>)>::default();
        let (count, received, answer) = (connections.clone(), messages.clone(), Arc::new(answer));
        let task = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                *count.lock().unwrap_or_else(PoisonError::into_inner) += 1;
                let (received, answer) = (received.clone(), answer.clone());
                tokio::spawn(async move {
                    // What is no request, such as a handshake of TLS, was counted, and that is all.
                    serve(stream, &received, &*answer).await.ok();
                });
            }
        });
        Ok(Self { address, connections, messages, task })
    }

    /// A victim on every address of this machine, or on that one.
    pub(super) async fn victim(address: &str) -> Result<Self> {
        Self::start(address, |_| "200 OK".to_owned()).await
    }

    /// How many connections there were.
    pub(super) fn connections(&self) -> usize {
        *self.connections.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn messages(&self) -> Vec<Message> {
        self.messages.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

async fn serve(
    stream: TcpStream,
    received: &Mutex<Vec<Message>>,
    answer: &(dyn Fn(&str) -> String + Send + Sync),
) -> Result<()> {
    let mut stream = BufReader::new(stream);
    let (mut message, mut line, mut length) = (Message::default(), String::new(), 0);
    while stream.read_line(&mut line).await? > 2 {
        if message.path.is_empty() {
            line.split(' ').nth(1).context("a request line")?.clone_into(&mut message.path);
        }
        let (name, value) = line.split_once(':').unwrap_or_default();
        let value = value.trim();
        match name.to_ascii_lowercase().as_str() {
            "content-length" => length = value.parse().context("a length")?,
            "webhook-id" => value.clone_into(&mut message.id),
            "webhook-timestamp" => value.clone_into(&mut message.seconds),
            "webhook-signature" => value.clone_into(&mut message.signature),
            _ => {}
        }
        line.clear();
    }
    let mut body = vec![0; length.min(MAX_BYTES)];
    stream.read_exact(&mut body).await?;
    message.body = String::from_utf8(body)?;
    let head = answer(&message.path);
    received.lock().unwrap_or_else(PoisonError::into_inner).push(message);
    let response = format!("HTTP/1.1 {head}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
    Ok(stream.write_all(response.as_bytes()).await?)
}
