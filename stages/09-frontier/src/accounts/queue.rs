//! The queue as each key sees it: its own evaluations.
//!
//! The layer in front has checked the owner of an id already. This is the second check, at the last
//! place before the evaluations, for routes that the layer does not know.

use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};
use shared::component::CheckResult;
use shared::evaluations::Answer;
use shared::output::OutputListener;
use shared::{
    BoxFuture, Evaluation, Evaluations, EvaluationsError, Page, Query, QueueStats, RequestContext,
    Submission, TestCase, TestableComponent,
};
use stage_06_advanced::Queue;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::keys::Keys;
use super::owners::Owners;
use crate::audit::{AuditLog, Entry, actions, submission_detail};

/// Shows each principal its own evaluations, and an administrator all of them.
pub struct OwnedQueue {
    inner: Arc<dyn Queue>,
    keys: Arc<Keys>,
    owners: Arc<Owners>,
    audit: Arc<AuditLog>,
}

impl OwnedQueue {
    /// The evaluations of `inner`.
    pub fn new(
        inner: Arc<dyn Queue>,
        keys: Arc<Keys>,
        owners: Arc<Owners>,
        audit: Arc<AuditLog>,
    ) -> Arc<Self> {
        Arc::new(Self { inner, keys, owners, audit })
    }

    /// The principal whose evaluations are shown. None shows all: an administrator, or a call that no
    /// client made.
    fn restricted_to<'a>(&self, context: &'a RequestContext) -> Option<&'a str> {
        context.principal.as_deref().filter(|principal| !self.keys.is_admin(principal))
    }

    /// Appends what a client did to the audit log. What the platform does by itself is not in it.
    fn record(&self, context: &RequestContext, action: &str, id: Uuid, detail: &Value) {
        if context.peer.is_some() || context.principal.is_some() {
            self.audit.record_later(Entry::of(context, action, &id.to_string(), detail));
        }
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
        Box::pin(async move {
            let detail = submission_detail(&submission);
            let accepted = self.inner.submit(context, submission, listener).await?;
            self.owners.remember(accepted.id, accepted.owner.as_deref());
            self.record(context, actions::SUBMIT, accepted.id, &detail);
            Ok(accepted)
        })
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
            let cancelled = self.inner.cancel(context, id).await?;
            self.record(context, actions::CANCEL, id, &json!({ "owner": cancelled.owner }));
            Ok(cancelled)
        })
    }

    fn queue_stats(&self) -> Answer<'_, QueueStats> {
        self.inner.queue_stats()
    }

    fn shutdown(&self, now: CancellationToken) -> BoxFuture<'_, ()> {
        self.inner.shutdown(now)
    }
}

impl TestableComponent for OwnedQueue {
    fn name(&self) -> &'static str {
        self.inner.name()
    }

    fn self_test(&self) -> BoxFuture<'_, CheckResult> {
        self.inner.self_test()
    }

    fn test_suite(&self) -> Vec<TestCase<'_>> {
        self.inner.test_suite()
    }
}
