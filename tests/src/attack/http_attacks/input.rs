//! Requests that no well-behaved client sends: too large, too deep, or ambiguous.

use anyhow::Result;
use tokio::io::AsyncWriteExt as _;

use super::wire::Reply;
use super::{HttpProbe, http_probe, wire};
use crate::attack::testbed::Testbed;
use crate::attack::verdict::{By, Verdict};

pub(super) const LIST: &[HttpProbe] = &[
    http_probe!(
        huge_body,
        "id: platform/huge-body"
        "class: PeerDoS"
        "title: Send a body of 48 MiB"
        "intent: Announces and sends a program of 48 MiB"
        "success: The server reads all of it"
        "source: CWE-770; OWASP API4:2023"
        "host: safe"
        "contained-from: 2"
    ),
    http_probe!(
        endless_body,
        "id: platform/endless-body"
        "class: PeerDoS"
        "title: Send a body that has no announced end"
        "intent: Sends 48 MiB in chunks, so that no header says how much it will be"
        "success: The server reads all of it"
        "source: CWE-770; RFC 9112, 7.1"
        "host: safe"
        "contained-from: 2"
    ),
    http_probe!(
        deep_json,
        "id: platform/deep-json"
        "class: HostDoS"
        "title: Send JSON that is nested 100,000 deep"
        "intent: Makes a recursive parser use up its stack"
        "success: The server does not refuse it, or is down"
        "source: CWE-674; CVE-2020-10735 in kind"
        "host: safe"
        "contained-from: 2"
    ),
    http_probe!(
        ambiguous_json,
        "id: platform/ambiguous-json"
        "class: Integrity"
        "title: Send JSON that means two things"
        "intent: Gives the code twice, numbers that are none, and half of a surrogate pair"
        "success: The server takes one of them"
        "source: CWE-436; RFC 8259, 4 and 8.2"
        "host: safe"
        "contained-from: 2"
    ),
    http_probe!(
        smuggling,
        "id: platform/request-smuggling"
        "class: Integrity"
        "title: Send a request inside a request"
        "intent: Gives two lengths, or a length and chunks, and hides a second request behind"
        "success: The server answers the hidden request"
        "source: CWE-444; RFC 9112, 6.3"
        "host: safe"
        "contained-from: 1"
    ),
    http_probe!(
        error_pages,
        "id: platform/telling-errors"
        "class: HostLeak"
        "title: Make the server tell of itself"
        "intent: Sends a dozen kinds of nonsense and reads the errors"
        "success: An error names a source file, a backtrace or a path of the host"
        "source: CWE-209; OWASP Error Handling Cheat Sheet"
        "host: safe"
        "contained-from: 1"
    ),
];

/// More than any real program, and far more than the server's limit of 2 MiB.
const HUGE_BODY_BYTES: usize = 48 << 20;

fn refused(all: bool) -> Verdict {
    if all { Verdict::Contained(By::Validation) } else { Verdict::Escaped }
}

/// Sends `head`, and then pieces of `piece` until there are [`HUGE_BODY_BYTES`] bytes or the server
/// stops reading.
async fn send_body(testbed: &Testbed, head: &str, piece: &[u8], end: &[u8]) -> Result<Verdict> {
    let socket = wire::connect(testbed).await?;
    let (mut reading, mut writing) = socket.into_split();
    let pouring = async {
        writing.write_all(head.as_bytes()).await?;
        for _ in 0..HUGE_BODY_BYTES / piece.len() {
            writing.write_all(piece).await?;
        }
        writing.write_all(end).await
    };
    let answered = async {
        use tokio::io::AsyncReadExt as _;
        let mut answer = [0; 64];
        let length = reading.read(&mut answer).await.unwrap_or(0);
        answer[..length].starts_with(b"HTTP/1.1 4") || length == 0
    };
    tokio::pin!(answered);
    Ok(tokio::select! {
        // The server closed the connection before the end: it counts.
        refusal = &mut answered => refused(refusal),
        poured = pouring => match poured {
            Ok(()) => Verdict::Escaped,
            Err(_) => Verdict::Contained(By::Validation),
        },
    })
}

// ANCHOR: huge-body
async fn huge_body(testbed: &Testbed) -> Result<Verdict> {
    let head = format!(
        "POST /eval HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n\
         Content-Length: {}\r\n\r\n{{\"code\": \"",
        HUGE_BODY_BYTES + 12
    );
    send_body(testbed, &head, &vec![b'#'; 64 << 10], b"\"}").await
}
// ANCHOR_END: huge-body

// ANCHOR: endless-body
async fn endless_body(testbed: &Testbed) -> Result<Verdict> {
    let head = "POST /eval HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n\
                Transfer-Encoding: chunked\r\n\r\na\r\n{\"code\": \"\r\n";
    let mut piece = b"10000\r\n".to_vec();
    piece.extend(vec![b'#'; 64 << 10]);
    piece.extend(b"\r\n");
    send_body(testbed, head, &piece, b"2\r\n\"}\r\n0\r\n\r\n").await
}
// ANCHOR_END: endless-body

// ANCHOR: deep-json
async fn deep_json(testbed: &Testbed) -> Result<Verdict> {
    let deep = format!("{{\"code\": {}1{}}}", "[".repeat(100_000), "]".repeat(100_000));
    let reply = wire::post(testbed, &deep).await?;
    Ok(refused(reply.refused() && wire::works(testbed).await))
}
// ANCHOR_END: deep-json

/// Escaped when one of `bodies` is accepted, or the server stops working.
pub(super) async fn all_refused(testbed: &Testbed, bodies: &[String]) -> Result<Verdict> {
    for body in bodies {
        if !wire::post(testbed, body).await?.refused() {
            return Ok(Verdict::Escaped);
        }
    }
    Ok(refused(wire::works(testbed).await))
}

// ANCHOR: ambiguous-json
async fn ambiguous_json(testbed: &Testbed) -> Result<Verdict> {
    let bodies = [
        r#"{"code": "print(1)", "code": "print(2)"}"#,
        r#"{"code": "print('\ud800')"}"#,
        r#"{"code": "print(1)"} {"code": "print(2)"}"#,
        r#"{"code": "print(1)", "timeout_seconds": NaN}"#,
        r#"{"code": "print(1)", "timeout_seconds": 1e400}"#,
    ];
    all_refused(testbed, &bodies.map(str::to_owned)).await
}
// ANCHOR_END: ambiguous-json

// ANCHOR: request-smuggling
async fn smuggling(testbed: &Testbed) -> Result<Verdict> {
    let hidden = "GET /hidden-request HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";
    let head = "POST /eval HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n";
    let length = hidden.len() + 5;
    for request in [
        format!(
            "{head}Content-Length: {length}\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n{hidden}"
        ),
        format!("{head}Content-Length: 0\r\nContent-Length: {length}\r\n\r\n{hidden}"),
        format!("{head}Transfer-Encoding: xchunked\r\nContent-Length: 0\r\n\r\n{hidden}"),
        format!("{head}Content-Length: +0\r\n\r\n{hidden}"),
    ] {
        let reply = wire::send(testbed, request.as_bytes()).await?;
        if answered_both(&reply) {
            return Ok(Verdict::Escaped);
        }
    }
    Ok(Verdict::Contained(By::Validation))
}
// ANCHOR_END: request-smuggling

/// Two responses where an intermediary would have seen one request.
fn answered_both(reply: &Reply) -> bool {
    reply.text.matches("HTTP/1.1 ").count() > 1
}

// ANCHOR: telling-errors
async fn error_pages(testbed: &Testbed) -> Result<Verdict> {
    const DISCLOSING: [&str; 9] = [
        "/root/",
        "/home/",
        "/usr/src",
        "src/",
        ".rs:",
        "panicked",
        "RUST_BACKTRACE",
        "stack backtrace",
        "/tmp/",
    ];
    let json = "Content-Type: application/json\r\n";
    for request in [
        wire::request(testbed, "POST /eval", json, "{"),
        wire::request(testbed, "POST /eval", json, "\u{feff}[]"),
        wire::request(testbed, "POST /eval", json, r#"{"code": 7}"#),
        wire::request(testbed, "POST /eval", json, r#"{"code": "print(1)", "files": 7}"#),
        wire::request(testbed, "POST /eval", "Content-Type: text/plain\r\n", "x"),
        wire::request(testbed, "PATCH /eval", json, "{}"),
        wire::request(testbed, "DELETE /eval/x", "", ""),
        wire::request(testbed, "GET /eval?limit=x&limit=y&status=%ff", "", ""),
        wire::request(testbed, "GET /eval/x/events", "Last-Event-ID: x\r\n", ""),
        b"GET / HTTP/9.9\r\n\r\n".to_vec(),
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03".to_vec(),
    ] {
        let reply = wire::send(testbed, &request).await?;
        if DISCLOSING.iter().any(|word| reply.text.contains(word)) {
            return Ok(Verdict::Escaped);
        }
    }
    Ok(refused(wire::works(testbed).await))
}
// ANCHOR_END: telling-errors
