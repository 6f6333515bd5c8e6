//! Everything the queue knows of what waits and what runs, and the only place where it changes.
//!
//! Each change of an evaluation emits its event here, while the table is locked. That is what makes
//! the order queued → started → completed certain: there is no moment in which a fast program could
//! overtake its own start.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::Instant;

use jiff::Timestamp;
use serde_json::json;
use shared::output::OutputListener;
use shared::{
    Evaluation, Event, EventSink, EventType, Job, Outcome, OutputBuffer, Page, Query, SandboxInfo,
    Status, Stream, Submission, Verdict,
};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::archive::{Archive, older_than, page};

pub(crate) struct Table {
    events: Arc<dyn EventSink>,
    archive: Arc<dyn Archive>,
    /// What has not ended.
    entries: BTreeMap<Uuid, Entry>,
    /// Ids of queued evaluations, first come first.
    pub(crate) waiting: VecDeque<Uuid>,
    pub(crate) running: usize,
    /// True when no more submissions are taken.
    pub(crate) closed: bool,
}

struct Entry {
    /// Without its output, which grows in `buffer` until the end.
    evaluation: Evaluation,
    /// None once a worker has it.
    submission: Option<Submission>,
    buffer: Arc<OutputBuffer>,
    submitted: Instant,
    cancel: CancellationToken,
    finished: CancellationToken,
}

/// What a worker needs to run one evaluation.
pub(crate) struct Work {
    pub(crate) job: Job,
    pub(crate) buffer: Arc<OutputBuffer>,
    pub(crate) cancel: CancellationToken,
}

impl Table {
    pub(crate) fn new(events: Arc<dyn EventSink>, archive: Arc<dyn Archive>) -> Self {
        Self {
            events,
            archive,
            entries: BTreeMap::new(),
            waiting: VecDeque::new(),
            running: 0,
            closed: false,
        }
    }

    // ANCHOR: submit
    /// Writes a submission down as queued.
    pub(crate) fn submit(
        &mut self,
        submission: Submission,
        sandbox: SandboxInfo,
        listener: Option<OutputListener>,
    ) -> Evaluation {
        // Made under the lock, so ids sort in the order in which evaluations were accepted.
        let id = Uuid::now_v7();
        let evaluation = Evaluation {
            id,
            status: Status::Queued,
            outcome: None,
            exit_code: None,
            signal: None,
            stdout: shared::Output::default(),
            stderr: shared::Output::default(),
            usage: None,
            limits: submission.limits,
            evidence: None,
            sandbox,
            timing: shared::evaluation::Timing {
                submitted_at: Timestamp::now(),
                started_at: None,
                finished_at: None,
                queue_wait_ms: None,
            },
            attempt: 1,
            labels: submission.labels.clone(),
            error: None,
        };
        let buffer = OutputBuffer::new(submission.limits.output_bytes, self.progress(id, listener));
        self.emit(EventType::EvaluationQueued, id, json!({ "depth": self.waiting.len() + 1 }));
        self.waiting.push_back(id);
        let entry = Entry {
            evaluation: evaluation.clone(),
            submission: Some(submission),
            buffer: Arc::new(buffer),
            submitted: Instant::now(),
            cancel: CancellationToken::new(),
            finished: CancellationToken::new(),
        };
        self.entries.insert(id, entry);
        evaluation
    }
    // ANCHOR_END: submit

    /// Output becomes progress events the moment it is kept.
    fn progress(&self, id: Uuid, listener: Option<OutputListener>) -> OutputListener {
        let events = Arc::clone(&self.events);
        Box::new(move |stream: Stream, offset, bytes: &[u8]| {
            let (text, encoding) = shared::evaluation::Encoding::encode(bytes);
            let data =
                json!({ "stream": stream, "offset": offset, "text": text, "encoding": encoding });
            events.emit(Event::now(EventType::EvaluationProgress, Some(id), data));
            if let Some(listener) = &listener {
                listener(stream, offset, bytes);
            }
        })
    }

    // ANCHOR: start
    /// Gives the oldest waiting evaluation to a worker.
    pub(crate) fn start_next(&mut self) -> Option<Work> {
        let id = self.waiting.pop_front()?;
        let entry = self.entries.get_mut(&id)?;
        let submission = entry.submission.take()?;
        let wait = u64::try_from(entry.submitted.elapsed().as_millis()).unwrap_or(u64::MAX);
        entry.evaluation.status = Status::Running;
        entry.evaluation.timing.started_at = Some(Timestamp::now());
        entry.evaluation.timing.queue_wait_ms = Some(wait);
        let sandbox = entry.evaluation.sandbox.clone();
        let work = Work {
            job: Job { id, submission },
            buffer: Arc::clone(&entry.buffer),
            cancel: entry.cancel.clone(),
        };
        self.running += 1;
        let data = json!({ "attempt": 1, "queue_wait_ms": wait, "sandbox": sandbox });
        self.emit(EventType::EvaluationStarted, id, data);
        Some(work)
    }
    // ANCHOR_END: start

    /// Writes the verdict on a running evaluation down.
    pub(crate) fn finish(&mut self, id: Uuid, verdict: Verdict) {
        self.running -= 1;
        self.end(id, verdict);
    }

    fn end(&mut self, id: Uuid, verdict: Verdict) {
        let Some(Entry { mut evaluation, buffer, finished, .. }) = self.entries.remove(&id) else {
            return;
        };
        buffer.close();
        evaluation.status = verdict.status();
        evaluation.outcome = Some(verdict.outcome);
        evaluation.timing.finished_at = Some(Timestamp::now());
        let data = json!({
            "outcome": verdict.outcome,
            "exit_code": verdict.exit_code,
            "signal": verdict.signal,
            "usage": verdict.usage,
            "evidence": verdict.evidence,
            "error": verdict.error,
            "engine": evaluation.sandbox.engine,
        });
        evaluation.exit_code = verdict.exit_code;
        evaluation.signal = verdict.signal;
        evaluation.usage = verdict.usage;
        evaluation.evidence = Some(verdict.evidence);
        evaluation.error = verdict.error;
        evaluation.stdout = buffer.output(Stream::Stdout);
        evaluation.stderr = buffer.output(Stream::Stderr);
        let kind = match evaluation.status {
            Status::Completed => EventType::EvaluationCompleted,
            Status::Cancelled => EventType::EvaluationCancelled,
            _ => EventType::EvaluationFailed,
        };
        if verdict.outcome.is_limit() {
            self.emit(EventType::ResourceLimitExceeded, id, data.clone());
        }
        self.emit(kind, id, data);
        self.archive.keep(evaluation);
        finished.cancel();
    }

    // ANCHOR: cancel
    /// Takes a waiting evaluation out, or tells the worker of a running one to end it. False when
    /// neither waits nor runs one of this id.
    pub(crate) fn cancel(&mut self, id: Uuid) -> bool {
        let Some(entry) = self.entries.get(&id) else { return false };
        if entry.evaluation.status == Status::Queued {
            self.waiting.retain(|other| *other != id);
            let evidence = shared::Evidence::new("cancelled_before_start");
            self.end(id, Verdict::new(Outcome::Cancelled, evidence));
        } else {
            entry.cancel.cancel();
        }
        true
    }
    // ANCHOR_END: cancel

    pub(crate) fn get(&self, id: Uuid) -> Option<Evaluation> {
        self.entries.get(&id).map(Entry::snapshot)
    }

    pub(crate) fn finished(&self, id: Uuid) -> Option<CancellationToken> {
        self.entries.get(&id).map(|entry| entry.finished.clone())
    }

    pub(crate) fn list(&self, query: &Query) -> Page {
        let below = self.entries.range(older_than(query)).rev().map(|(_, entry)| entry);
        page(below.filter(|entry| query.wants(&entry.evaluation)), query.limit, Entry::snapshot)
    }

    /// When the oldest waiting evaluation was submitted.
    pub(crate) fn oldest_waiting(&self) -> Option<Instant> {
        Some(self.entries.get(self.waiting.front()?)?.submitted)
    }

    /// Ends all running evaluations, and returns the tokens that fire when they have ended.
    pub(crate) fn cancel_running(&self) {
        let running = |entry: &&Entry| entry.evaluation.status == Status::Running;
        self.entries.values().filter(running).for_each(|entry| entry.cancel.cancel());
    }

    fn emit(&self, kind: EventType, id: Uuid, data: serde_json::Value) {
        self.events.emit(Event::now(kind, Some(id), data));
    }
}

impl Entry {
    /// The evaluation as it is now, with its output so far.
    fn snapshot(&self) -> Evaluation {
        let mut evaluation = self.evaluation.clone();
        evaluation.stdout = self.buffer.output(Stream::Stdout);
        evaluation.stderr = self.buffer.output(Stream::Stderr);
        evaluation
    }
}
