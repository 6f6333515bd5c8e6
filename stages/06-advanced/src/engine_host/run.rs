//! One run in the engine host: checked, run, and its output sent in turn with that of the others.
//!
//! Attack: one program floods its output, so that the others' wait or the host's memory grows → each
//! run has at most one frame on its way to the socket, the channel is fair, and what waits behind it
//! is within the run's own `output_bytes`. Test: `output_that_is_not_read_stays_within_its_limit`.

use std::collections::VecDeque;
use std::mem::take;
use std::sync::{Arc, Mutex, PoisonError};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Map, Value, json};
use shared::evaluation::Encoding;
use shared::{Artifact, Bounds, Engine, Job, OutputBuffer, Stream, Submission};
use stage_02_queue::submission_from_value;
use tokio::sync::{Notify, mpsc};
use tokio_util::sync::CancellationToken;

use super::protocol::{ArtifactPath, MAX_CHUNK_BYTES, Reply};
use crate::Profiles;

/// Output that was not sent yet. `changed` fires after each change; `send_output` looks at the queue
/// before it waits, and a permit of the notify stays until then.
#[derive(Default)]
struct PendingOutput {
    chunks: Mutex<VecDeque<(Stream, Vec<u8>)>>,
    changed: Notify,
}

impl PendingOutput {
    fn push(&self, stream: Stream, bytes: &[u8]) {
        let mut chunks = self.chunks.lock().unwrap_or_else(PoisonError::into_inner);
        match chunks.back_mut() {
            Some((last, chunk))
                if *last == stream && chunk.len() + bytes.len() <= MAX_CHUNK_BYTES =>
            {
                chunk.extend_from_slice(bytes);
            }
            _ => {
                for part in bytes.chunks(MAX_CHUNK_BYTES) {
                    chunks.push_back((stream, part.to_vec()));
                }
            }
        }
        drop(chunks);
        self.changed.notify_one();
    }

    fn pop(&self) -> Option<(Stream, Vec<u8>)> {
        self.chunks.lock().unwrap_or_else(PoisonError::into_inner).pop_front()
    }
}

/// Runs a job to its end, and sends its output. The last frame is for the caller to send.
pub(super) async fn run(
    engine: &dyn Engine,
    job: &Job,
    replies: &mpsc::Sender<Reply>,
    cancel: CancellationToken,
) -> Reply {
    let pending = Arc::new(PendingOutput::default());
    let unsent = Arc::clone(&pending);
    let listener = Box::new(move |stream, _, bytes: &[u8]| unsent.push(stream, bytes));
    let buffer = OutputBuffer::new(job.submission.limits.output_bytes, listener);
    let running = engine.evaluate(job, &buffer, cancel);
    tokio::pin!(running);
    let mut verdict = loop {
        tokio::select! {
            verdict = &mut running => break verdict,
            // Dropped when the run ends in between: a chunk leaves the queue only after it has a
            // place in the channel, so none is lost.
            () = send_output(job, &pending, replies) => {}
        }
    };
    buffer.close();
    while send_one(job, &pending, replies).await {}
    let excess = |stream| {
        let total = buffer.output(stream).bytes_total;
        total.saturating_sub(job.submission.limits.output_bytes)
    };
    send_files(job, std::mem::take(&mut verdict.artifacts), replies).await;
    let excess_bytes = [excess(Stream::Stdout), excess(Stream::Stderr)];
    Reply::Ended { id: job.id, verdict: Box::new(verdict), excess_bytes }
}

/// Counts the bytes above the limit, which the host has not sent: the buffer stores none of them.
pub(super) fn count_excess(output: &OutputBuffer, excess_bytes: [u64; 2]) {
    const ZEROS: [u8; 4096] = [0; 4096];
    for (stream, mut excess) in [Stream::Stdout, Stream::Stderr].into_iter().zip(excess_bytes) {
        while excess > 0 {
            let length = usize::try_from(excess).map_or(ZEROS.len(), |all| all.min(ZEROS.len()));
            output.push(stream, &ZEROS[..length]).ok(); // it is full
            excess -= length as u64;
        }
    }
}

/// Sends the files of a run, in chunks, so that other runs take turns.
async fn send_files(job: &Job, artifacts: Vec<Artifact>, replies: &mpsc::Sender<Reply>) {
    for artifact in artifacts {
        let mut path = Some(ArtifactPath(path_bytes(&artifact)));
        let mut content = &artifact.content[..];
        while path.is_some() || !content.is_empty() {
            let (chunk, rest) = content.split_at(content.len().min(MAX_CHUNK_BYTES));
            content = rest;
            let file = Reply::File { id: job.id, path: path.take(), bytes: chunk.to_vec() };
            replies.send(file).await.ok(); // the connection has ended
        }
    }
}

/// The bytes of the path of a file.
fn path_bytes(artifact: &Artifact) -> Vec<u8> {
    match artifact.encoding {
        Encoding::Utf8 => artifact.path.clone().into_bytes(),
        Encoding::Base64 => STANDARD.decode(&artifact.path).unwrap_or_default(),
    }
}

async fn send_output(job: &Job, pending: &PendingOutput, replies: &mpsc::Sender<Reply>) {
    while send_one(job, pending, replies).await {}
    pending.changed.notified().await;
}

/// Sends the first chunk that waits. False if there is none.
async fn send_one(job: &Job, pending: &PendingOutput, replies: &mpsc::Sender<Reply>) -> bool {
    let is_empty = pending.chunks.lock().unwrap_or_else(PoisonError::into_inner).is_empty();
    if is_empty {
        return false;
    }
    let Ok(place) = replies.reserve().await else { return false };
    if let Some((stream, bytes)) = pending.pop() {
        place.send(Reply::Output { id: job.id, stream, bytes });
    }
    true
}

/// The job as the engine may run it, if it is one: its submission goes through the same parser as a
/// body over HTTP, so that neither a path nor a limit is there that a client could not have sent.
///
/// Attack: the API process sends a file `../../etc/cron.d/x`, or a limit of a terabyte → refused.
/// Test: `a_submission_is_checked_again`.
pub(super) fn check(job: Job, bounds: &Bounds, profiles: &Profiles) -> Result<Job, &'static str> {
    let Job { id, attempt, submission } = job;
    // Attempts and extensions are for the queue: no engine reads them.
    let Submission { profile: name, code, stdin, mut files, mut limits, labels, .. } = submission;
    let unknown = "a submission for an environment that was not configured";
    let profile = profiles.find(&name).ok_or(unknown)?;
    if let Some(environment) = profiles.environment(&name) {
        limits = environment.within(limits);
    }
    let default = &bounds.default;
    let numbers = [
        (limits.pids, default.pids),
        (limits.output_bytes, default.output_bytes),
        (limits.disk_bytes, default.disk_bytes),
        (limits.open_files, default.open_files),
    ];
    let is_within = numbers.iter().all(|(given, most)| (1..=*most).contains(given));
    let cpu = seconds_within(limits.cpu_seconds, default.cpu_seconds);
    let timeout = seconds_within(limits.timeout_seconds, bounds.max_timeout_seconds);
    let (true, Some(cpu), Some(timeout)) = (is_within, cpu, timeout) else {
        return Err("a submission with a limit above the operator's");
    };
    (limits.cpu_seconds, limits.timeout_seconds) = (cpu, timeout);
    let count = files.len();
    let content = |bytes: &[u8]| json!({ "base64": STANDARD.encode(bytes) });
    let files: Map<String, Value> =
        files.iter_mut().map(|file| (take(&mut file.path), content(&file.bytes))).collect();
    if files.len() != count {
        return Err("a submission with one file twice");
    }
    let body = json!({
        "code": code,
        "stdin": content(&stdin),
        "files": files,
        "timeout_seconds": limits.timeout_seconds,
        "memory_bytes": limits.memory_bytes,
        "labels": labels,
    });
    let parsed = submission_from_value(body, bounds, profile)
        .map_err(|_| "a submission that a client could not have sent")?;
    Ok(Job { id, attempt, submission: Submission { limits, ..parsed } })
}

/// A number of seconds, if it is within the operator's. As text in a frame a number of 16 digits or
/// more can have changed by its last bit, which is not a violation.
fn seconds_within(given: f64, most: f64) -> Option<f64> {
    (given > 0.0 && given <= most * (1.0 + 1e-12)).then(|| given.min(most))
}
