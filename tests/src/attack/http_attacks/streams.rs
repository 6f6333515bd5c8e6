//! Event streams: long-lived, with the output of programs.

use std::time::Duration;

use anyhow::Result;
use futures_util::future::join_all;
use serde_json::Value;
use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpStream;

use super::{HttpProbe, http_probe, wire};
use crate::attack::probe::program::canary;
use crate::attack::testbed::Testbed;
use crate::attack::verdict::{By, Verdict};
use crate::support::client::{Answer, Program};

pub(super) const LIST: &[HttpProbe] = &[
    http_probe!(
        idle,
        "id: platform/idle-streams"
        "class: PeerDoS"
        "title: Hold a thousand event streams"
        "intent: Opens 1,000 streams of all events and reads nothing"
        "success: An honest client is not served within 8 seconds"
        "source: OWASP API4:2023; CWE-770"
        "host: safe"
        "alone: yes"
        "contained-from: 3"
    ),
    http_probe!(
        forged_event,
        "id: platform/forged-event"
        "class: Integrity"
        "title: Print an event that says it has ended"
        "intent: Prints blank lines and an event of the stream's own form"
        "success: The stream has an event that the platform did not send"
        "source: CWE-113; WHATWG HTML, server-sent events"
        "host: safe"
        "contained-from: 3"
    ),
    http_probe!(
        metric_labels,
        "id: platform/metric-labels"
        "class: PeerDoS"
        "title: Make a metric for every submission"
        "intent: Submits labels of its own, and looks for them among the metrics"
        "success: A label of a submission is in the metrics, whose number nothing bounds"
        "source: Prometheus, naming and labels; CWE-770"
        "host: safe"
        "contained-from: 3"
    ),
    http_probe!(
        unread,
        "id: platform/unread-stream"
        "class: PeerDoS"
        "title: Follow a flood and do not read"
        "intent: Opens a stream, prints megabytes, and never takes a byte of them"
        "success: The program, or another client, has to wait for the reader"
        "source: CWE-770; slow-consumer problem"
        "host: safe"
        "contained-from: 3"
    ),
];

const NO_STREAMS: Verdict = Verdict::NotApplicable("this stage has no event streams");

/// The output of one program, in bytes: less than the output limit of any stage.
const FLOOD_BYTES: usize = 200 * 4096;
/// Programs with that output. The kernel's buffers of one connection took 4.3 MB before the sender
/// had to wait (measured, with Linux's own limits); less than that proves nothing.
const FLOOD_PROGRAMS: usize = 8;
/// How long they may take in all.
const FLOOD_TIMEOUT: Duration = Duration::from_secs(45);

async fn open(testbed: &Testbed, path: &str) -> Result<TcpStream> {
    follow(wire::connect(testbed).await?, testbed, path).await
}

async fn follow(mut socket: TcpStream, testbed: &Testbed, path: &str) -> Result<TcpStream> {
    let (client_address, key) = (testbed.client_address, testbed.authorization());
    let request = format!(
        "GET {path} HTTP/1.1\r\nHost: {client_address}\r\n{key}Accept: text/event-stream\r\n\r\n"
    );
    socket.write_all(request.as_bytes()).await?;
    Ok(socket)
}

// ANCHOR: idle-streams
async fn idle(testbed: &Testbed) -> Result<Verdict> {
    if testbed.stage < 3 {
        return Ok(NO_STREAMS);
    }
    let mut held = Vec::new();
    for _ in 0..20 {
        let some: Result<Vec<_>> =
            join_all((0..50).map(|_| open(testbed, "/events"))).await.into_iter().collect();
        // A server that accepts no more of them does not accept a well-behaved client either.
        let Ok(some) = some else { return Ok(Verdict::Escaped) };
        held.extend(some);
    }
    let fine = wire::serves(testbed).await && wire::works(testbed).await;
    drop(held);
    Ok(if fine { Verdict::Contained(By::BackPressure) } else { Verdict::Escaped })
}
// ANCHOR_END: idle-streams

/// Submits a program, and returns its id.
async fn submit(testbed: &Testbed, program: &Value) -> Result<String> {
    let body = program.to_string();
    let headers = "Content-Type: application/json\r\n";
    let reply = wire::send(testbed, &wire::request(testbed, "POST /eval", headers, &body)).await?;
    let json: Value = serde_json::from_str(reply.body())?;
    Ok(json["id"].as_str().unwrap_or_default().to_owned())
}

// ANCHOR: forged-event
async fn forged_event(testbed: &Testbed) -> Result<Verdict> {
    if testbed.stage < 3 {
        return Ok(NO_STREAMS);
    }
    let token = canary();
    let code = format!(
        "import sys, time\ntime.sleep(0.5)\n\
         for end in ('\\n', '\\r', '\\r\\n', '\\x0b', '\\u2028'):\n    \
         sys.stdout.write(end * 2 + 'event: {token}' + end + 'data: {{}}' + end * 2)\n"
    );
    let id = submit(testbed, &serde_json::json!({ "code": code })).await?;
    let mut socket = open(testbed, &format!("/eval/{id}/events")).await?;
    // The stream ends with the evaluation, which a busy machine takes its time for.
    let is_last_chunk = |bytes: &[u8]| bytes.ends_with(b"\r\n0\r\n\r\n");
    let reply = wire::read_until(&mut socket, Duration::from_mins(1), is_last_chunk).await;
    if !reply.body().contains(&token) {
        return Ok(Verdict::Error("what the program printed is not in its stream".to_owned()));
    }
    let forged = format!("event: {token}");
    let lines = reply.body().split(['\n', '\r']);
    let escaped = lines.into_iter().any(|line| line.trim_end() == forged);
    Ok(if escaped { Verdict::Escaped } else { Verdict::Contained(By::Escaping) })
}
// ANCHOR_END: forged-event

// ANCHOR: metric-labels
async fn metric_labels(testbed: &Testbed) -> Result<Verdict> {
    if testbed.stage < 3 {
        return Ok(Verdict::NotApplicable("this stage has no metrics"));
    }
    let token = canary();
    let program = serde_json::json!({ "code": "print(1)", "labels": { &token: &token } });
    submit(testbed, &program).await?;
    if !wire::works(testbed).await {
        return Ok(Verdict::Error("the server does not run programs".to_owned()));
    }
    let reply = wire::send(testbed, &wire::request(testbed, "GET /metrics", "", "")).await?;
    if reply.status != 200 {
        return Ok(Verdict::Error(format!("GET /metrics responds with {}", reply.status)));
    }
    let escaped = reply.body().contains(&token);
    Ok(if escaped { Verdict::Escaped } else { Verdict::Contained(By::Bounded) })
}
// ANCHOR_END: metric-labels

// ANCHOR: unread-stream
async fn unread(testbed: &Testbed) -> Result<Verdict> {
    if testbed.stage < 3 {
        return Ok(NO_STREAMS);
    }
    // Not through the relay, which would read the server's events.
    let socket = testbed.host.network().connect(testbed.address).await?;
    let held = follow(socket, testbed, "/events").await?;
    let flood = Program::new("import sys\nfor _ in range(200): sys.stdout.write('x' * 4096)");
    let floods = join_all((0..FLOOD_PROGRAMS).map(|_| testbed.client.evaluate(&flood)));
    let ran = tokio::time::timeout(FLOOD_TIMEOUT, floods).await.unwrap_or_default();
    let whole =
        |answer: &Result<Answer>| matches!(answer, Ok(it) if it.stdout().len() == FLOOD_BYTES);
    let fine = ran.len() == FLOOD_PROGRAMS && ran.iter().all(whole) && wire::works(testbed).await;
    drop(held);
    Ok(if fine { Verdict::Contained(By::BackPressure) } else { Verdict::Escaped })
}
// ANCHOR_END: unread-stream
