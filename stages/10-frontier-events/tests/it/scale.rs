//! What a thousand readers cost. `figures` has what is measured in a release build.

use std::net::SocketAddr;

use futures_util::{StreamExt as _, stream};
use serde_json::Value;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpSocket, TcpStream};
use tokio::task::JoinSet;
use tokio::time::timeout;

use crate::fleet::site::EVENT_TIMEOUT;
use crate::stage;

/// Readers of events, and what each may cost.
const READERS: u32 = 1_000;
const MAX_READER_KIB: u64 = 100;
/// One address may have 128 streams.
const READERS_PER_ADDRESS: u32 = 100;

fn rss_kib(pid: u32) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
    line.trim().trim_end_matches(" kB").parse().unwrap()
}

/// A reader of all events from now on, that has its place.
async fn reader(server: SocketAddr, number: u32) -> TcpStream {
    let own = format!("127.0.1.{}:0", 1 + number / READERS_PER_ADDRESS);
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind(own.parse().unwrap()).unwrap();
    let mut connected = socket.connect(server).await.unwrap();
    let request = format!("GET /events HTTP/1.1\r\nHost: {server}\r\n\r\n");
    connected.write_all(request.as_bytes()).await.unwrap();
    until(&mut connected, &["text/event-stream"]).await;
    connected
}

/// Reads until these texts have come, one after the other.
async fn until(stream: &mut TcpStream, texts: &[&str]) {
    let (mut read, mut buffer) = (Vec::new(), [0; 4096]);
    let reading = async {
        let has_come = |read: &[u8]| {
            let read = String::from_utf8_lossy(read);
            let mut left = Some(&*read);
            for text in texts {
                left = left.and_then(|left| left.split_once(text)).map(|(_, rest)| rest);
            }
            left.is_some()
        };
        while !has_come(&read) {
            let count = stream.read(&mut buffer).await.unwrap();
            assert!(count > 0, "{}", String::from_utf8_lossy(&read));
            read.extend_from_slice(&buffer[..count]);
        }
    };
    timeout(EVENT_TIMEOUT, reading).await.unwrap_or_else(|_| panic!("no {texts:?}"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_thousand_readers_of_events_cost_little_and_get_each_event() {
    let directory = tempfile::tempdir().unwrap();
    let server = stage::on(directory.path()).args(["--event-streams", "1000"]).start();
    let (client, address) = (server.client(), server.address().parse().unwrap());
    client.run("print('warm')").await;
    let before = rss_kib(server.pid());
    let connecting = (0..READERS).map(|number| reader(address, number));
    let readers: Vec<_> = stream::iter(connecting).buffer_unordered(16).collect().await;
    client.submit_code("print('to all')").await;
    let mut reading = JoinSet::new();
    for mut stream in readers {
        reading.spawn(async move {
            until(&mut stream, &["to all", "evaluation.completed"]).await;
            stream
        });
    }
    let readers = reading.join_all().await;
    let each = rss_kib(server.pid()).saturating_sub(before) / u64::from(READERS);
    println!("{each} KiB for each of {READERS} readers");
    assert!(each <= MAX_READER_KIB, "{each} KiB");
    // One more is refused, and those that have a place keep it.
    let refused = client.get("/events").await;
    assert_eq!(refused.status, 503, "{refused:?}");
    let status: Value = client.get("/status").await.json();
    assert_eq!(status["ready"], true, "{status}");
    drop(readers);
}
