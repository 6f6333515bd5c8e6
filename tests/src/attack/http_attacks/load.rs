//! More work than the server has capacity for.

use std::time::Duration;

use anyhow::Result;
use futures_util::StreamExt as _;
use reqwest::{Method, StatusCode};
use tokio::io::AsyncWriteExt as _;
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

use super::{HttpProbe, http_probe, wire};
use crate::attack::testbed::Testbed;
use crate::attack::verdict::{By, Verdict};
use crate::support::client::Program;

pub(super) const LIST: &[HttpProbe] = &[
    http_probe!(
        flood,
        "id: platform/queue-flood"
        "class: PeerDoS"
        "title: Submit 400 slow programs at once"
        "intent: Fills the queue with programs that sleep"
        "success: An honest client gets no answer within 8 seconds"
        "source: OWASP API4:2023; CWE-770"
        "host: safe"
        "alone: yes"
        "contained-from: 2"
    ),
    http_probe!(
        one_slow,
        "id: platform/head-of-line"
        "class: PeerDoS"
        "title: Make everybody wait for one program"
        "intent: Submits one program that sleeps for 12 seconds"
        "success: Another client's program does not run within 8 seconds"
        "source: OWASP API4:2023"
        "host: safe"
        "alone: yes"
        "contained-from: 2"
    ),
    http_probe!(
        huge_output,
        "id: platform/huge-output"
        "class: PeerDoS"
        "title: Print 40 MiB"
        "intent: Prints 40 MiB, which somebody has to keep and to deliver"
        "success: The answer is larger than 16 MiB"
        "source: Piston, runaway_output; Inspect, output limits"
        "host: safe"
        "contained-from: 2"
    ),
    http_probe!(
        reader_gone,
        "id: platform/reader-gone"
        "class: PeerDoS"
        "title: Ask for work and do not wait for it"
        "intent: Submits programs and cuts each connection while the server still works"
        "success: The server stays busy with work that nobody waits for"
        "source: CWE-404; OWASP API4:2023"
        "host: safe"
        "alone: yes"
        "contained-from: 2"
    ),
];

/// Submissions in a flood: four times the capacity of the queue.
const FLOOD_SUBMISSIONS: usize = 400;

fn served(yes: bool) -> Verdict {
    if yes { Verdict::Contained(By::BackPressure) } else { Verdict::Escaped }
}

// ANCHOR: queue-flood
async fn flood(testbed: &Testbed) -> Result<Verdict> {
    let program = Program::new("import time\ntime.sleep(8)");
    let mut requests = JoinSet::new();
    for _ in 0..FLOOD_SUBMISSIONS {
        // Whether it was accepted, the location is there to cancel it.
        let request = testbed.client.request(Method::POST, "/eval").json(&program).send();
        requests.spawn(async move {
            let response = request.await.ok()?;
            response.headers().get("location")?.to_str().ok().map(str::to_owned)
        });
    }
    sleep(Duration::from_secs(1)).await;
    let verdict = served(wire::serves(testbed).await);
    if testbed.stage == 1 {
        // Stage 1 runs them one after the other. Programs of disconnected clients are killed.
        requests.shutdown().await;
        return Ok(verdict);
    }
    let mut accepted = Vec::new();
    while let Some(location) = requests.join_next().await {
        accepted.extend(location.ok().flatten());
    }
    futures_util::stream::iter(accepted)
        .for_each_concurrent(20, |location| async move {
            // One that has ended already needs no cancelling.
            testbed.client.request(Method::DELETE, &location).send().await.ok();
        })
        .await;
    Ok(if wire::works(testbed).await { verdict } else { Verdict::Escaped })
}
// ANCHOR_END: queue-flood

// ANCHOR: head-of-line
async fn one_slow(testbed: &Testbed) -> Result<Verdict> {
    let slow = testbed.client.clone();
    let slow =
        tokio::spawn(
            async move { slow.evaluate(&Program::new("import time\ntime.sleep(12)")).await },
        );
    sleep(Duration::from_millis(500)).await;
    let quick = timeout(Duration::from_secs(8), wire::works(testbed)).await;
    let verdict = served(matches!(quick, Ok(true)));
    slow.await??;
    Ok(verdict)
}
// ANCHOR_END: head-of-line

// ANCHOR: huge-output
async fn huge_output(testbed: &Testbed) -> Result<Verdict> {
    let program = Program::new("import sys\nfor _ in range(640): sys.stdout.write('x' * 65536)");
    let body = serde_json::to_string(&program)?;
    let reply = wire::post(testbed, &body).await?;
    if reply.status != 200 {
        return Ok(Verdict::Error(format!(
            "responded with {} to a program that prints",
            reply.status
        )));
    }
    let large = reply.text.len() > 16 << 20;
    Ok(if large { Verdict::Escaped } else { Verdict::Contained(By::OutputCap) })
}
// ANCHOR_END: huge-output

// ANCHOR: reader-gone
async fn reader_gone(testbed: &Testbed) -> Result<Verdict> {
    let json = r#"{"code": "import time\ntime.sleep(4)"}"#;
    let headers = "Content-Type: application/json\r\nPrefer: wait=60\r\n";
    let request = wire::request(testbed, "POST /eval", headers, json);
    for _ in 0..12 {
        let mut socket = wire::connect(testbed).await?;
        socket.write_all(&request).await?;
        sleep(Duration::from_millis(30)).await;
    }
    let worked = timeout(Duration::from_secs(25), wire::works(testbed)).await;
    if testbed.stage == 1 {
        return Ok(served(matches!(worked, Ok(true))));
    }
    // The queue may run them all, because their results can be fetched later; but it must become
    // empty.
    let response = testbed.client.request(Method::GET, "/queue").send().await?;
    let fine = matches!(worked, Ok(true)) && response.status() == StatusCode::OK;
    Ok(served(fine))
}
// ANCHOR_END: reader-gone
