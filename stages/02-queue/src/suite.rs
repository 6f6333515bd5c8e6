//! The queue verifies itself: each promise checked with real programs on the live engine.

use std::sync::Arc;
use std::time::Duration;

use shared::component::CheckResult;
use shared::{
    BoxFuture, Evaluation, Evaluations, Outcome, Status, Submission, TestCase, TestableComponent,
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
            let accepted = self
                .submit(Submission::new("print(6 * 7)", self.options.limits), None)
                .map_err(|refused| format!("the live queue refused a program: {refused:?}"))?;
            let ended = wait(self, accepted.id).await?;
            match ended.stdout.text.as_str() {
                "42\n" => Ok("the live queue ran a program and kept its output".to_owned()),
                _ => Err(format!("a program that prints 42 ended as {ended:?}")),
            }
        })
    }

    /// On queues of their own over the live engine, so that the live one is not filled.
    fn test_suite(&self) -> Vec<TestCase<'_>> {
        vec![
            TestCase::new("a full queue refuses, and loses nothing", self.refuses_when_full()),
            TestCase::new("first come, first served", self.keeps_order()),
            TestCase::new("a waiting evaluation can be cancelled", self.cancels(false)),
            TestCase::new("a running evaluation can be cancelled", self.cancels(true)),
        ]
    }
}

/// The queue's promises, each checked on a queue with one worker.
impl TaskQueue {
    fn scratch(&self, capacity: usize) -> Arc<Self> {
        let options = QueueOptions { workers: 1, capacity, limits: self.options.limits };
        Self::start(Arc::clone(&self.engine), Arc::new(()), options)
    }

    fn put(&self, code: &str) -> Result<Evaluation, String> {
        let submission = Submission::new(code, self.options.limits);
        self.submit(submission, None).map_err(|refused| format!("{refused:?}"))
    }

    async fn refuses_when_full(&self) -> CheckResult {
        let queue = self.scratch(2);
        let running = queue.put("import time; time.sleep(60)")?;
        until(&queue, running.id, Status::Running).await?;
        let waiting = [queue.put("print(1)")?, queue.put("print(2)")?];
        let refused = queue.put("print(3)");
        queue.cancel(running.id).map_err(|error| format!("{error:?}"))?;
        for (accepted, output) in waiting.iter().zip(["1\n", "2\n"]) {
            let ended = wait(&queue, accepted.id).await?;
            if ended.stdout.text != output {
                return Err(format!("an accepted evaluation was lost: {ended:?}"));
            }
        }
        close(&queue).await;
        match refused {
            Err(why) => Ok(format!("the third was refused ({why}), the first two ran")),
            Ok(_) => Err("a queue with two places took a third evaluation".to_owned()),
        }
    }

    async fn keeps_order(&self) -> CheckResult {
        let queue = self.scratch(5);
        let ids = (0..5).map(|_| queue.put("pass").map(|it| it.id));
        let ids = ids.collect::<Result<Vec<_>, _>>()?;
        let mut starts = Vec::new();
        for id in ids {
            starts.push(wait(&queue, id).await?.timing.started_at);
        }
        close(&queue).await;
        if starts.is_sorted() {
            Ok("five evaluations started in the order they came".to_owned())
        } else {
            Err(format!("five evaluations started at {starts:?}"))
        }
    }

    async fn cancels(&self, running: bool) -> CheckResult {
        let queue = self.scratch(2);
        let first = queue.put("import time; time.sleep(60)")?;
        until(&queue, first.id, Status::Running).await?;
        let target = if running { first.id } else { queue.put("print('never')")?.id };
        queue.cancel(target).map_err(|error| format!("{error:?}"))?;
        let ended = wait(&queue, target).await?;
        close(&queue).await;
        match ended.outcome {
            Some(Outcome::Cancelled) if ended.stdout.bytes_total == 0 => {
                Ok("it ended as cancelled, with no output".to_owned())
            }
            _ => Err(format!("it ended as {ended:?}")),
        }
    }
}

/// How long a check waits for a program that should be quick.
const SOON: Duration = Duration::from_secs(20);

async fn wait(queue: &TaskQueue, id: Uuid) -> Result<Evaluation, String> {
    let finished = queue.finished(id).ok_or("the evaluation is gone")?;
    let in_time = tokio::time::timeout(SOON, finished.cancelled()).await;
    in_time.map_err(|_| format!("no end within {} s", SOON.as_secs()))?;
    queue.get(id).ok_or_else(|| "the evaluation is gone".to_owned())
}

async fn until(queue: &TaskQueue, id: Uuid, status: Status) -> Result<(), String> {
    let reached = async {
        while queue.get(id).is_some_and(|it| it.status != status) {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    let in_time = tokio::time::timeout(SOON, reached).await;
    in_time.map_err(|_| format!("not {status:?} within {} s", SOON.as_secs()))
}

async fn close(queue: &TaskQueue) {
    let now = CancellationToken::new();
    now.cancel();
    queue.shutdown(now).await;
}
