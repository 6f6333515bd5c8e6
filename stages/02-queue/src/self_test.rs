//! The queue verifies itself.
//!
//! The self test judges the live queue by its own counters: how long its evaluations take says
//! nothing about it. The suite checks each property on a [`ScratchQueue`] with one worker.

mod scratch;
mod scripted_engine;

pub use scratch::ScratchQueue;

use std::sync::Arc;
use std::time::Duration;

use shared::component::{CheckResult, SelfTestError, SelfTestResult};
use shared::{
    BoxFuture, Evaluation, Evaluations, EvaluationsError, NoopSink, Outcome, RequestContext,
    Status, Submission, TestCase, TestableComponent,
};
use uuid::Uuid;

use crate::TaskQueue;
use crate::archive::{ArchiveLimits, InMemoryArchive};
use crate::ledger::LedgerStats;
use scripted_engine::{ENDLESS, ScriptedEngine};

/// How long a job may wait beside an idle worker.
const STALL_TIMEOUT: Duration = Duration::from_secs(10);
/// Between two looks at whether it still waits.
const STALL_CHECK_INTERVAL: Duration = Duration::from_millis(100);
/// How long a check waits for a state that a scratch queue reaches at once.
const CHECK_TIMEOUT: Duration = Duration::from_secs(20);

impl TestableComponent for TaskQueue {
    fn name(&self) -> &'static str {
        "queue"
    }

    fn self_test(&self) -> BoxFuture<'_, SelfTestResult> {
        Box::pin(self.is_working())
    }

    fn test_suite(&self) -> Vec<TestCase<'_>> {
        vec![
            TestCase::new("a full queue refuses, and loses nothing", self.refuses_when_full()),
            TestCase::new("first come, first served", self.keeps_order()),
            TestCase::new("a waiting evaluation can be cancelled", self.cancels(false)),
            TestCase::new("a running evaluation can be cancelled", self.cancels(true)),
        ]
    }
}

impl TaskQueue {
    async fn is_working(&self) -> SelfTestResult {
        let LedgerStats { queued, running, .. } = self.parts.ledger.stats();
        if self.parts.engine.is_none() {
            return Ok(format!("{queued} evaluations wait for workers elsewhere"));
        }
        // A worker ends when the queue is closed, and otherwise never.
        let (alive, workers) = (self.workers.len(), self.options.workers);
        if alive < workers && !self.scratch_closings.is_closed() {
            return Err(format!("{alive} of {workers} workers are left").into());
        }
        if running > workers {
            return Err(format!("{workers} workers run {running} evaluations").into());
        }
        self.takes_what_waits().await?;
        Ok(format!("{alive} workers live, {running} run a program; {queued} evaluations wait"))
    }

    /// Whether an idle worker takes the evaluation that has waited longest. As long as all of them
    /// are busy there is nothing to see.
    async fn takes_what_waits(&self) -> Result<(), SelfTestError> {
        let oldest = self.parts.ledger.stats().oldest_queued;
        let is_taken = async {
            loop {
                let now = self.parts.ledger.stats();
                let is_busy = now.running >= self.options.workers;
                if is_busy || now.oldest_queued.is_none() || now.oldest_queued != oldest {
                    return;
                }
                tokio::time::sleep(STALL_CHECK_INTERVAL).await;
            }
        };
        tokio::time::timeout(STALL_TIMEOUT, is_taken).await.map_err(|_| {
            let seconds = STALL_TIMEOUT.as_secs();
            let stalls = format!("for {seconds} s no idle worker has taken what waits");
            SelfTestError::TimedOut(stalls)
        })
    }
}

/// The properties of the queue, each checked on a queue with one worker.
impl TaskQueue {
    fn scripted(&self, capacity: usize) -> Scratch {
        let archive = Arc::new(InMemoryArchive::new(ArchiveLimits::default()));
        let owner = self.scratch(Arc::new(ScriptedEngine), Arc::new(NoopSink), archive, capacity);
        Scratch { queue: owner.queue(), _owner: owner }
    }

    async fn refuses_when_full(&self) -> CheckResult {
        let scratch = self.scripted(2);
        let running = scratch.put(ENDLESS).await.map_err(text)?;
        scratch.until(running.id, Status::Running).await?;
        let waiting = [scratch.put("1").await, scratch.put("2").await];
        let refused = scratch.put("3").await;
        scratch.cancel(running.id).await?;
        for (accepted, output) in waiting.into_iter().zip(["1", "2"]) {
            let ended = scratch.end_of(accepted.map_err(text)?.id).await?;
            if ended.stdout.text != output {
                return Err(format!("an accepted evaluation was lost: {ended:?}"));
            }
        }
        match refused {
            Err(why) => Ok(format!("the third was refused ({why}), the first two ran")),
            Ok(_) => Err("a queue with two slots accepted a third evaluation".to_owned()),
        }
    }

    async fn keeps_order(&self) -> CheckResult {
        let scratch = self.scripted(5);
        let mut ids = Vec::new();
        for _ in 0..5 {
            ids.push(scratch.put("").await.map_err(text)?.id);
        }
        let mut starts = Vec::new();
        for id in ids {
            starts.push(scratch.end_of(id).await?.timing.started_at);
        }
        if starts.is_sorted() {
            Ok("five evaluations started in the order they came".to_owned())
        } else {
            Err(format!("five evaluations started at {starts:?}"))
        }
    }

    async fn cancels(&self, running: bool) -> CheckResult {
        let scratch = self.scripted(2);
        let first = scratch.put(ENDLESS).await.map_err(text)?;
        scratch.until(first.id, Status::Running).await?;
        let target = if running { first.id } else { scratch.put("never").await.map_err(text)?.id };
        scratch.cancel(target).await?;
        let ended = scratch.end_of(target).await?;
        match ended.outcome {
            Some(Outcome::Cancelled) if ended.stdout.bytes_total == 0 => {
                Ok("it ended as cancelled, with no output".to_owned())
            }
            _ => Err(format!("it ended as {ended:?}")),
        }
    }
}

/// A scratch queue on the scripted engine.
struct Scratch {
    queue: Arc<TaskQueue>,
    /// Closes it.
    _owner: ScratchQueue,
}

impl Scratch {
    async fn put(&self, code: &str) -> Result<Evaluation, EvaluationsError> {
        let submission = Submission::new(code, self.queue.options.limits);
        self.queue.submit(&RequestContext::internal(), submission, None).await
    }

    async fn cancel(&self, id: Uuid) -> Result<(), String> {
        self.queue.cancel(&RequestContext::internal(), id).await.map(drop).map_err(text)
    }

    async fn end_of(&self, id: Uuid) -> Result<Evaluation, String> {
        let context = RequestContext::internal();
        let last = self.queue.wait(&context, id, CHECK_TIMEOUT).await.map_err(text)?;
        if last.status.is_final() {
            Ok(last)
        } else {
            Err(format!("no end within {} s", CHECK_TIMEOUT.as_secs()))
        }
    }

    async fn until(&self, id: Uuid, status: Status) -> Result<(), String> {
        let context = RequestContext::internal();
        let reached = async {
            while self.queue.get(&context, id).await.is_ok_and(|one| one.status != status) {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        let in_time = tokio::time::timeout(CHECK_TIMEOUT, reached).await;
        in_time.map_err(|_| format!("not {status:?} within {} s", CHECK_TIMEOUT.as_secs()))
    }
}

#[allow(clippy::needless_pass_by_value, reason = "the shape that map_err takes")]
fn text(error: EvaluationsError) -> String {
    error.to_string()
}

#[cfg(test)]
mod tests;
