//! The self tests of the queue: each property is checked with real programs on the live engine.

use std::sync::Arc;
use std::time::Duration;

use shared::component::CheckResult;
use shared::{
    BoxFuture, Engine, Evaluation, Evaluations, EvaluationsError, NoopSink, Outcome,
    RequestContext, Status, Submission, TestCase, TestableComponent,
};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::{QueueOptions, TaskQueue};

impl TestableComponent for TaskQueue {
    fn name(&self) -> &'static str {
        "queue"
    }

    fn self_test(&self) -> BoxFuture<'_, CheckResult> {
        Box::pin(async {
            if self.parts.engine.is_none() {
                let stats = self.queue_stats().await.map_err(|error| error.to_string())?;
                return Ok(format!("{} evaluations wait for workers elsewhere", stats.depth));
            }
            let accepted = self.put("print(6 * 7)").await;
            let accepted =
                accepted.map_err(|error| format!("the live queue refused a program: {error}"))?;
            let ended = end_of(self, accepted.id).await?;
            match ended.stdout.text.as_str() {
                "42\n" => Ok("the live queue ran a program and stored its output".to_owned()),
                _ => Err(format!("a program that prints 42 ended as {ended:?}")),
            }
        })
    }

    /// On separate queues over the live engine, so that the live queue is not filled.
    fn test_suite(&self) -> Vec<TestCase<'_>> {
        let Some(engine) = &self.parts.engine else { return Vec::new() };
        vec![
            TestCase::new(
                "a full queue refuses, and loses nothing",
                self.refuses_when_full(engine),
            ),
            TestCase::new("first come, first served", self.keeps_order(engine)),
            TestCase::new("a waiting evaluation can be cancelled", self.cancels(engine, false)),
            TestCase::new("a running evaluation can be cancelled", self.cancels(engine, true)),
        ]
    }
}

/// The properties of the queue, each checked on a queue with one worker.
impl TaskQueue {
    fn scratch(&self, engine: &Arc<dyn Engine>, capacity: usize) -> Arc<Self> {
        let options = QueueOptions { workers: 1, capacity, limits: self.options.limits };
        Self::start(Arc::clone(engine), Arc::new(NoopSink), options)
    }

    async fn put(&self, code: &str) -> Result<Evaluation, EvaluationsError> {
        let submission = Submission::new(code, self.options.limits);
        self.submit(&RequestContext::internal(), submission, None).await
    }

    async fn refuses_when_full(&self, engine: &Arc<dyn Engine>) -> CheckResult {
        let queue = self.scratch(engine, 2);
        let running = queue.put("import time; time.sleep(60)").await.map_err(text)?;
        until(&queue, running.id, Status::Running).await?;
        let waiting = [queue.put("print(1)").await, queue.put("print(2)").await];
        let refused = queue.put("print(3)").await;
        queue.cancel(&RequestContext::internal(), running.id).await.map_err(text)?;
        for (accepted, output) in waiting.into_iter().zip(["1\n", "2\n"]) {
            let ended = end_of(&queue, accepted.map_err(text)?.id).await?;
            if ended.stdout.text != output {
                return Err(format!("an accepted evaluation was lost: {ended:?}"));
            }
        }
        close(&queue).await;
        match refused {
            Err(why) => Ok(format!("the third was refused ({why}), the first two ran")),
            Ok(_) => Err("a queue with two slots accepted a third evaluation".to_owned()),
        }
    }

    async fn keeps_order(&self, engine: &Arc<dyn Engine>) -> CheckResult {
        let queue = self.scratch(engine, 5);
        let mut ids = Vec::new();
        for _ in 0..5 {
            ids.push(queue.put("pass").await.map_err(text)?.id);
        }
        let mut starts = Vec::new();
        for id in ids {
            starts.push(end_of(&queue, id).await?.timing.started_at);
        }
        close(&queue).await;
        if starts.is_sorted() {
            Ok("five evaluations started in the order they came".to_owned())
        } else {
            Err(format!("five evaluations started at {starts:?}"))
        }
    }

    async fn cancels(&self, engine: &Arc<dyn Engine>, running: bool) -> CheckResult {
        let queue = self.scratch(engine, 2);
        let first = queue.put("import time; time.sleep(60)").await.map_err(text)?;
        until(&queue, first.id, Status::Running).await?;
        let target =
            if running { first.id } else { queue.put("print('never')").await.map_err(text)?.id };
        queue.cancel(&RequestContext::internal(), target).await.map_err(text)?;
        let ended = end_of(&queue, target).await?;
        close(&queue).await;
        match ended.outcome {
            Some(Outcome::Cancelled) if ended.stdout.bytes_total == 0 => {
                Ok("it ended as cancelled, with no output".to_owned())
            }
            _ => Err(format!("it ended as {ended:?}")),
        }
    }
}

/// How long a check waits for a short program.
const CHECK_TIMEOUT: Duration = Duration::from_secs(20);

#[allow(clippy::needless_pass_by_value, reason = "the shape that map_err takes")]
fn text(error: EvaluationsError) -> String {
    error.to_string()
}

async fn end_of(queue: &TaskQueue, id: Uuid) -> Result<Evaluation, String> {
    let last = queue.wait(&RequestContext::internal(), id, CHECK_TIMEOUT).await.map_err(text)?;
    if last.status.is_final() {
        Ok(last)
    } else {
        Err(format!("no end within {} s", CHECK_TIMEOUT.as_secs()))
    }
}

async fn until(queue: &TaskQueue, id: Uuid, status: Status) -> Result<(), String> {
    let context = RequestContext::internal();
    let reached = async {
        while queue.get(&context, id).await.is_ok_and(|one| one.status != status) {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    let in_time = tokio::time::timeout(CHECK_TIMEOUT, reached).await;
    in_time.map_err(|_| format!("not {status:?} within {} s", CHECK_TIMEOUT.as_secs()))
}

async fn close(queue: &TaskQueue) {
    let now = CancellationToken::new();
    now.cancel();
    queue.shutdown(now).await;
}
