//! The fleet as the engine of the queue: an evaluation runs where its claim came from.

use std::sync::Arc;
use std::time::Duration;

use shared::component::SelfTestResult;
use shared::{
    BoxFuture, Engine, Job, OutputBuffer, SandboxInfo, Stream, TestCase, TestableComponent, Usage,
    Verdict, harmless,
};
use stage_04_docker::ReceivedArtifacts;
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep_until};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::Fleet;
use super::session::{Content, Phase, Report, ReportError};
use super::wire::{FileRequest, Piece};

/// Processor time beyond its limit that is believed of a program: the time to notice that and to end it.
///
/// Attack: a worker reports a year of it, and the key of the evaluation may run nothing until midnight -> test
/// `processor_time_is_counted_within_bounds`.
const CPU_GRACE: Duration = Duration::from_secs(2);
/// Bytes above the limit that a worker may have counted, at most.
pub(super) const MAX_EXCESS_BYTES: u64 = 1 << 36;

/// Runs programs on the workers of a fleet.
pub struct FleetEngine {
    fleet: Arc<Fleet>,
}

/// What has arrived of one session.
struct Received {
    /// Processor time that the program may have used at most, in milliseconds.
    max_cpu_ms: u64,
    offsets: [u64; 2],
    files: ReceivedArtifacts,
    parts: u64,
}

/// Gives a session up whose engine call is dropped, or has returned without a result.
struct GiveUp<'a> {
    fleet: &'a Fleet,
    evaluation: Uuid,
    token: String,
}

impl Drop for GiveUp<'_> {
    fn drop(&mut self) {
        let mut state = self.fleet.state();
        let session = state.sessions.get(&self.evaluation);
        if session.is_some_and(|session| session.token == self.token && session.is_leased()) {
            state.end_session(self.evaluation, Phase::Lost);
        }
    }
}

impl FleetEngine {
    /// The engine of `fleet`.
    pub fn new(fleet: Arc<Fleet>) -> Self {
        Self { fleet }
    }

    // ANCHOR: evaluate
    async fn run(&self, job: &Job, output: &OutputBuffer, cancel: CancellationToken) -> Verdict {
        let Some((token, mut inbox)) = self.start(job) else {
            return lost("the worker was lost before the program started");
        };
        let _guard = GiveUp { fleet: &self.fleet, evaluation: job.id, token };
        let (mut received, mut is_cancelled) = (Received::of(job), false);
        loop {
            let Some(until) = self.lease_of(job.id) else {
                return lost("its session was given up");
            };
            tokio::select! {
                biased;
                () = cancel.cancelled(), if !is_cancelled => {
                    is_cancelled = true;
                    self.cancel(job.id);
                }
                report = inbox.recv() => {
                    let Some(Report { content, answer }) = report else {
                        return lost("its session was given up");
                    };
                    let (result, verdict) = received.take(content, output);
                    if verdict.is_some() {
                        self.reported(job.id);
                    }
                    answer.send(result).ok(); // the worker may have closed the connection
                    if let Some(verdict) = verdict {
                        return verdict;
                    }
                }
                () = sleep_until(until) => if self.is_expired(job.id) {
                    let seconds = self.fleet.options.lease.as_secs_f64();
                    return lost(&format!("its worker gave no sign of life for {seconds} s"));
                },
            }
        }
    }
    // ANCHOR_END: evaluate

    /// The session of a job whose start is committed.
    fn start(&self, job: &Job) -> Option<(String, mpsc::Receiver<Report>)> {
        let mut state = self.fleet.state();
        let session = state.sessions.get_mut(&job.id)?;
        if session.job.attempt != job.attempt {
            return None;
        }
        let inbox = session.inbox.take()?;
        // The commit may have taken long. From now on the worker can name its token.
        session.renew(self.fleet.options.lease);
        session.phase.send_replace(Phase::Running);
        Some((session.token.clone(), inbox))
    }

    fn lease_of(&self, evaluation: Uuid) -> Option<Instant> {
        self.fleet.state().sessions.get(&evaluation).map(|session| session.until)
    }

    /// Ends a session whose lease has expired.
    fn is_expired(&self, evaluation: Uuid) -> bool {
        let mut state = self.fleet.state();
        let session = state.sessions.get(&evaluation);
        let is_expired = session.is_none_or(|session| session.until <= Instant::now());
        if is_expired {
            state.end_session(evaluation, Phase::Lost);
        }
        is_expired
    }

    fn cancel(&self, evaluation: Uuid) {
        let mut state = self.fleet.state();
        let Some(session) = state.sessions.get_mut(&evaluation) else { return };
        session.is_cancelled = true;
        let worker = session.worker;
        if let Some(member) = state.members.get(&worker) {
            member.news.notify_one();
        }
    }

    fn reported(&self, evaluation: Uuid) {
        let state = self.fleet.state();
        if let Some(session) = state.sessions.get(&evaluation) {
            session.phase.send_replace(Phase::Reported);
        }
    }

    pub(super) fn describe(&self) -> String {
        let state = self.fleet.state();
        let open = state.members.values().filter(|member| member.is_open(self.fleet.options.lease));
        let (open, running) = (open.count(), state.sessions.len());
        match &state.broker_error {
            None => format!("{open} workers take work, {running} programs run"),
            Some(error) => format!("{open} workers take work, {running} programs run; {error}"),
        }
    }
}

impl Received {
    fn of(job: &Job) -> Self {
        let seconds = job.submission.limits.cpu_seconds + CPU_GRACE.as_secs_f64();
        let max_cpu = Duration::try_from_secs_f64(seconds).unwrap_or(Duration::MAX);
        let max_cpu_ms = u64::try_from(max_cpu.as_millis()).unwrap_or(u64::MAX);
        Self { max_cpu_ms, offsets: [0; 2], files: ReceivedArtifacts::default(), parts: 0 }
    }

    /// Takes a report: what to answer, and the verdict if it was the last.
    fn take(
        &mut self,
        content: Content,
        output: &OutputBuffer,
    ) -> (Result<(), ReportError>, Option<Verdict>) {
        match content {
            Content::Output(pieces) => (self.push(pieces, output), None),
            Content::File(part) => (self.receive(part), None),
            Content::Ended { pieces, file_parts, verdict, excess_bytes } => {
                if let Err(error) = self.push(pieces, output) {
                    return (Err(error), None);
                }
                if file_parts != self.parts {
                    return (Err(gap("parts of files", self.parts)), None);
                }
                count_excess(output, excess_bytes);
                let artifacts = std::mem::take(&mut self.files).into_artifacts();
                let error = verdict.error.as_deref().map(harmless);
                let usage = verdict.usage.map(|usage| Usage {
                    cpu_ms: usage.cpu_ms.map(|cpu_ms| cpu_ms.min(self.max_cpu_ms)),
                    ..usage
                });
                (Ok(()), Some(Verdict { artifacts, error, usage, ..*verdict }))
            }
        }
    }

    /// Passes output on, without what has arrived before.
    fn push(&mut self, pieces: Vec<Piece>, output: &OutputBuffer) -> Result<(), ReportError> {
        for Piece { stream, offset, base64: bytes } in pieces {
            let expected = &mut self.offsets[usize::from(stream == Stream::Stderr)];
            let Some(known) = expected.checked_sub(offset) else {
                return Err(gap("output", *expected));
            };
            let known = usize::try_from(known).unwrap_or(usize::MAX).min(bytes.len());
            *expected += (bytes.len() - known) as u64;
            // The worker has applied the limit already, so that a full buffer is no news.
            output.push(stream, &bytes[known..]).ok();
        }
        Ok(())
    }

    fn receive(&mut self, part: FileRequest) -> Result<(), ReportError> {
        if part.number < self.parts {
            return Ok(()); // sent again
        }
        if part.number > self.parts {
            return Err(gap("parts of files", self.parts));
        }
        let path = part.path.map(|path| path.0);
        let received = self.files.receive(path, &part.base64);
        received.map_err(|error| ReportError::File(error.0))?;
        self.parts += 1;
        Ok(())
    }
}

fn gap(of: &str, expected: u64) -> ReportError {
    ReportError::Gap(format!("the next {of} should begin at {expected}"))
}

fn lost(why: &str) -> Verdict {
    Verdict::worker_lost("lease", why)
}

/// Counts the bytes above the limit, which the worker has not sent: the buffer stores none of them.
///
/// Attack: a worker reports 2^60 of them, so that counting takes endlessly -> test
/// `excess_is_counted_within_bounds`.
fn count_excess(output: &OutputBuffer, excess_bytes: [u64; 2]) {
    static ZEROS: [u8; 1 << 20] = [0; 1 << 20];
    for (stream, excess) in [Stream::Stdout, Stream::Stderr].into_iter().zip(excess_bytes) {
        let mut excess = excess.min(MAX_EXCESS_BYTES);
        while excess > 0 {
            let length = usize::try_from(excess).map_or(ZEROS.len(), |all| all.min(ZEROS.len()));
            output.push(stream, &ZEROS[..length]).ok(); // it is full
            excess -= length as u64;
        }
    }
}

impl TestableComponent for FleetEngine {
    fn name(&self) -> &'static str {
        "fleet"
    }

    /// A fleet without workers works: what is accepted waits.
    fn self_test(&self) -> BoxFuture<'_, SelfTestResult> {
        Box::pin(async { Ok(self.describe()) })
    }

    fn test_suite(&self) -> Vec<TestCase<'_>> {
        super::suite::suite(self.fleet.options.bounds)
    }
}

impl Engine for FleetEngine {
    fn sandbox(&self) -> SandboxInfo {
        let state = self.fleet.state();
        let newest = state.members.values().next_back();
        let announced = newest.map(|member| member.announcement.sandbox.clone());
        let engine = self.fleet.options.engine.to_owned();
        announced.unwrap_or(SandboxInfo { engine, ..SandboxInfo::default() })
    }

    fn sandbox_for(&self, job: &Job) -> SandboxInfo {
        let found = super::claims::sandbox_of(&self.fleet.state(), job);
        found.unwrap_or_else(|| self.sandbox())
    }

    fn evaluate<'a>(
        &'a self,
        job: &'a Job,
        output: &'a OutputBuffer,
        cancel: CancellationToken,
    ) -> BoxFuture<'a, Verdict> {
        Box::pin(self.run(job, output, cancel))
    }
}
