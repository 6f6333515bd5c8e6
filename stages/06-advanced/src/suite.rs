//! The platform verifies itself: that its parts work together, on the live ones.

use std::time::Duration;

use shared::component::CheckResult;
use shared::{BoxFuture, Evaluation, EventType, Outcome, Submission, TestCase, TestableComponent};
use uuid::Uuid;

use crate::platform::Platform;

/// How long a check waits for a program that should be quick, behind whatever waits already.
const SOON: Duration = Duration::from_secs(30);

impl TestableComponent for Platform {
    fn name(&self) -> &'static str {
        "platform"
    }

    fn self_test(&self) -> BoxFuture<'_, CheckResult> {
        Box::pin(async { self.fits_together() })
    }

    fn test_suite(&self) -> Vec<TestCase<'_>> {
        vec![
            TestCase::new("an evaluation leaves its trace in every part", self.traces()),
            TestCase::new("a cancelled evaluation is stored as cancelled", self.stores_cancelled()),
        ]
    }
}

impl Platform {
    /// Whether what the parts say about themselves can be.
    fn fits_together(&self) -> CheckResult {
        let (queue, stored) = (self.parts.queue.queue_stats(), self.parts.storage.usage());
        if queue.depth > queue.capacity || queue.workers_busy > queue.workers {
            return Err(format!("the queue says that it holds more than it can: {queue:?}"));
        }
        if stored.entries > stored.max_entries {
            return Err(format!("more is stored than may be: {stored:?}"));
        }
        Ok(format!("{} evaluations stored, {} waiting", stored.entries, queue.depth))
    }

    async fn traces(&self) -> CheckResult {
        let ended = self.run("print(6 * 7)").await?;
        if ended.stdout.text != "42\n" || ended.sandbox != self.sandbox {
            return Err(format!("a program that prints 42 ended as {ended:?}"));
        }
        if self.parts.storage.get(ended.id).as_ref() != Some(&ended) {
            return Err("what the queue answers is not what the storage has".to_owned());
        }
        let history = self.parts.monitor.history(ended.id, None).ok_or("no event was kept")?;
        let kinds: Vec<_> = history.events.iter().map(|recorded| recorded.event.kind).collect();
        let (first, last) = (kinds.first().copied(), kinds.last().copied());
        if (first, last)
            != (Some(EventType::EvaluationQueued), Some(EventType::EvaluationCompleted))
        {
            return Err(format!("its events are {kinds:?}"));
        }
        Ok(format!("run, stored, and told in {} events", kinds.len()))
    }

    async fn stores_cancelled(&self) -> CheckResult {
        let id = self.submit_past_the_gate("import time; time.sleep(60)")?;
        self.parts.queue.cancel(id).map_err(|error| format!("not cancelled: {error:?}"))?;
        self.end_of(id).await?;
        match self.parts.storage.get(id).and_then(|stored| stored.outcome) {
            Some(Outcome::Cancelled) => Ok("it is stored as cancelled".to_owned()),
            other => Err(format!("it is stored with the outcome {other:?}")),
        }
    }

    async fn run(&self, code: &str) -> Result<Evaluation, String> {
        let id = self.submit_past_the_gate(code)?;
        self.end_of(id).await?;
        self.parts.queue.get(id).ok_or_else(|| "the evaluation is gone".to_owned())
    }

    /// A platform that is not ready must be able to find out that it is again.
    fn submit_past_the_gate(&self, code: &str) -> Result<Uuid, String> {
        let submission = Submission::new(code, self.options.bounds.default);
        let accepted = self.parts.queue.submit(submission, None);
        accepted.map(|one| one.id).map_err(|refused| format!("refused: {refused:?}"))
    }

    async fn end_of(&self, id: Uuid) -> Result<(), String> {
        let finished = self.parts.queue.finished(id).ok_or("the evaluation is gone")?;
        let in_time = tokio::time::timeout(SOON, finished.cancelled()).await;
        in_time.map_err(|_| format!("no end within {} s", SOON.as_secs()))
    }
}
