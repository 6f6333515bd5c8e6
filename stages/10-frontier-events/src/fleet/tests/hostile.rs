//! A worker that an attacker owns: it has its key, and a session of its own.

use std::time::Duration;

use shared::{Evaluations as _, Outcome, RequestContext, Usage};
use stage_04_docker::{MAX_ARTIFACT_BYTES, MAX_ARTIFACTS};
use uuid::Uuid;

use super::bench::{Bench, LEASE};
use super::{PYTHON_ONLY, exited, output};
use crate::fleet::claims::ClaimError;
use crate::fleet::members::Caller;
use crate::fleet::session::{Content, ReportError};
use crate::fleet::wire::{FilePath, FileRequest, SyncRequest};

struct Hostile {
    bench: Bench,
    caller: Caller,
    id: Uuid,
    token: String,
}

impl Hostile {
    async fn new() -> Self {
        let bench = Bench::new();
        let caller = bench.join(&PYTHON_ONLY, 2);
        let id = bench.submit("python", 1).await;
        let token = bench.claim(&caller, id, 1).await.unwrap().token;
        Self { bench, caller, id, token }
    }

    async fn report(&self, content: Content) -> Result<(), ReportError> {
        self.bench.fleet.report(&self.caller, &self.token, content).await
    }

    async fn file(
        &self,
        number: u64,
        path: Option<String>,
        bytes: usize,
    ) -> Result<(), ReportError> {
        let path = path.map(|path| FilePath(path.into_bytes()));
        let (token, base64) = (self.token.clone(), vec![b'x'; bytes]);
        self.report(Content::File(FileRequest { token, number, path, base64 })).await
    }
}

#[tokio::test(start_paused = true)]
async fn endless_output_is_cut_off_and_ends() {
    let hostile = Hostile::new().await;
    let limits = harness::TEST_LIMITS;
    let piece = "x".repeat(256 << 10);
    let started = tokio::time::Instant::now();
    // The worker lives, and each piece is a sign of life of its session.
    let (mut offset, mut refused) = (0, None);
    while refused.is_none() {
        assert!(started.elapsed() < Duration::from_mins(10), "its session never ends");
        refused = hostile.report(output(offset, &piece)).await.err();
        offset += piece.len() as u64;
        hostile.bench.fleet.sync(&hostile.caller, &SyncRequest::default()).await.unwrap();
    }
    assert_eq!(refused, Some(ReportError::Fenced));
    assert!(offset > 2 * limits.output_bytes, "it has sent {offset} bytes");
    assert!(started.elapsed() >= Duration::from_secs_f64(limits.timeout_seconds) + LEASE);
    let ended = hostile.bench.get(hostile.id).await;
    assert_eq!(ended.outcome, Some(Outcome::WorkerLost), "{:?}", ended.evidence);
    assert!(ended.stdout.truncated);
    assert_eq!(ended.stdout.text.len() as u64, limits.output_bytes);
    assert_eq!(hostile.report(exited()).await, Err(ReportError::Fenced));
    // Its place is free.
    let id = hostile.bench.submit("python", 1).await;
    hostile.bench.claim(&hostile.caller, id, 1).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn endless_files_are_refused() {
    let hostile = Hostile::new().await;
    let part = 256 << 10;
    let parts = (MAX_ARTIFACT_BYTES / part) as u64;
    hostile.file(0, Some("big".to_owned()), part).await.unwrap();
    for number in 1..parts {
        hostile.file(number, None, part).await.unwrap();
    }
    for _ in 0..3 {
        let refused = hostile.file(parts, None, part).await;
        assert_eq!(refused, Err(ReportError::File("too many bytes")));
    }
    let Content::Ended { pieces, verdict, excess_bytes, .. } = exited() else { unreachable!() };
    hostile
        .report(Content::Ended { pieces, file_parts: parts, verdict, excess_bytes })
        .await
        .unwrap();
    let ended = hostile.bench.get(hostile.id).await;
    assert_eq!(ended.artifacts.len(), 1);

    let hostile = Hostile::new().await;
    for number in 0..MAX_ARTIFACTS {
        hostile.file(number as u64, Some(format!("{number}")), 1).await.unwrap();
    }
    let refused = hostile.file(MAX_ARTIFACTS as u64, Some("more".to_owned()), 1).await;
    assert_eq!(refused, Err(ReportError::File("too many files")));
}

#[tokio::test(start_paused = true)]
async fn processor_time_is_counted_within_bounds() {
    let hostile = Hostile::new().await;
    let Content::Ended { pieces, file_parts, mut verdict, excess_bytes } = exited() else {
        unreachable!()
    };
    verdict.usage = Some(Usage { cpu_ms: Some(1 << 53), ..Usage::default() });
    let content = Content::Ended { pieces, file_parts, verdict, excess_bytes };
    hostile.report(content).await.unwrap();
    let ended = hostile.bench.get(hostile.id).await;
    let counted = Duration::from_millis(ended.usage.unwrap().cpu_ms.unwrap());
    let limit = Duration::from_secs_f64(ended.limits.cpu_seconds);
    assert_eq!(counted, limit + Duration::from_secs(2));
}

#[tokio::test(start_paused = true)]
async fn what_another_worker_has_claimed_is_not_touched() {
    let hostile = Hostile::new().await;
    let bench = &hostile.bench;
    let honest = bench.join(&PYTHON_ONLY, 2);
    let id = bench.submit("python", 1).await;
    let reply = bench.claim(&honest, id, 1).await.unwrap();
    // It has seen the ticket, which names the evaluation, and knows the token of its own session.
    let refused = bench.claim(&hostile.caller, id, 1).await.unwrap_err();
    assert_eq!(refused, ClaimError::Refused("it runs already"));
    for token in [reply.token.as_str(), "", &id.to_string()] {
        let forged = bench.fleet.report(&hostile.caller, token, output(0, "forged")).await;
        assert_eq!(forged, Err(ReportError::Fenced), "{token}");
    }
    // Naming the token of another is no sign of life of its session, and what it answers is of no other.
    let sync = SyncRequest { sessions: vec![reply.token.clone()], ..SyncRequest::default() };
    bench.queue.cancel(&RequestContext::internal(), id).await.unwrap();
    let heard = bench.fleet.sync(&hostile.caller, &sync).await.unwrap();
    assert_eq!((heard.cancel, heard.lost), (vec![], vec![reply.token.clone()]));
    // The fleet forgets no session because another worker leaves.
    bench.fleet.report(&hostile.caller, &hostile.token, exited()).await.unwrap();
    bench.fleet.leave(&hostile.caller).unwrap();
    bench.fleet.report(&honest, &reply.token, output(0, "its own")).await.unwrap();
    bench.fleet.report(&honest, &reply.token, exited()).await.unwrap();
    assert_eq!(bench.get(id).await.stdout.text, "its own");
}
