//! HTTP over plain sockets: requests that a well-behaved client would never send.

use std::net::SocketAddr;
use std::time::Duration;

use anyhow::{Context as _, Result};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout};

use crate::attack::testbed::Testbed;
use crate::support::client::Program;

/// How long the response to a malformed request may take before it counts as none.
const RESPONSE_TIMEOUT: Duration = Duration::from_secs(10);
/// The same, for a request that runs a program.
const RUN_TIMEOUT: Duration = Duration::from_mins(1);
/// A well-behaved client has any response within this time.
const SERVE_TIMEOUT: Duration = Duration::from_secs(8);
/// How much of a response is read.
const MAX_RESPONSE_BYTES: usize = 64 << 20;

/// What a connection returned.
#[derive(Debug, Clone, Default)]
pub(super) struct Reply {
    /// All bytes, as text.
    pub(super) text: String,
    /// The status of the first response; 0 when there was none.
    pub(super) status: u16,
    /// Whether the server closed the connection.
    pub(super) closed: bool,
}

impl Reply {
    fn new(bytes: &[u8], closed: bool) -> Self {
        let text = String::from_utf8_lossy(bytes).into_owned();
        let status = text.split(' ').nth(1).and_then(|code| code.parse().ok()).unwrap_or(0);
        Self { text, status, closed }
    }

    /// Whether the server refused: 4xx, or a closed connection without a response.
    pub(super) fn refused(&self) -> bool {
        (400..500).contains(&self.status) || (self.status == 0 && self.closed)
    }

    /// The head of the first response.
    pub(super) fn head(&self) -> &str {
        self.text.split("\r\n\r\n").next().unwrap_or_default()
    }

    /// Everything after the head.
    pub(super) fn body(&self) -> &str {
        self.text.split_once("\r\n\r\n").map_or("", |(_, body)| body)
    }
}

/// A connection to the server.
pub(super) async fn connect(testbed: &Testbed) -> Result<TcpStream> {
    connect_to(testbed.client_address).await
}

async fn connect_to(address: SocketAddr) -> Result<TcpStream> {
    let connected = timeout(RESPONSE_TIMEOUT, TcpStream::connect(address)).await;
    // A server with a full backlog does not refuse: the connection attempt would wait for minutes.
    connected.context("the server accepts no connection")?.context("cannot connect to the server")
}

/// Sends these bytes, and reads until the server closes the connection or a timeout.
pub(super) async fn send(testbed: &Testbed, bytes: &[u8]) -> Result<Reply> {
    send_to(testbed.client_address, bytes).await
}

/// The same for another server than the testbed's.
pub(super) async fn send_to(address: SocketAddr, bytes: &[u8]) -> Result<Reply> {
    let mut socket = connect_to(address).await?;
    // A server may reject before it has read everything.
    socket.write_all(bytes).await.ok();
    Ok(read(&mut socket, RESPONSE_TIMEOUT).await)
}

/// Reads until the server closes, or `within` is over.
pub(super) async fn read(socket: &mut TcpStream, within: Duration) -> Reply {
    read_until(socket, within, |_| false).await
}

/// The same, which also ends as soon as `done` holds of what has arrived.
pub(super) async fn read_until(
    socket: &mut TcpStream,
    within: Duration,
    done: impl Fn(&[u8]) -> bool,
) -> Reply {
    let deadline = Instant::now() + within;
    let mut got = Vec::new();
    let mut chunk = vec![0; 64 << 10];
    loop {
        let left = deadline.saturating_duration_since(Instant::now());
        match timeout(left, socket.read(&mut chunk)).await {
            Ok(Ok(length @ 1..)) if got.len() < MAX_RESPONSE_BYTES => {
                got.extend_from_slice(&chunk[..length]);
                if done(&got) {
                    return Reply::new(&got, false);
                }
            }
            Ok(_) => return Reply::new(&got, true),
            Err(_) => return Reply::new(&got, false),
        }
    }
}

/// A request with these additional header lines, each with its line end, and `Connection: close`.
pub(super) fn request(testbed: &Testbed, line: &str, headers: &str, body: &str) -> Vec<u8> {
    let length = body.len();
    let (client_address, key) = (testbed.client_address, testbed.authorization());
    format!(
        "{line} HTTP/1.1\r\nHost: {client_address}\r\nConnection: close\r\n{key}{headers}\
         Content-Length: {length}\r\n\r\n{body}"
    )
    .into_bytes()
}

/// Posts JSON to `/eval`.
pub(super) async fn post(testbed: &Testbed, json: &str) -> Result<Reply> {
    let headers = "Content-Type: application/json\r\nPrefer: wait=50\r\n";
    let mut socket = connect(testbed).await?;
    socket.write_all(&request(testbed, "POST /eval", headers, json)).await.ok();
    Ok(read(&mut socket, RUN_TIMEOUT).await)
}

/// Whether a well-behaved client is served: any response counts, even a 503.
pub(super) async fn serves(testbed: &Testbed) -> bool {
    let json = r#"{"code": "print(1)"}"#;
    let headers = "Content-Type: application/json\r\n";
    let request = request(testbed, "POST /eval", headers, json);
    let asked = async {
        let mut socket = connect(testbed).await?;
        socket.write_all(&request).await?;
        let mut first = [0; 12];
        socket.read_exact(&mut first).await?;
        anyhow::Ok(first)
    };
    matches!(timeout(SERVE_TIMEOUT, asked).await, Ok(Ok(first)) if first.starts_with(b"HTTP/1.1 "))
}

/// Whether the server still runs programs.
pub(super) async fn works(testbed: &Testbed) -> bool {
    let answer = testbed.client.evaluate(&Program::new("print(6 * 7)")).await;
    answer.is_ok_and(|answer| answer.stdout() == "42\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reply_is_read_as_far_as_it_goes() {
        let reply = Reply::new(b"HTTP/1.1 413 Too Large\r\nA: b\r\n\r\nno", false);
        assert_eq!((reply.status, reply.body()), (413, "no"));
        assert!(reply.refused() && reply.head().ends_with("A: b"));
        assert!(Reply::new(b"", true).refused());
        assert!(!Reply::new(b"", false).refused(), "no response is no refusal");
        assert!(!Reply::new(b"HTTP/1.1 200 OK\r\n\r\n", true).refused());
    }
}
