//! The API side against the broker in memory, with tests in the place of workers.

mod bench;
mod counted;
#[cfg(feature = "figures")]
mod figures;
mod hostile;
mod scale;
mod simulated;

use std::sync::{Arc, Mutex};
use std::time::Duration;

use shared::{
    Evaluations as _, Event, EventSink, EventType, Evidence, Limits, Outcome, RequestContext,
    Stream, Verdict,
};
use uuid::Uuid;

use super::claims::ClaimError;
use super::members::{Caller, MemberError};
use super::session::{Content, ReportError};
use super::wire::{ClaimRequest, Piece, SyncRequest};
use bench::{Bench, DIGEST, LEASE, announcement};

fn exited() -> Content {
    let verdict = Box::new(Verdict::new(Outcome::Exited, Evidence::new("exit_status")));
    Content::Ended { pieces: Vec::new(), file_parts: 0, verdict, excess_bytes: [0, 0] }
}

fn output(offset: u64, text: &str) -> Content {
    let (stream, base64) = (Stream::Stdout, text.as_bytes().to_vec());
    Content::Output(vec![Piece { stream, offset, base64 }])
}

const PYTHON_ONLY: [(&str, Option<&str>); 1] = [("python", None)];

#[tokio::test]
async fn the_suite_passes() {
    for case in super::suite::suite(bench::bounds()) {
        case.run.await.unwrap_or_else(|error| panic!("{}: {error}", case.name));
    }
}

#[tokio::test(start_paused = true)]
async fn a_token_is_refused_after_its_lease() {
    let bench = Bench::new();
    let worker = bench.join(&PYTHON_ONLY, 2);
    let id = bench.submit("python", 2).await;
    let first = bench.claim(&worker, id, 1).await.unwrap();
    let report = async |content| bench.fleet.report(&worker, &first.token, content).await;
    report(output(0, "abc")).await.unwrap();
    assert_eq!(bench.get(id).await.stdout.text, "abc");
    tokio::time::sleep(LEASE + Duration::from_secs(1)).await;
    assert_eq!(report(output(3, "d")).await, Err(ReportError::Fenced));
    assert_eq!(report(exited()).await, Err(ReportError::Fenced));
    let waiting = bench.get(id).await;
    assert_eq!((waiting.status, waiting.attempt), (shared::Status::Queued, 2));
    // A worker that was not seen takes no work before its next sign of life.
    assert!(bench.claim(&worker, id, 2).await.is_err());
    let worker = bench.join(&PYTHON_ONLY, 2);
    let second = bench.claim(&worker, id, 2).await.unwrap();
    assert_ne!(first.token, second.token);
    bench.fleet.report(&worker, &second.token, exited()).await.unwrap();
    let ended = bench.get(id).await;
    assert_eq!((ended.outcome, ended.attempt, &*ended.stdout.text), (Some(Outcome::Exited), 2, ""));
}

#[tokio::test(start_paused = true)]
async fn a_sign_of_life_keeps_the_lease_and_silence_ends_it() {
    let bench = Bench::new();
    let worker = bench.join(&PYTHON_ONLY, 2);
    let id = bench.submit("python", 1).await;
    let token = bench.claim(&worker, id, 1).await.unwrap().token;
    let request = SyncRequest { sessions: vec![token], ..SyncRequest::default() };
    for _ in 0..10 {
        // Each is delayed for a quarter of the lease.
        let reply = bench.fleet.sync(&worker, &request).await.unwrap();
        assert!(reply.lost.is_empty() && reply.cancel.is_empty());
    }
    assert!(bench.get(id).await.outcome.is_none());
    tokio::time::sleep(LEASE + Duration::from_secs(1)).await;
    let lost = bench.get(id).await;
    assert_eq!(lost.outcome, Some(Outcome::WorkerLost));
    assert_eq!(lost.evidence.unwrap().decided_by, "lease");
    let reply = bench.fleet.sync(&worker, &request).await.unwrap();
    assert_eq!(reply.lost, request.sessions);
}

#[tokio::test(start_paused = true)]
async fn a_session_belongs_to_its_worker_and_its_key() {
    let bench = Bench::new();
    let (one, two) = (bench.join(&PYTHON_ONLY, 2), bench.join(&PYTHON_ONLY, 2));
    let id = bench.submit("python", 1).await;
    let token = bench.claim(&one, id, 1).await.unwrap().token;
    let thief = Caller { worker: one.worker, principal: Some("another key".to_owned()) };
    for caller in [&two, &thief] {
        let reported = bench.fleet.report(caller, &token, exited()).await;
        assert_eq!(reported, Err(ReportError::Fenced), "{caller:?}");
    }
    assert_eq!(bench.fleet.sync(&thief, &SyncRequest::default()).await, Err(MemberError::Unknown));
    assert_eq!(bench.fleet.leave(&thief), Err(MemberError::Unknown));
    let again = bench.fleet.announce(&thief, announcement(&PYTHON_ONLY, 2));
    assert_eq!(again, Err(MemberError::Unknown));
    bench.fleet.report(&one, &token, exited()).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn excess_is_counted_within_bounds() {
    let bench = Bench::new();
    let worker = bench.join(&PYTHON_ONLY, 2);
    let id = bench.submit("python", 1).await;
    let token = bench.claim(&worker, id, 1).await.unwrap().token;
    let Content::Ended { pieces, file_parts, verdict, .. } = exited() else { unreachable!() };
    let excess_bytes = [u64::MAX, 1];
    let content = Content::Ended { pieces, file_parts, verdict, excess_bytes };
    bench.fleet.report(&worker, &token, content).await.unwrap();
    let ended = bench.get(id).await;
    assert!(ended.stdout.truncated && ended.stdout.bytes_total <= super::engine::MAX_EXCESS_BYTES);
    assert_eq!(ended.stderr.bytes_total, 1);
}

#[tokio::test(start_paused = true)]
async fn a_worker_with_another_engine_is_refused() {
    let bench = Bench::new();
    let caller = Caller { worker: Uuid::now_v7(), principal: None };
    let fits = announcement(&PYTHON_ONLY, 2);
    let mut weak = fits.clone();
    weak.sandbox.engine = "subprocess".to_owned();
    let mut small = fits.clone();
    small.bounds.limits = Limits { pids: 1, ..small.bounds.limits };
    let mut old = fits.clone();
    old.protocol = 0;
    for (wrong, expected) in [(weak, "--engine"), (small, "--pids"), (old, "protocol")] {
        let error = bench.fleet.announce(&caller, wrong).unwrap_err().to_string();
        assert!(error.contains(expected), "{error}");
    }
    assert!(bench.fleet.state().members.is_empty());
    bench.fleet.announce(&caller, fits).unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_worker_has_no_more_sessions_than_its_capacity() {
    let bench = Bench::new();
    let worker = bench.join(&PYTHON_ONLY, 1);
    let (first, second) = (bench.submit("python", 1).await, bench.submit("python", 1).await);
    let token = bench.claim(&worker, first, 1).await.unwrap().token;
    let refused = bench.claim(&worker, second, 1).await.unwrap_err();
    assert_eq!(refused, ClaimError::Refused("this worker has as many as it can run"));
    bench.fleet.report(&worker, &token, exited()).await.unwrap();
    bench.claim(&worker, second, 1).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn work_goes_where_its_environment_is_and_holds_nobody_up() {
    let bench = Bench::new();
    for _ in 0..30 {
        bench.submit("science", 1).await;
    }
    let id = bench.submit("python", 1).await;
    assert_eq!((bench.tickets("science").await, bench.tickets("python").await), (0, 0));
    let worker = bench.join(&[("python", None), ("science", Some("sha256:another"))], 2);
    assert_eq!(bench.tickets("python").await, 1);
    assert_eq!(bench.tickets("science").await, 0, "it was built differently there");
    bench.claim(&worker, id, 1).await.unwrap();
    bench.join(&[("python", None), ("science", Some(DIGEST))], 2);
    assert_eq!(bench.tickets("science").await, 4, "two for each place");
}

#[tokio::test(start_paused = true)]
async fn a_ticket_that_was_lost_is_published_again_when_a_worker_is_idle() {
    let bench = Bench::new();
    let worker = bench.join(&PYTHON_ONLY, 1);
    let id = bench.submit("python", 1).await;
    assert_eq!(bench.tickets("python").await, 1);
    let mut again = 0;
    for _ in 0..20 {
        bench.fleet.sync(&worker, &SyncRequest::default()).await.unwrap();
        again += bench.tickets("python").await;
    }
    assert_eq!(again, 2, "after 40 s of 100, and again");
    // The only place is taken: a ticket that nobody claims is none that was lost.
    let busy = bench.claim(&worker, id, 1).await.unwrap().token;
    let waits = bench.submit("python", 1).await;
    assert_eq!(bench.tickets("python").await, 1);
    let request = SyncRequest { sessions: vec![busy.clone()], ..SyncRequest::default() };
    for _ in 0..12 {
        bench.fleet.sync(&worker, &request).await.unwrap();
        assert_eq!(bench.tickets("python").await, 0);
    }
    bench.fleet.report(&worker, &busy, exited()).await.unwrap();
    bench.claim(&worker, waits, 1).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_claim_of_what_was_cancelled_is_refused_and_a_cancelled_session_is_told_once() {
    let bench = Bench::new();
    let worker = bench.join(&PYTHON_ONLY, 2);
    let (waits, runs) = (bench.submit("python", 1).await, bench.submit("python", 1).await);
    let token = bench.claim(&worker, runs, 1).await.unwrap().token;
    let context = RequestContext::internal();
    for id in [waits, runs] {
        bench.queue.cancel(&context, id).await.unwrap();
    }
    assert_eq!(bench.get(waits).await.outcome, Some(Outcome::Cancelled));
    assert!(matches!(bench.claim(&worker, waits, 1).await, Err(ClaimError::Refused(_))));
    let mut request = SyncRequest { sessions: vec![token.clone()], ..SyncRequest::default() };
    let told = bench.fleet.sync(&worker, &request).await.unwrap();
    assert_eq!(told.cancel, request.sessions);
    request.cancelled.push(token.clone());
    let again = bench.fleet.sync(&worker, &request).await.unwrap();
    assert!(again.cancel.is_empty());
    let verdict = Box::new(Verdict::new(Outcome::Cancelled, Evidence::new("cancelled")));
    let (pieces, excess_bytes) = (Vec::new(), [0, 0]);
    let ended = Content::Ended { pieces, file_parts: 0, verdict, excess_bytes };
    bench.fleet.report(&worker, &token, ended).await.unwrap();
    assert_eq!(bench.get(runs).await.outcome, Some(Outcome::Cancelled));
}

#[tokio::test(start_paused = true)]
async fn a_cancellation_ends_the_sync_that_is_delayed_at_once() {
    let bench = Bench::new();
    let worker = bench.join(&PYTHON_ONLY, 2);
    let id = bench.submit("python", 1).await;
    let token = bench.claim(&worker, id, 1).await.unwrap().token;
    let request = SyncRequest { sessions: vec![token.clone()], ..SyncRequest::default() };
    let held = {
        let (fleet, worker) = (std::sync::Arc::clone(&bench.fleet), worker.clone());
        tokio::spawn(async move { fleet.sync(&worker, &request).await })
    };
    // Virtual time moves only when every task waits for it: the sync waits.
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert!(!held.is_finished());
    let cancelled = tokio::time::Instant::now();
    bench.queue.cancel(&RequestContext::internal(), id).await.unwrap();
    assert_eq!(held.await.unwrap().unwrap().cancel, [token]);
    assert_eq!(cancelled.elapsed(), Duration::ZERO, "no timer is between the two");
}

#[tokio::test(start_paused = true)]
async fn what_drains_gets_nothing_and_keeps_what_it_has() {
    let bench = Bench::new();
    let worker = bench.join(&PYTHON_ONLY, 2);
    let (runs, waits) = (bench.submit("python", 1).await, bench.submit("python", 1).await);
    let token = bench.claim(&worker, runs, 1).await.unwrap().token;
    bench.fleet.drain(worker.worker).unwrap();
    let told = bench.fleet.sync(&worker, &SyncRequest::default()).await.unwrap();
    assert!(told.drain);
    assert!(bench.claim(&worker, waits, 1).await.is_err());
    bench.fleet.report(&worker, &token, exited()).await.unwrap();
    assert_eq!(bench.get(runs).await.outcome, Some(Outcome::Exited));
    bench.fleet.leave(&worker).unwrap();
    assert_eq!(bench.fleet.drain(worker.worker), Err(MemberError::Unknown));
    assert!(super::status::list(&bench.fleet).is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_claim_that_is_made_again_has_the_whole_lease() {
    let bench = Bench::new();
    let worker = bench.join(&PYTHON_ONLY, 2);
    let id = bench.submit("python", 1).await;
    let request = ClaimRequest { evaluation: id, attempt: 1, claim: Uuid::now_v7() };
    let first = bench.fleet.claim(&worker, &request).await.unwrap();
    tokio::time::sleep(LEASE * 3 / 4).await;
    // Its answer was lost. The worker counts the lease from this request.
    let again = bench.fleet.claim(&worker, &request).await.unwrap();
    assert_eq!(again.token, first.token);
    tokio::time::sleep(LEASE * 3 / 4).await;
    bench.fleet.report(&worker, &again.token, exited()).await.unwrap();
    assert_eq!(bench.get(id).await.outcome, Some(Outcome::Exited));
}

/// What was emitted.
#[derive(Default)]
struct Emitted(Mutex<Vec<Event>>);

impl EventSink for Emitted {
    fn emit(&self, event: Event) {
        self.0.lock().unwrap().push(event);
    }
}

#[tokio::test(start_paused = true)]
async fn a_worker_whose_engine_fails_gets_no_tickets() {
    let bench = Bench::new();
    let emitted = Arc::new(Emitted::default());
    bench.fleet.emit_to(emitted.clone());
    let worker = bench.join(&PYTHON_ONLY, 2);
    let failing = Some("the isolation is lost".to_owned());
    let request = SyncRequest { failing, ..SyncRequest::default() };
    let violations = || -> Vec<_> {
        let events = emitted.0.lock().unwrap();
        let all = events.iter().filter(|event| event.kind == EventType::SecurityViolation);
        all.map(|event| event.data.clone()).collect()
    };
    // A worker that changes its mind all the time is reported once in a minute, and then if it still fails.
    let failing = || bench.fleet.sync(&worker, &request);
    failing().await.unwrap();
    bench.fleet.sync(&worker, &SyncRequest::default()).await.unwrap();
    failing().await.unwrap();
    assert_eq!(violations().len(), 1);
    for _ in 0..3 {
        tokio::time::advance(Duration::from_mins(1)).await;
        failing().await.unwrap();
    }
    let [_, violation] = &violations()[..] else { panic!("{:?}", violations()) };
    assert_eq!(violation["component"], "gvisor");
    assert!(violation.to_string().contains("the isolation is lost"), "{violation}");
    assert!(violation.to_string().contains(&worker.worker.to_string()), "{violation}");
    let id = bench.submit("python", 1).await;
    assert_eq!(bench.tickets("python").await, 0);
    assert!(bench.claim(&worker, id, 1).await.is_err());
    bench.fleet.sync(&worker, &SyncRequest::default()).await.unwrap();
    assert_eq!(bench.tickets("python").await, 1);
}
