//! Slow clients, each of which occupies a connection.

use std::time::Duration;

use anyhow::Result;
use futures_util::future::join_all;
use tokio::io::AsyncWriteExt as _;
use tokio::time::sleep;

use super::{HttpProbe, http_probe, wire};
use crate::attack::testbed::Testbed;
use crate::attack::verdict::{By, Verdict};

pub(super) const LIST: &[HttpProbe] = &[
    http_probe!(
        headers,
        "id: platform/slow-headers"
        "class: PeerDoS"
        "title: Send headers one byte at a time"
        "intent: Begins a request and never ends its header, with a byte now and then"
        "success: The server keeps the connection for longer than 20 seconds"
        "source: Slowloris (CVE-2007-6750); OWASP API4:2023"
        "host: safe"
        "contained-from: 2"
    ),
    http_probe!(
        body,
        "id: platform/slow-body"
        "class: PeerDoS"
        "title: Announce a body and never finish it"
        "intent: Sends half of the body that the header announces, then a byte now and then"
        "success: The server keeps the connection for longer than 20 seconds"
        "source: R-U-Dead-Yet; OWASP API4:2023"
        "host: safe"
        "contained-from: 2"
    ),
    http_probe!(
        silent,
        "id: platform/silent-connections"
        "class: PeerDoS"
        "title: Hold a thousand silent connections"
        "intent: Opens 1,000 connections and says nothing"
        "success: An honest client is not served within 8 seconds"
        "source: OWASP API4:2023"
        "host: safe"
        "alone: yes"
        "contained-from: 2"
    ),
    http_probe!(
        half_closed,
        "id: platform/half-closed"
        "class: PeerDoS"
        "title: Leave in the middle of a request"
        "intent: Sends half a request and closes its side, a hundred times"
        "success: An honest client is not served within 8 seconds"
        "source: CWE-404; OWASP API4:2023"
        "host: safe"
        "contained-from: 2"
    ),
];

/// How long a connection may stay open. The server's own deadline is 10 seconds.
const MAX_CONNECTION_AGE: Duration = Duration::from_secs(20);

/// Sends `begin`, and then one byte each second, until the server closes the connection.
async fn drip(testbed: &Testbed, begin: &[u8]) -> Result<Verdict> {
    let mut socket = wire::connect(testbed).await?;
    socket.write_all(begin).await?;
    let (mut reading, mut writing) = socket.into_split();
    let dripping = async {
        loop {
            sleep(Duration::from_secs(1)).await;
            if writing.write_all(b"x").await.is_err() {
                return;
            }
        }
    };
    let closed = async {
        use tokio::io::AsyncReadExt as _;
        let mut answer = [0; 512];
        // An error response is as good as a closed connection.
        drop(reading.read(&mut answer).await);
    };
    tokio::select! {
        () = dripping => Ok(Verdict::Contained(By::Deadline)),
        () = closed => Ok(Verdict::Contained(By::Deadline)),
        () = sleep(MAX_CONNECTION_AGE) => Ok(Verdict::Escaped),
    }
}

// ANCHOR: slow-headers
async fn headers(testbed: &Testbed) -> Result<Verdict> {
    drip(testbed, b"GET / HTTP/1.1\r\nHost: localhost\r\nX-Slow: ").await
}
// ANCHOR_END: slow-headers

// ANCHOR: slow-body
async fn body(testbed: &Testbed) -> Result<Verdict> {
    let begin = "POST /eval HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n\
                 Content-Length: 5000\r\n\r\n{\"code\": \"";
    drip(testbed, begin.as_bytes()).await
}
// ANCHOR_END: slow-body

// ANCHOR: silent-connections
async fn silent(testbed: &Testbed) -> Result<Verdict> {
    let mut held = Vec::new();
    for _ in 0..20 {
        let some: Result<Vec<_>> =
            join_all((0..50).map(|_| wire::connect(testbed))).await.into_iter().collect();
        // A server that accepts no more of them does not accept a well-behaved client either.
        let Ok(some) = some else { return Ok(Verdict::Escaped) };
        held.extend(some);
    }
    let served = wire::serves(testbed).await;
    drop(held);
    Ok(if served { Verdict::Contained(By::BackPressure) } else { Verdict::Escaped })
}
// ANCHOR_END: silent-connections

// ANCHOR: half-closed
async fn half_closed(testbed: &Testbed) -> Result<Verdict> {
    for _ in 0..100 {
        let mut socket = wire::connect(testbed).await?;
        socket.write_all(b"POST /eval HTTP/1.1\r\nHost: localhost\r\nContent-Le").await?;
        socket.shutdown().await?;
    }
    let served = wire::serves(testbed).await && wire::works(testbed).await;
    Ok(if served { Verdict::Contained(By::Validation) } else { Verdict::Escaped })
}
// ANCHOR_END: half-closed
