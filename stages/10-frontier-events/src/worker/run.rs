//! One evaluation, from its ticket to the acknowledgement.

use std::sync::Arc;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::StatusCode;
use shared::evaluation::Encoding;
use shared::{Artifact, Job, OutputBuffer, Stream, Verdict};
use tokio::time::Instant;
use tracing::Instrument as _;
use uuid::Uuid;

use super::client::{until_answered, until_answered_or};
use super::output::PendingOutput;
use super::serve::Worker;
use super::sessions::Session;
use crate::broker::{BrokerError, Delivery};
use crate::bugs;
use crate::fleet::wire::{
    ClaimReply, ClaimRequest, FilePath, FileRequest, MAX_CHUNK_BYTES, ResultRequest, WireBounds,
};

/// The pause after the API has refused the key.
const REFUSED_INTERVAL: Duration = Duration::from_secs(5);

/// What becomes of the ticket.
enum Next {
    /// It is done with, whatever has become of the evaluation.
    Acknowledge,
    /// Another worker may have it.
    Release,
}

/// Does what a ticket says, and holds it meanwhile.
pub(super) async fn handle(worker: &Worker, delivery: Delivery) {
    let (id, attempt) = (delivery.ticket.evaluation, delivery.ticket.attempt);
    let span = tracing::info_span!("evaluation", %id, attempt);
    async {
        let next = tokio::select! {
            next = process(worker, &delivery) => next,
            never = hold(worker, &delivery) => match never {},
        };
        let done = match next {
            // After the end is committed: a worker that dies before leaves the ticket to the others.
            Next::Acknowledge => worker.broker.ack(delivery).await,
            Next::Release => worker.broker.release(delivery, Duration::ZERO).await,
        };
        match done {
            // It will be delivered again, and its claim refused.
            Ok(()) | Err(BrokerError::Stale | BrokerError::HeldTooLong { .. }) => {}
            Err(error) => tracing::warn!(%error, "the ticket was not acknowledged"),
        }
    }
    .instrument(span)
    .await;
}

/// Extends a delivery for as long as it can be.
async fn hold(worker: &Worker, delivery: &Delivery) -> std::convert::Infallible {
    loop {
        tokio::time::sleep(worker.broker.heartbeat_interval()).await;
        match worker.broker.extend(delivery).await {
            Ok(()) => {}
            // The session decides, not the ticket.
            Err(error @ (BrokerError::Stale | BrokerError::HeldTooLong { .. })) => {
                tracing::info!(%error, "the ticket is held no longer");
                std::future::pending::<()>().await;
            }
            Err(error) => tracing::debug!(%error, "the ticket was not extended"),
        }
    }
}

async fn process(worker: &Worker, delivery: &Delivery) -> Next {
    let claim = ClaimRequest {
        evaluation: delivery.ticket.evaluation,
        attempt: delivery.ticket.attempt,
        claim: Uuid::now_v7(),
    };
    let (claimed, ClaimReply { token, job }) = match claim_until_decided(worker, &claim).await {
        Ok(opened) => opened,
        Err(next) => return next,
    };
    let _permit = bugs::place().await;
    let registered = worker.sessions.register(token, claimed, worker.welcome().lease);
    let session = Arc::clone(&registered.session);
    tracing::info!("evaluation started");
    if report(worker, &session, &job).await {
        tracing::info!("evaluation reported");
    } else {
        tracing::warn!("the session was lost; the result is dropped");
    }
    Next::Acknowledge
}

/// Claims until the API has decided: the session, with the time before its request, or what becomes of the ticket.
async fn claim_until_decided(
    worker: &Worker,
    claim: &ClaimRequest,
) -> Result<(Instant, ClaimReply), Next> {
    loop {
        let mut sent = Instant::now();
        // A worker that drains waits for the answer: what the API has given it would be lost after its lease.
        let answered = until_answered_or(&worker.draining, &worker.now, || {
            sent = Instant::now();
            worker.api.claim(claim)
        });
        match answered.await {
            None => return Err(Next::Release),
            Some(Ok(reply)) => return Ok((sent, reply)),
            Some(Err(error)) if error.is_unknown_worker() => {
                if let Err(error) = worker.announce().await {
                    tracing::warn!(%error, "cannot join the fleet again");
                    tokio::time::sleep(REFUSED_INTERVAL).await;
                }
            }
            Some(Err(error)) if error.status() == Some(StatusCode::CONFLICT) => {
                tracing::debug!(%error, "the claim was refused");
                return Err(Next::Acknowledge);
            }
            Some(Err(error)) => {
                tracing::error!(%error, "the claim cannot be made");
                tokio::time::sleep(REFUSED_INTERVAL).await;
                return Err(Next::Release);
            }
        }
    }
}

/// Runs a job and reports everything about it. False when the session was lost.
async fn report(worker: &Worker, session: &Session, job: &Job) -> bool {
    let pending = Arc::new(PendingOutput::default());
    let listener = {
        let pending = Arc::clone(&pending);
        Box::new(move |stream, offset, bytes: &[u8]| pending.push(stream, offset, bytes))
    };
    let limit = job.submission.limits.output_bytes;
    let buffer = OutputBuffer::new(limit, listener);
    let running = async {
        let verdict = run(worker, session, job, &buffer).await;
        buffer.close();
        pending.end();
        verdict
    };
    let sending = pending.send(&*worker.api, &session.token, &session.lost);
    // When the session is lost its program ends as well, and so do both.
    let (mut verdict, is_sent) = tokio::join!(running, async {
        let is_sent = sending.await;
        if !is_sent {
            session.cancel.cancel();
        }
        is_sent
    });
    if !is_sent || session.lost.is_cancelled() {
        return false;
    }
    let artifacts = std::mem::take(&mut verdict.artifacts);
    let Some(file_parts) = send_files(worker, session, artifacts).await else { return false };
    let excess = |stream| buffer.output(stream).bytes_total.saturating_sub(limit);
    let request = ResultRequest {
        token: session.token.clone(),
        pieces: pending.batch(),
        file_parts,
        verdict,
        excess_bytes: [excess(Stream::Stdout), excess(Stream::Stderr)],
    };
    match until_answered(&session.lost, || worker.api.result(&request)).await {
        Some(Ok(())) => true,
        Some(Err(error)) => {
            tracing::warn!(%error, "the result was refused");
            false
        }
        None => false,
    }
}

/// Runs the program, unless it may have more here than this worker allows.
async fn run(worker: &Worker, session: &Session, job: &Job, buffer: &OutputBuffer) -> Verdict {
    let submission = &job.submission;
    let is_allowed = WireBounds::from(&worker.bounds).allow(&submission.limits);
    if !is_allowed || worker.profiles.find(&submission.profile).is_none() {
        return Verdict::engine_error("its worker does not allow it what the API does");
    }
    let running = worker.engine.evaluate(job, buffer, session.cancel.clone());
    tokio::pin!(running);
    tokio::select! {
        verdict = &mut running => verdict,
        () = worker.now.cancelled() => {
            session.cancel.cancel();
            running.await;
            Verdict::worker_lost("shutdown", "its worker was shut down, and could not wait for it")
        }
    }
}

/// Sends the files that a program has left. Returns the number of parts; None when the session was lost.
async fn send_files(worker: &Worker, session: &Session, artifacts: Vec<Artifact>) -> Option<u64> {
    let mut number = 0;
    for artifact in artifacts {
        let mut path = Some(FilePath(path_bytes(&artifact)));
        let mut content = &artifact.content[..];
        while path.is_some() || !content.is_empty() {
            let (chunk, rest) = content.split_at(content.len().min(MAX_CHUNK_BYTES));
            content = rest;
            let token = session.token.clone();
            let request = FileRequest { token, number, path: path.take(), base64: chunk.to_vec() };
            match until_answered(&session.lost, || worker.api.file(&request)).await? {
                Ok(()) => number += 1,
                Err(error) => {
                    tracing::warn!(%error, "a file was refused");
                    return None;
                }
            }
        }
    }
    Some(number)
}

/// The bytes of the path of a file.
fn path_bytes(artifact: &Artifact) -> Vec<u8> {
    match artifact.encoding {
        Encoding::Utf8 => artifact.path.clone().into_bytes(),
        Encoding::Base64 => STANDARD.decode(&artifact.path).unwrap_or_default(),
    }
}
