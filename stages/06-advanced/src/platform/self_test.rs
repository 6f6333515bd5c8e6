//! The self tests of the platform as a whole: that its components work together, on the live ones.

use std::time::Duration;

use shared::component::CheckResult;
use shared::{
    Bounds, BoxFuture, Evaluation, EventType, Outcome, RequestContext, Submission, TestCase,
    TestableComponent,
};
use uuid::Uuid;

use super::Components;

/// How long a check waits for a short program, behind the evaluations that wait already.
const CHECK_TIMEOUT: Duration = Duration::from_secs(30);

/// Checks the components of a platform against each other. It submits to the queue directly: a platform
/// that is not ready must be able to find out that it is again.
pub(super) struct PlatformTest {
    pub(super) components: Components,
    pub(super) bounds: Bounds,
}

impl TestableComponent for PlatformTest {
    fn name(&self) -> &'static str {
        "platform"
    }

    fn self_test(&self) -> BoxFuture<'_, CheckResult> {
        Box::pin(self.is_consistent())
    }

    fn test_suite(&self) -> Vec<TestCase<'_>> {
        if self.components.engine.is_none() {
            return Vec::new();
        }
        vec![
            TestCase::new("an evaluation leaves its trace in every part", self.leaves_traces()),
            TestCase::new("a cancelled evaluation is stored as cancelled", self.stores_cancelled()),
        ]
    }
}

impl PlatformTest {
    /// Whether what the components report about themselves is possible.
    async fn is_consistent(&self) -> CheckResult {
        let queue = self.components.queue.queue_stats().await.map_err(text)?;
        let stored = self.components.storage.usage();
        if queue.depth > queue.capacity || queue.workers_busy > queue.workers {
            return Err(format!("the queue reports more than it can have: {queue:?}"));
        }
        if stored.entries > stored.max_entries {
            return Err(format!("more is stored than may be: {stored:?}"));
        }
        Ok(format!("{} evaluations stored, {} waiting", stored.entries, queue.depth))
    }

    async fn leaves_traces(&self) -> CheckResult {
        let id = self.submit("print(6 * 7)").await?;
        let ended = self.end_of(id).await?;
        let engine = self.components.engine.as_ref().map(|engine| engine.sandbox());
        if ended.stdout.text != "42\n" || ended.sandbox != engine {
            return Err(format!("a program that prints 42 ended as {ended:?}"));
        }
        if self.stored(id).await?.as_ref() != Some(&ended) {
            return Err("what the queue returns is not what the storage has".to_owned());
        }
        let history = self.components.monitor.history(id, None).await.map_err(text)?;
        let events = history.ok_or("no event was stored")?.events;
        let kinds: Vec<_> = events.iter().map(|event| event.event.kind.clone()).collect();
        if kinds.first() != Some(&EventType::EvaluationQueued)
            || kinds.last() != Some(&EventType::EvaluationCompleted)
        {
            return Err(format!("its events are {kinds:?}"));
        }
        Ok(format!("run, stored, and followed in {} events", kinds.len()))
    }

    async fn stores_cancelled(&self) -> CheckResult {
        let id = self.submit("import time; time.sleep(60)").await?;
        self.components.queue.cancel(&RequestContext::internal(), id).await.map_err(text)?;
        self.end_of(id).await?;
        match self.stored(id).await?.and_then(|stored| stored.outcome) {
            Some(Outcome::Cancelled) => Ok("it is stored as cancelled".to_owned()),
            other => Err(format!("it is stored with the outcome {other:?}")),
        }
    }

    async fn submit(&self, code: &str) -> Result<Uuid, String> {
        let submission = Submission::new(code, self.bounds.default);
        let context = RequestContext::internal();
        let accepted = self.components.queue.submit(&context, submission, None).await;
        accepted.map(|one| one.id).map_err(text)
    }

    async fn end_of(&self, id: Uuid) -> Result<Evaluation, String> {
        let context = RequestContext::internal();
        let last = self.components.queue.wait(&context, id, CHECK_TIMEOUT).await.map_err(text)?;
        if last.status.is_final() {
            Ok(last)
        } else {
            Err(format!("no end within {} s", CHECK_TIMEOUT.as_secs()))
        }
    }

    async fn stored(&self, id: Uuid) -> Result<Option<Evaluation>, String> {
        self.components.storage.get(id).await.map_err(text)
    }
}

fn text(error: impl std::error::Error) -> String {
    error.to_string()
}
