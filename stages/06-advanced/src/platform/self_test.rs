//! The self tests of the platform as a whole: that its components work together.
//!
//! The suite submits programs to a scratch platform of the same kinds of components, on the live
//! engine.

use std::time::Duration;

use shared::component::{CheckResult, SelfTestResult};
use shared::{
    Bounds, BoxFuture, Evaluation, EventType, Outcome, RequestContext, Submission, TestCase,
    TestableComponent,
};
use uuid::Uuid;

use super::Components;
use super::scratch::ScratchComponents;

/// How long a check waits for a short program.
const CHECK_TIMEOUT: Duration = Duration::from_secs(30);

/// Checks the components of a platform against each other.
pub(super) struct PlatformTest {
    pub(super) components: Components,
    pub(super) bounds: Bounds,
}

impl TestableComponent for PlatformTest {
    fn name(&self) -> &'static str {
        "platform"
    }

    fn self_test(&self) -> BoxFuture<'_, SelfTestResult> {
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
    async fn is_consistent(&self) -> SelfTestResult {
        let queue = self.components.queue.queue_stats().await.map_err(text)?;
        let stored = self.components.storage.usage();
        // The depth may be above the capacity: a restart with a smaller one loses nothing.
        if queue.workers_busy > queue.workers {
            return Err(format!("the queue reports more than it can have: {queue:?}").into());
        }
        if stored.entries > stored.max_entries {
            return Err(format!("more is stored than may be: {stored:?}").into());
        }
        Ok(format!("{} evaluations stored, {} waiting", stored.entries, queue.depth))
    }

    async fn leaves_traces(&self) -> CheckResult {
        let scratch = self.components.scratch().await.map_err(text)?;
        let id = self.submit(&scratch, "print(6 * 7)").await?;
        let ended = end_of(&scratch, id).await?;
        let engine = self.components.engine.as_ref().map(|engine| engine.sandbox());
        if ended.stdout.text != "42\n" || ended.sandbox != engine {
            return Err(format!("a program that prints 42 ended as {ended:?}"));
        }
        if stored(&scratch, id).await?.as_ref() != Some(&ended) {
            return Err("what the queue returns is not what the storage has".to_owned());
        }
        let history = scratch.components.monitor.history(id, None).await.map_err(text)?;
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
        let scratch = self.components.scratch().await.map_err(text)?;
        let id = self.submit(&scratch, "import time; time.sleep(60)").await?;
        let context = RequestContext::internal();
        scratch.components.queue.cancel(&context, id).await.map_err(text)?;
        end_of(&scratch, id).await?;
        match stored(&scratch, id).await?.and_then(|stored| stored.outcome) {
            Some(Outcome::Cancelled) => Ok("it is stored as cancelled".to_owned()),
            other => Err(format!("it is stored with the outcome {other:?}")),
        }
    }

    async fn submit(&self, scratch: &ScratchComponents, code: &str) -> Result<Uuid, String> {
        let submission = Submission::new(code, self.bounds.default);
        let context = RequestContext::internal();
        let accepted = scratch.components.queue.submit(&context, submission, None).await;
        accepted.map(|one| one.id).map_err(text)
    }
}

async fn end_of(scratch: &ScratchComponents, id: Uuid) -> Result<Evaluation, String> {
    let context = RequestContext::internal();
    let last = scratch.components.queue.wait(&context, id, CHECK_TIMEOUT).await.map_err(text)?;
    if last.status.is_final() {
        Ok(last)
    } else {
        Err(format!("no end within {} s", CHECK_TIMEOUT.as_secs()))
    }
}

async fn stored(scratch: &ScratchComponents, id: Uuid) -> Result<Option<Evaluation>, String> {
    scratch.components.storage.get(id).await.map_err(text)
}

fn text(error: impl std::error::Error) -> String {
    error.to_string()
}
