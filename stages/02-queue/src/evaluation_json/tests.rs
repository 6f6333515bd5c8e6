//! Tests of responses in pieces.

use http_body_util::BodyExt as _;
use jiff::Timestamp;
use serde_json::{Value, json};
use shared::evaluation::Timing;
use shared::{Limits, Outcome, Status};
use uuid::Uuid;

use super::*;
use crate::archive::{MAX_PAGE_BYTES, paginate};

const LIMITS: Limits = Limits {
    timeout_seconds: 1.0,
    cpu_seconds: 1.0,
    memory_bytes: 1,
    pids: 1,
    output_bytes: 1,
    disk_bytes: 1,
    open_files: 1,
};

fn evaluation(stdout: &[u8], stderr: &[u8]) -> Evaluation {
    let submitted_at = Timestamp::now();
    Evaluation {
        id: Uuid::now_v7(),
        status: Status::Completed,
        outcome: Some(Outcome::Exited),
        exit_code: Some(0),
        signal: Some("SIGX".to_owned()),
        stdout: Output::new(stdout, stdout.len() as u64),
        stderr: Output::new(stderr, stderr.len() as u64),
        usage: None,
        limits: LIMITS,
        evidence: None,
        sandbox: None,
        timing: Timing { submitted_at, started_at: None, finished_at: None, queue_wait_ms: None },
        attempt: 1,
        owner: None,
        // Both look like the beginning of an output.
        labels: [(r#""stdout":{"text":""#.to_owned(), r#""stderr":{"text":""#.to_owned())].into(),
        artifacts: Vec::new(),
        error: None,
    }
}

async fn text(response: Response) -> (Option<u64>, usize, Value) {
    let length = http_body::Body::size_hint(response.body()).exact();
    let (mut body, mut all, mut largest) = (response.into_body(), Vec::new(), 0);
    while let Some(frame) = body.frame().await {
        let piece = frame.unwrap().into_data().unwrap();
        largest = largest.max(piece.len());
        all.extend_from_slice(&piece);
    }
    assert_eq!(length, Some(all.len() as u64));
    (length, largest, serde_json::from_slice(&all).unwrap())
}

/// Whatever the output is, the pieces are what serialising the whole would give.
#[tokio::test]
async fn pieces_are_the_evaluation() {
    let controls: Vec<u8> = (0..=31).cycle().take(300_000).collect();
    let wide = "é\u{1f980}\"\\\u{7f}".repeat(20_000);
    let binary = vec![0xff; 200_000];
    for (stdout, stderr) in [
        (&b""[..], &b""[..]),
        (b"small", b"small"),
        (&controls, wide.as_bytes()),
        (&binary, b""),
        (b"", &controls),
    ] {
        let evaluation = evaluation(stdout, stderr);
        let whole = serde_json::to_value(&evaluation).unwrap();
        let response = evaluation_response(StatusCode::OK, evaluation.clone()).await.unwrap();
        let (_, largest, value) = text(response).await;
        assert_eq!(value, whole);
        assert!(largest <= MAX_PIECE_BYTES * 6, "{largest}");
        let page = Page {
            items: [evaluation.clone(), evaluation].map(Arc::new).into(),
            next_cursor: Some(Uuid::nil()),
        };
        let (_, _, value) = text(page_response(page).await.unwrap()).await;
        assert_eq!(value, json!({ "items": [whole, whole], "next_cursor": Uuid::nil() }));
    }
    let (_, _, empty) = text(page_response(Page::default()).await.unwrap()).await;
    assert_eq!(empty, json!({ "items": [], "next_cursor": null }));
}

#[tokio::test]
async fn a_page_ends_before_its_budget() {
    // 200 KB of JSON each: control characters are six bytes.
    let all: Vec<_> = (0..30).map(|_| Arc::new(evaluation(&vec![1; 33_000], b""))).collect();
    let (mut rest, mut seen) = (&all[..], Vec::new());
    while !rest.is_empty() {
        let page = paginate(rest.iter(), 100, Arc::clone);
        let items = page.items.len();
        assert_eq!(page.next_cursor.is_some(), items < rest.len());
        rest = &rest[items..];
        seen.extend(page.items.iter().map(|one| one.id));
        let (length, _, _) = text(page_response(page).await.unwrap()).await;
        assert!(length.unwrap() <= MAX_PAGE_BYTES as u64 + 100, "{length:?}");
        assert!(rest.is_empty() || length.unwrap() > MAX_PAGE_BYTES as u64 / 2, "{length:?}");
    }
    assert_eq!(seen, all.iter().map(|one| one.id).collect::<Vec<_>>());
    // One that is larger than a page has a page of its own.
    let large = Arc::new(evaluation(&vec![1; 1 << 20], b""));
    for order in [[&large, &all[0], &large], [&all[0], &large, &all[0]]] {
        let page = paginate(order, 100, Arc::clone);
        assert_eq!((page.items.len(), page.next_cursor), (1, Some(order[0].id)));
    }
}

/// The only test that uses the budget of the process up.
#[tokio::test(start_paused = true)]
async fn outputs_held_for_clients_are_bounded() {
    let large = Arc::new(evaluation(&vec![b'x'; MAX_HELD_BYTES / 2], b""));
    let hold = || evaluation_response(StatusCode::OK, Arc::clone(&large));
    let (first, second) = (hold().await.unwrap(), hold().await.unwrap());
    let refused = hold().await.unwrap_err();
    assert_eq!(refused.status(), 503);
    let small = evaluation_response(StatusCode::OK, evaluation(b"small", b"")).await;
    assert!(small.is_ok(), "small responses have no budget");
    drop(first);
    let third = hold().await.unwrap();
    drop((second, third));
}

#[tokio::test(start_paused = true)]
async fn a_large_response_has_a_deadline() {
    let response = evaluation_response(StatusCode::OK, evaluation(&vec![b'x'; 1 << 20], b"")).await;
    let mut body = response.unwrap().into_body();
    for _ in 0..40 {
        assert!(body.frame().await.unwrap().is_ok());
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
    tokio::time::sleep(Duration::from_secs(10)).await;
    assert!(body.frame().await.unwrap().is_err());
}

/// A page of live evaluations that was cut knows nothing of those before its cut: what is archived and
/// older waits for the next page, so that no evaluation is left out.
#[test]
fn two_lists_become_one_without_a_gap() {
    let [oldest, archived, cut, newest] =
        [0, 1, 2 << 20, 1].map(|size| Arc::new(evaluation(&vec![b'x'; size], b"")));
    let live = paginate([&newest, &cut], 100, Arc::clone);
    assert_eq!((live.items.len(), live.next_cursor), (1, Some(newest.id)));
    let stored = paginate([&archived, &oldest], 100, Arc::clone);
    let page = crate::ledger::merge(live, stored.clone(), 100);
    assert_eq!((page.items, page.next_cursor), (vec![Arc::clone(&newest)], Some(newest.id)));
    let all = paginate([&newest], 100, Arc::clone);
    let page = crate::ledger::merge(all, stored, 100);
    assert_eq!((page.items, page.next_cursor), (vec![newest, archived, oldest], None));
}
