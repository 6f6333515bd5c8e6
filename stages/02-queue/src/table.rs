//! Everything the queue knows, and the only place where it changes.
//!
//! Each change of an evaluation emits its event here, while the table is locked. That is what makes
//! the order queued → started → completed certain: there is no moment in which a fast program could
//! overtake its own start.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::Instant;

use jiff::Timestamp;
use serde_json::json;
use shared::capture::Tap;
use shared::{
    Capture, Evaluation, Event, EventSink, EventType, Job, NotCancelled, Outcome, Page, Query,
    Sandbox, Status, Stream, Submission, Verdict,
};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

/// Finished evaluations that are kept; the oldest makes room for the newest.
const KEPT: usize = 1000;
/// Bytes of output that the finished evaluations may hold together.
const KEPT_BYTES: usize = 64 << 20;

pub(crate) struct Table {
    events: Arc<dyn EventSink>,
    entries: BTreeMap<Uuid, Entry>,
    /// Ids of queued evaluations, first come first.
    pub(crate) waiting: VecDeque<Uuid>,
    /// Ids of finished evaluations that are kept, oldest first.
    finished: VecDeque<Uuid>,
    finished_bytes: usize,
    pub(crate) running: usize,
    /// True when no more submissions are taken.
    pub(crate) closed: bool,
}

struct Entry {
    /// Without its output, which grows in `capture` until the end.
    evaluation: Evaluation,
    /// None once a worker has it.
    submission: Option<Submission>,
    capture: Arc<Capture>,
    submitted: Instant,
    cancel: CancellationToken,
    finished: CancellationToken,
}

/// What a worker needs to run one evaluation.
pub(crate) struct Work {
    pub(crate) job: Job,
    pub(crate) capture: Arc<Capture>,
    pub(crate) cancel: CancellationToken,
}

impl Table {
    pub(crate) fn new(events: Arc<dyn EventSink>) -> Self {
        Self {
            events,
            entries: BTreeMap::new(),
            waiting: VecDeque::new(),
            finished: VecDeque::new(),
            finished_bytes: 0,
            running: 0,
            closed: false,
        }
    }

    // ANCHOR: submit
    /// Writes a submission down as queued.
    pub(crate) fn submit(
        &mut self,
        submission: Submission,
        sandbox: Sandbox,
        tap: Option<Tap>,
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
        let capture = Capture::new(submission.limits.output_bytes, self.progress(id, tap));
        self.emit(EventType::EvaluationQueued, id, json!({ "depth": self.waiting.len() + 1 }));
        self.waiting.push_back(id);
        let entry = Entry {
            evaluation: evaluation.clone(),
            submission: Some(submission),
            capture: Arc::new(capture),
            submitted: Instant::now(),
            cancel: CancellationToken::new(),
            finished: CancellationToken::new(),
        };
        self.entries.insert(id, entry);
        evaluation
    }
    // ANCHOR_END: submit

    /// Output becomes progress events the moment it is kept.
    fn progress(&self, id: Uuid, tap: Option<Tap>) -> Tap {
        let events = Arc::clone(&self.events);
        Box::new(move |stream: Stream, offset, bytes: &[u8]| {
            let (text, encoding) = shared::evaluation::Encoding::encode(bytes);
            let data =
                json!({ "stream": stream, "offset": offset, "text": text, "encoding": encoding });
            events.emit(Event::now(EventType::EvaluationProgress, Some(id), data));
            if let Some(tap) = &tap {
                tap(stream, offset, bytes);
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
            capture: Arc::clone(&entry.capture),
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
        let Some(entry) = self.entries.get_mut(&id) else { return };
        entry.capture.close();
        let evaluation = &mut entry.evaluation;
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
        evaluation.stdout = entry.capture.output(Stream::Stdout);
        evaluation.stderr = entry.capture.output(Stream::Stderr);
        let kind = match evaluation.status {
            Status::Completed => EventType::EvaluationCompleted,
            Status::Cancelled => EventType::EvaluationCancelled,
            _ => EventType::EvaluationFailed,
        };
        // The output is in the evaluation now; the capture would hold it a second time.
        entry.capture = Arc::new(Capture::new(0, Box::new(|_, _, _| {})));
        let bytes = evaluation.stdout.text.len() + evaluation.stderr.text.len();
        let finished = entry.finished.clone();
        if verdict.outcome.is_limit() {
            self.emit(EventType::ResourceLimitExceeded, id, data.clone());
        }
        self.emit(kind, id, data);
        finished.cancel();
        self.keep(id, bytes);
    }

    /// Keeps a finished evaluation, and forgets the oldest ones beyond the bounds.
    fn keep(&mut self, id: Uuid, bytes: usize) {
        self.finished.push_back(id);
        self.finished_bytes += bytes;
        while self.finished.len() > KEPT || self.finished_bytes > KEPT_BYTES {
            // The one that has just ended stays, however large: somebody waits for it.
            if self.finished.len() == 1 {
                break;
            }
            let Some(oldest) = self.finished.pop_front() else { break };
            if let Some(Entry { evaluation, .. }) = self.entries.remove(&oldest) {
                self.finished_bytes -= evaluation.stdout.text.len() + evaluation.stderr.text.len();
            }
        }
    }

    // ANCHOR: cancel
    /// Takes a waiting evaluation out, or tells the worker of a running one to end it.
    pub(crate) fn cancel(&mut self, id: Uuid) -> Result<Evaluation, NotCancelled> {
        let entry = self.entries.get(&id).ok_or(NotCancelled::Unknown)?;
        match entry.evaluation.status {
            Status::Queued => {
                self.waiting.retain(|other| *other != id);
                let evidence = shared::Evidence::new("cancelled_before_start");
                self.end(id, Verdict::new(Outcome::Cancelled, evidence));
            }
            Status::Running => entry.cancel.cancel(),
            ended => return Err(NotCancelled::Ended(ended)),
        }
        self.get(id).ok_or(NotCancelled::Unknown)
    }
    // ANCHOR_END: cancel

    pub(crate) fn get(&self, id: Uuid) -> Option<Evaluation> {
        self.entries.get(&id).map(Entry::snapshot)
    }

    pub(crate) fn finished(&self, id: Uuid) -> Option<CancellationToken> {
        self.entries.get(&id).map(|entry| entry.finished.clone())
    }

    pub(crate) fn list(&self, query: Query) -> Page {
        use std::ops::Bound::{Excluded, Unbounded};
        let below = query.cursor.map_or(Unbounded, Excluded);
        let wanted = |entry: &&Entry| query.status.is_none_or(|it| it == entry.evaluation.status);
        let mut found = self.entries.range((Unbounded, below)).rev().map(|(_, entry)| entry);
        let mut found = found.by_ref().filter(wanted);
        let items: Vec<_> = found.by_ref().take(query.limit).map(Entry::snapshot).collect();
        let more = found.next().is_some();
        let next_cursor = items.last().filter(|_| more).map(|last| last.id);
        Page { items, next_cursor }
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
        if !evaluation.status.is_final() {
            evaluation.stdout = self.capture.output(Stream::Stdout);
            evaluation.stderr = self.capture.output(Stream::Stderr);
        }
        evaluation
    }
}
