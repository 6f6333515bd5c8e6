//! The queue as each key sees it: its own evaluations.
//!
//! The layer in front has checked the owner of an id already. This is the second check, at the last
//! place before the evaluations, for routes that the layer does not know.

use std::sync::{Arc, OnceLock, Weak};
use std::time::Duration;

use shared::component::{SelfTestError, SelfTestResult};
use shared::evaluations::Answer;
use shared::output::OutputListener;
use shared::{
    BoxFuture, Engine, Evaluation, Evaluations, EvaluationsError, EventSink, Page, Query,
    QueueStats, RequestContext, Submission, TestCase, TestableComponent,
};
use stage_02_queue::{Archive, ScratchQueue};
use stage_06_advanced::Queue;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::intake::Intake;
use super::keys::Keys;
use crate::audit::actions;
use crate::batches::PriorityDispatch;
use crate::sandboxes::Sandboxes;

/// Shows each principal its own evaluations, and an administrator all of them.
pub(super) struct OwnedQueue {
    inner: Arc<dyn Queue>,
    keys: Arc<Keys>,
    intake: Arc<Intake>,
    dispatch: Arc<PriorityDispatch>,
    /// What is closed with the queue, once there is any. It has the platform, which has this.
    sandboxes: Arc<OnceLock<Weak<Sandboxes>>>,
}

impl OwnedQueue {
    /// The evaluations of `inner`, whose jobs are in `dispatch`. Submissions go through `intake`. The `sandboxes` that
    /// stay are closed with it.
    pub(super) fn new(
        inner: Arc<dyn Queue>,
        keys: Arc<Keys>,
        intake: Arc<Intake>,
        dispatch: Arc<PriorityDispatch>,
        sandboxes: Arc<OnceLock<Weak<Sandboxes>>>,
    ) -> Arc<Self> {
        Arc::new(Self { inner, keys, intake, dispatch, sandboxes })
    }

    /// The principal whose evaluations are shown. None shows all: an administrator, or a call that no
    /// client made.
    fn restricted_to<'a>(&self, context: &'a RequestContext) -> Option<&'a str> {
        context.principal.as_deref().filter(|principal| !self.keys.is_admin(principal))
    }

    fn check(
        &self,
        context: &RequestContext,
        evaluation: Evaluation,
    ) -> Result<Evaluation, EvaluationsError> {
        match self.restricted_to(context) {
            Some(principal) if evaluation.owner.as_deref() != Some(principal) => {
                Err(EvaluationsError::NotFound)
            }
            _ => Ok(evaluation),
        }
    }
}

impl Evaluations for OwnedQueue {
    fn submit<'a>(
        &'a self,
        context: &'a RequestContext,
        submission: Submission,
        listener: Option<OutputListener>,
    ) -> Answer<'a, Evaluation> {
        Box::pin(self.intake.submit(context, submission, listener))
    }

    fn get<'a>(&'a self, context: &'a RequestContext, id: Uuid) -> Answer<'a, Evaluation> {
        Box::pin(async move { self.check(context, self.inner.get(context, id).await?) })
    }

    fn wait<'a>(
        &'a self,
        context: &'a RequestContext,
        id: Uuid,
        timeout: Duration,
    ) -> Answer<'a, Evaluation> {
        Box::pin(async move {
            if self.restricted_to(context).is_some() {
                self.get(context, id).await?;
            }
            self.inner.wait(context, id, timeout).await
        })
    }

    fn list<'a>(&'a self, context: &'a RequestContext, query: Query) -> Answer<'a, Page> {
        let owner = self.restricted_to(context).map(str::to_owned).or(query.owner);
        self.inner.list(context, Query { owner, ..query })
    }

    fn cancel<'a>(&'a self, context: &'a RequestContext, id: Uuid) -> Answer<'a, Evaluation> {
        Box::pin(async move {
            if self.restricted_to(context).is_some() {
                self.get(context, id).await?;
            }
            self.intake.record(context, actions::CANCEL, id, &serde_json::json!({})).await?;
            self.inner.cancel(context, id).await
        })
    }

    fn queue_stats(&self) -> Answer<'_, QueueStats> {
        self.inner.queue_stats()
    }

    /// Sandboxes end meanwhile: the database is closed after this.
    fn shutdown(&self, now: CancellationToken) -> BoxFuture<'_, ()> {
        Box::pin(async move {
            let sandboxes = self.sandboxes.get().and_then(Weak::upgrade);
            let closing = async {
                if let Some(sandboxes) = sandboxes {
                    sandboxes.close().await;
                }
            };
            tokio::join!(closing, self.inner.shutdown(now));
        })
    }
}

impl Queue for OwnedQueue {
    fn scratch(
        &self,
        engine: Arc<dyn Engine>,
        events: Arc<dyn EventSink>,
        archive: Arc<dyn Archive>,
    ) -> ScratchQueue {
        self.inner.scratch(engine, events, archive)
    }
}

impl TestableComponent for OwnedQueue {
    fn name(&self) -> &'static str {
        self.inner.name()
    }

    /// A job that waits beside an idle worker is an error, unless its key runs as many as it may.
    fn self_test(&self) -> BoxFuture<'_, SelfTestResult> {
        Box::pin(async {
            let result = self.inner.self_test().await;
            if result.is_err() && self.dispatch.waits_for_its_keys() {
                return Ok("every evaluation that waits is one too many of its key".to_owned());
            }
            if matches!(result, Err(SelfTestError::TimedOut(_))) && self.dispatch.waits_elsewhere()
            {
                return Ok("evaluations wait for workers on other machines".to_owned());
            }
            result
        })
    }

    fn test_suite(&self) -> Vec<TestCase<'_>> {
        self.inner.test_suite()
    }
}
