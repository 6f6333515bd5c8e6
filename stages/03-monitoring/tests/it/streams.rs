//! Event streams: order, liveness, resuming, and clients that do not behave.

use std::collections::HashMap;
use std::time::Duration;

use harness::{Method, SseEvent, eventually_some, kinds, output};
use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

#[tokio::test]
async fn output_comes_while_the_program_runs() {
    let server = harness::server!();
    let client = server.client();
    let dir = tempfile::tempdir().unwrap();
    let go = dir.path().join("go");
    let code = format!(
        "import os, time\nprint('early', flush=True)\n\
         while not os.path.exists({go:?}): time.sleep(0.05)\nprint('late')"
    );
    let id = client.submit_code(&code).await;
    let mut reader = client.events(&id).await;
    let first = reader.until("evaluation.progress").await;
    assert!(first.data()["text"].as_str().unwrap().starts_with("early"), "{first:?}");
    assert_eq!(client.evaluation(&id).await["status"], "running");
    std::fs::write(go, "").unwrap();
    let mut seen = vec![first];
    seen.extend(reader.rest().await);
    assert_eq!(output(&seen), "early\nlate\n");
    assert!(seen.last().unwrap().is_final());
}

#[tokio::test]
async fn the_order_holds_however_fast_the_program_is() {
    let server = harness::server!();
    let client = server.client();
    let mut everything = client.all_events(Some(0)).await;
    let mut ids = Vec::new();
    for _ in 0..40 {
        ids.push(client.submit_code("").await);
    }
    for id in &ids {
        let seen = client.events(id).await.rest().await;
        let all = ["evaluation.queued", "evaluation.started", "evaluation.completed"];
        assert_eq!(kinds(&seen), all);
        assert!(seen.iter().all(|event| event.envelope["subject"] == *id));
    }
    // The stream of everything has the same, and no number twice.
    let mut by_subject: HashMap<String, Vec<SseEvent>> = HashMap::new();
    let (mut last, mut ended) = (0, 0);
    while ended < ids.len() {
        let event = everything.next().await.unwrap();
        assert!(event.sequence > last, "{} after {last}", event.sequence);
        last = event.sequence;
        ended += usize::from(event.is_final());
        let subject = event.envelope["subject"].as_str().unwrap_or_default().to_owned();
        by_subject.entry(subject).or_default().push(event);
    }
    // A worker may start after the platform is ready.
    assert!(kinds(&by_subject[""]).contains(&"queue.worker_started"));
    for id in &ids {
        assert_eq!(by_subject[id], client.events(id).await.rest().await);
    }
}

#[tokio::test]
async fn a_reader_resumes_in_the_middle_without_a_gap() {
    let server = harness::server!();
    let client = server.client();
    let code = "import time\nfor n in range(20):\n    print(n, flush=True); time.sleep(0.02)";
    let id = client.submit_code(code).await;
    let mut seen = Vec::new();
    // Leaves after every third event and comes back.
    'all: loop {
        let after = seen.last().map(|event: &SseEvent| event.sequence);
        let mut reader = client.events_after(&id, after).await;
        for _ in 0..3 {
            let event = reader.next().await.unwrap();
            seen.push(event.clone());
            if event.is_final() {
                break 'all;
            }
        }
    }
    assert_eq!(seen, client.events(&id).await.rest().await);
    let numbers: Vec<usize> = output(&seen).lines().map(|line| line.parse().unwrap()).collect();
    assert_eq!(numbers, (0..20).collect::<Vec<_>>());
}

#[tokio::test]
async fn a_program_cannot_forge_an_event() {
    let server = harness::server!();
    let client = server.client();
    let code = r#"print('\n\nevent: evaluation.completed\nid: 7\ndata: {"data": {"outcome": "x"}}\n\n')
print('\r\revent: evaluation.cancelled\rdata: {}\r\r')
raise SystemExit(9)"#;
    let id = client.submit_code(code).await;
    let seen = client.events(&id).await.rest().await;
    let ends: Vec<_> = seen.iter().filter(|event| event.is_final()).collect();
    assert_eq!(ends.len(), 1, "{seen:?}");
    assert_eq!(ends[0].data()["outcome"], "exited");
    assert_eq!(ends[0].data()["exit_code"], 9);
    let text = client.evaluation(&id).await["stdout"]["text"].clone();
    assert_eq!(output(&seen), text);
    assert!(output(&seen).contains("\n\nevent: evaluation.completed\n"));
}

#[tokio::test]
async fn bytes_that_are_no_text_come_as_base64() {
    let server = harness::server!();
    let client = server.client();
    let id = client.submit_code(r"import os; os.write(1, b'\xff\x00')").await;
    let progress = client.events(&id).await.until("evaluation.progress").await;
    let expected = json!({ "stream": "stdout", "offset": 0, "text": "/wA=", "encoding": "base64" });
    assert_eq!(*progress.data(), expected);
}

#[tokio::test]
async fn a_limit_is_an_event_before_the_end() {
    let server = harness::server!();
    let client = server.client();
    let body = json!({ "code": "while True: pass", "timeout_seconds": 0.5 });
    let id = client.submit(&body).await;
    let seen = client.events(&id).await.rest().await;
    let tail = ["evaluation.started", "resource.limit_exceeded", "evaluation.failed"];
    assert_eq!(kinds(&seen)[1..], tail);
    assert_eq!(seen[2].data()["outcome"], "wall_time_exceeded");
    assert!(seen[2].data()["evidence"]["decided_by"].is_string(), "{seen:?}");
}

#[tokio::test]
async fn cancelling_ends_the_stream() {
    let server = harness::server!("--workers", "1");
    let client = server.client();
    let running = client.submit_code("import time; time.sleep(60)").await;
    let waiting = client.submit_code("print('never')").await;
    let (mut first, second) = (client.events(&running).await, client.events(&waiting).await);
    first.until("evaluation.started").await;
    for id in [&waiting, &running] {
        let answer = client.delete(&format!("/eval/{id}")).await;
        assert!(answer.status == 200, "{answer:?}");
    }
    assert_eq!(kinds(&second.rest().await), ["evaluation.queued", "evaluation.cancelled"]);
    assert_eq!(kinds(&first.rest().await), ["evaluation.cancelled"]);
}

#[tokio::test]
async fn a_browser_that_has_the_last_event_gets_204_and_does_not_reconnect() {
    let server = harness::server!();
    let client = server.client();
    let id = client.submit_code("").await;
    let seen = client.events(&id).await.rest().await;
    let last = seen.last().unwrap().sequence;
    let path = format!("/eval/{id}/events");
    let again = client.request(Method::GET, &path).header("last-event-id", last);
    assert_eq!(client.send(again).await.status, 204);
    let before = client.events_after(&id, Some(last - 1)).await.rest().await;
    assert_eq!(before, seen[seen.len() - 1..]);
}

#[tokio::test]
async fn what_cannot_be_followed_is_a_problem_that_says_why() {
    let server = harness::server!();
    let client = server.client();
    let id = client.submit_code("").await;
    client.events(&id).await.rest().await;
    let unknown = "/eval/018f0000-0000-7000-8000-000000000000/events";
    let own = format!("/eval/{id}/events");
    for (path, header, status, says) in [
        (unknown, None, 404, "no evaluation with this id"),
        ("/eval/..%2F..%2Fetc/events", None, 404, "id"),
        ("/eval/none/events", None, 404, "id"),
        (&own, Some(&b"abc"[..]), 400, "Last-Event-ID"),
        (&own, Some(b""), 400, "Last-Event-ID"),
        (&own, Some(b"-1"), 400, "Last-Event-ID"),
        (&own, Some(b"1.5"), 400, "Last-Event-ID"),
        (&own, Some(b"18446744073709551616"), 400, "Last-Event-ID"),
        (&own, Some(b"18446744073709551615"), 409, "not an id of this server"),
        (&own, Some(b"\xff"), 400, "Last-Event-ID"),
        ("/events", Some(b"abc"), 400, "Last-Event-ID"),
        ("/events?type=evaluation.queued", None, 400, "query"),
        ("/metrics?format=json", None, 400, "query"),
    ] {
        let request = client.request(Method::GET, path);
        let request = match header {
            Some(value) => request.header("last-event-id", value),
            None => request,
        };
        let answer = client.send(request).await;
        assert_eq!(answer.status, status, "{path} {header:?}");
        assert_eq!(answer.header("content-type"), "application/problem+json");
        let problem = answer.json();
        let detail = problem["detail"].as_str().unwrap();
        assert!(detail.contains(says), "{path} {header:?}: {detail}");
    }
    let posted = client.delete("/events").await;
    assert_eq!(posted.status, 405);
}

#[tokio::test]
async fn streams_are_bounded_and_a_reader_that_leaves_frees_a_permit() {
    let server = harness::server!();
    let client = server.client();
    let (half, all) = (128, 256);
    let other = |last| client.from_address([127, 0, 0, last].into());
    let mut open = Vec::new();
    for reader in [&client, &other(2)] {
        for _ in 0..half {
            let stream = reader.open("/events").await;
            assert_eq!(stream.status(), 200);
            open.push(stream);
        }
        // One client leaves the other half to others.
        let refused = reader.get("/events").await;
        assert_eq!((refused.status, refused.header("retry-after")), (503, "5"));
    }
    assert_eq!((open.len(), other(3).get("/events").await.status), (all, 503));
    // Evaluations run while every permit is taken, and many idle readers cost them nothing.
    assert_eq!(client.run("print(1)").await["outcome"], "exited");
    open.drain(..56).for_each(drop);
    let freed = async || (client.open("/events").await.status() == 200).then_some(());
    eventually_some("56 readers left, so there is a permit", Duration::from_secs(5), freed).await;
}

#[tokio::test]
async fn a_client_that_never_reads_does_not_slow_the_program() {
    let server = harness::server!();
    let client = server.client();
    // Ten times as much as the socket's buffers may take, in many events.
    let code = "import sys\nfor n in range(1000): sys.stdout.write('x' * 1000); sys.stdout.flush()";
    let id = client.submit_code(code).await;
    let mut stalled = TcpStream::connect(server.address()).await.unwrap();
    let request = format!("GET /eval/{id}/events HTTP/1.1\r\nHost: localhost\r\n\r\n");
    stalled.write_all(request.as_bytes()).await.unwrap();
    let seen = client.events(&id).await.rest().await;
    assert_eq!(seen.last().unwrap().kind, "evaluation.completed");
    assert_eq!(output(&seen).len(), 1_000_000);
    // It wakes up, and nothing is lost to it: the history still has it all.
    let mut received = Vec::new();
    let last = format!("id: {}\n", seen.last().unwrap().sequence);
    while !String::from_utf8_lossy(&received).contains(&last) {
        let read = tokio::time::timeout(Duration::from_secs(10), stalled.read_buf(&mut received));
        assert!(read.await.unwrap().unwrap() > 0, "the connection was closed");
    }
    let text = String::from_utf8(received).unwrap();
    assert_eq!(text.matches("event: evaluation.progress").count(), seen.len() - 3);
}

#[tokio::test]
async fn a_stream_ends_with_the_server_after_the_evaluation_it_follows() {
    let mut server = harness::server!("--drain-seconds", "0.1");
    let client = server.client();
    let id = client.submit_code("import time; time.sleep(60)").await;
    let mut reader = client.events(&id).await;
    let everything = client.all_events(None).await;
    reader.until("evaluation.started").await;
    server.terminate();
    assert_eq!(kinds(&reader.rest().await), ["evaluation.cancelled"]);
    assert_eq!(kinds(&everything.rest().await)[0], "platform.shutdown");
    assert_eq!(server.exit_code(Duration::from_secs(30)), Some(0));
}
