//! The hostile clients: raw connections that do what no library does.

use std::net::SocketAddr;
use std::time::Duration;

use anyhow::{Context as _, Result};
use futures_util::StreamExt as _;
use futures_util::stream;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpSocket, TcpStream};
use tokio::task::JoinHandle;
use tokio::time::timeout;

/// Descriptors for all crowds together.
const DESCRIPTORS: u64 = 8192;
/// How long one connection may take to be opened.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(2);
/// Connections that are opened at the same time.
const CONCURRENCY: usize = 64;
/// The receive buffer of a client that does not read, in bytes.
const TINY_BUFFER_BYTES: u32 = 2048;
/// The body of which a byte is kept.
const BODY_BYTES: usize = 2 << 20;

/// How many hostile clients of each kind.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Crowd {
    pub(super) unread: usize,
    pub(super) held: usize,
    pub(super) lists: usize,
    pub(super) streams: usize,
}

/// Something that is held until it is dropped.
pub(super) enum Hostile {
    /// A connection that does nothing any more.
    Connection { _socket: TcpStream },
    /// A task that goes on.
    Task(JoinHandle<()>),
}

impl Drop for Hostile {
    fn drop(&mut self) {
        if let Self::Task(task) = self {
            task.abort();
        }
    }
}

/// Allows this process as many descriptors as the crowds need.
pub(super) fn raise_descriptors() -> Result<()> {
    let limit = getrlimit(Resource::Nofile);
    let current = limit.maximum.unwrap_or(DESCRIPTORS).min(DESCRIPTORS);
    let raised = Rlimit { current: Some(current), ..limit };
    setrlimit(Resource::Nofile, raised).context("too few file descriptors for the crowds")
}

/// Opens all the connections of a crowd. Those that the server refuses are not counted.
pub(super) async fn hold(address: &str, crowd: Crowd) -> Vec<Hostile> {
    let Ok(address) = address.parse::<SocketAddr>() else { return Vec::new() };
    let unread = (0..crowd.unread).map(|_| Kind::Unread);
    let held = (0..crowd.held).map(|_| Kind::Held);
    let lists = (0..crowd.lists).map(|_| Kind::List);
    let streams = (0..crowd.streams).map(|_| Kind::Events);
    let all = lists.chain(held).chain(streams).chain(unread);
    let opened = stream::iter(all)
        .map(|kind| async move { timeout(CONNECT_TIMEOUT, open(address, kind)).await.ok()?.ok() });
    opened.buffer_unordered(CONCURRENCY).filter_map(std::future::ready).collect().await
}

#[derive(Debug, Clone, Copy)]
enum Kind {
    Unread,
    Held,
    List,
    Events,
}

async fn open(address: SocketAddr, kind: Kind) -> std::io::Result<Hostile> {
    let socket = TcpSocket::new_v4()?;
    if matches!(kind, Kind::Unread) {
        socket.set_recv_buffer_size(TINY_BUFFER_BYTES)?;
    }
    let mut socket = socket.connect(address).await?;
    let head = match kind {
        Kind::Unread | Kind::List => "GET /eval?limit=100".to_owned(),
        Kind::Events => "GET /events".to_owned(),
        Kind::Held => "POST /eval".to_owned(),
    };
    let length = if matches!(kind, Kind::Held) { BODY_BYTES } else { 0 };
    let head = format!(
        "{head} HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n\
         Content-Length: {length}\r\n\r\n"
    );
    socket.write_all(head.as_bytes()).await?;
    match kind {
        Kind::Unread => Ok(Hostile::Connection { _socket: socket }),
        Kind::Held => {
            // It may be refused in the middle; then it holds nothing.
            let sending = async move {
                socket.write_all(&vec![b' '; BODY_BYTES - 1]).await.ok(); // see above
                std::future::pending::<()>().await;
            };
            Ok(Hostile::Task(tokio::spawn(sending)))
        }
        Kind::List => Ok(Hostile::Task(tokio::spawn(list_again(socket, head)))),
        Kind::Events => Ok(Hostile::Task(tokio::spawn(drain(socket)))),
    }
}

/// Reads a list to its end and requests it again, without a pause.
async fn list_again(mut socket: TcpStream, head: String) {
    let mut buffer = vec![0; 256 << 10];
    loop {
        // The list is far longer than a header, so that a short read after a while is its end.
        while let Ok(read) = timeout(Duration::from_millis(200), socket.read(&mut buffer)).await {
            if !read.is_ok_and(|read| read > 0) {
                return;
            }
        }
        if socket.write_all(head.as_bytes()).await.is_err() {
            return;
        }
    }
}

async fn drain(mut socket: TcpStream) {
    let mut buffer = vec![0; 64 << 10];
    while socket.read(&mut buffer).await.is_ok_and(|read| read > 0) {}
}

/// The status of one honest request, on a connection of its own.
pub(super) async fn get(url: &str) -> reqwest::Result<u16> {
    let client = reqwest::Client::builder().no_proxy().pool_max_idle_per_host(0);
    let response = client.timeout(Duration::from_secs(10)).build()?.get(url).send().await?;
    let status = response.status().as_u16();
    response.bytes().await?;
    Ok(status)
}
