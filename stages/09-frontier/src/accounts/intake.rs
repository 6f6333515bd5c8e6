//! How a submission is accepted: its options, the quota of its key, its idempotency key, and the
//! audit log.

use std::sync::Arc;

use http::StatusCode;
use jiff::Timestamp;
use serde_json::Value;
use shared::output::OutputListener;
use shared::{Evaluation, Evaluations as _, EvaluationsError, Refusal, RequestContext, Submission};
use stage_02_queue::TaskQueue;
use tracing::Instrument as _;
use uuid::Uuid;

use super::owners::Owners;
use crate::audit::{AuditLog, Entry};
use crate::batches::SubmitOptions;
use crate::idempotency::{Begin, Idempotency, Kind};
use crate::limits::{Quotas, Reservation};

/// Accepts submissions for clients.
pub struct Intake {
    /// Where they go.
    pub tasks: Arc<TaskQueue>,
    /// Who owns what.
    pub owners: Arc<Owners>,
    /// What each key may have.
    pub quotas: Arc<Quotas>,
    /// Which requests were made before.
    pub idempotency: Arc<Idempotency>,
    /// Who did what.
    pub audit: Arc<AuditLog>,
}

impl Intake {
    // ANCHOR: submit
    /// Accepts one submission, or returns what the first request with the same key has made.
    ///
    /// # Errors
    ///
    /// When it is refused, by a quota, by the queue or because of its idempotency key.
    pub async fn submit(
        self: &Arc<Self>,
        context: &RequestContext,
        mut submission: Submission,
        listener: Option<OutputListener>,
    ) -> Result<Evaluation, EvaluationsError> {
        SubmitOptions::requested().store_in(&mut submission, context);
        let Some(key) = &context.idempotency_key else {
            return self.accept(context, submission, listener).await;
        };
        let id = Uuid::now_v7();
        let (owner, plan) = (context.principal.as_deref(), (Kind::Evaluation, id));
        match self.idempotency.begin(owner, key, &submission, plan).await? {
            Begin::Replay(id) => self.replay(context, id).await,
            Begin::New(record) => {
                let (intake, context) = (Arc::clone(self), context.clone());
                // A task of its own: a client that disconnects leaves no record that is pending.
                let task = async move {
                    let accepted = intake.accept_as(&context, vec![(id, submission)]).await;
                    match &accepted {
                        Ok(_) => intake.idempotency.complete(record).await,
                        Err(_) => intake.idempotency.forget(record).await,
                    }
                    accepted
                };
                let accepted = spawn(task).await?;
                accepted.into_iter().next().ok_or(EvaluationsError::NotFound)
            }
        }
    }
    // ANCHOR_END: submit

    async fn replay(
        &self,
        context: &RequestContext,
        id: Uuid,
    ) -> Result<Evaluation, EvaluationsError> {
        match self.tasks.get(context, id).await {
            Err(EvaluationsError::NotFound) => {
                let detail = "the evaluation of this Idempotency-Key is no longer stored";
                Err(Refusal::new(StatusCode::CONFLICT, detail).into())
            }
            found => found,
        }
    }

    async fn accept(
        &self,
        context: &RequestContext,
        submission: Submission,
        listener: Option<OutputListener>,
    ) -> Result<Evaluation, EvaluationsError> {
        let _slot = self.reserve(context, 1)?;
        let accepted = self.tasks.submit(context, submission, listener).await?;
        self.owners.remember(accepted.id, accepted.owner.as_deref());
        Ok(accepted)
    }

    /// Accepts submissions under these ids, all or none.
    ///
    /// # Errors
    ///
    /// When they are refused, by a quota or by the queue.
    pub async fn accept_as(
        &self,
        context: &RequestContext,
        submissions: Vec<(Uuid, Submission)>,
    ) -> Result<Vec<Evaluation>, EvaluationsError> {
        let count = u32::try_from(submissions.len()).unwrap_or(u32::MAX);
        let _slot = self.reserve(context, count)?;
        let accepted = self.tasks.submit_all(context, submissions).await?;
        for evaluation in &accepted {
            self.owners.remember(evaluation.id, evaluation.owner.as_deref());
        }
        Ok(accepted)
    }

    fn reserve(
        &self,
        context: &RequestContext,
        count: u32,
    ) -> Result<Option<Reservation>, Refusal> {
        let owner = context.principal.as_deref();
        let reserved = self.quotas.check_number(owner, count).and_then(|()| {
            let reserved = owner.map(|owner| self.quotas.reserve(owner, count, Timestamp::now()));
            reserved.transpose()
        });
        reserved.inspect_err(|refusal| {
            tracing::info!(reason = %refusal, "submission refused");
        })
    }

    /// Appends what a client is about to do to the audit log: nothing is done without its row.
    ///
    /// # Errors
    ///
    /// When the row was not written.
    pub(crate) async fn record(
        &self,
        context: &RequestContext,
        action: &str,
        id: Uuid,
        detail: &Value,
    ) -> Result<(), EvaluationsError> {
        match Self::entry(context, action, id, detail) {
            Some(entry) => {
                let written = self.audit.record(entry).await;
                written.map_err(|error| EvaluationsError::Internal(error.into()))
            }
            None => Ok(()),
        }
    }

    /// The row about what a client does. What the platform does by itself has none.
    pub(crate) fn entry(
        context: &RequestContext,
        action: &str,
        id: Uuid,
        detail: &Value,
    ) -> Option<Entry> {
        let is_of_client = context.peer.is_some() || context.principal.is_some();
        is_of_client.then(|| Entry::of(context, action, &id.to_string(), detail))
    }
}

/// Runs what must not stop halfway in a task of its own.
pub(crate) async fn spawn<T: Send + 'static>(
    work: impl Future<Output = Result<T, EvaluationsError>> + Send + 'static,
) -> Result<T, EvaluationsError> {
    let task = tokio::spawn(work.in_current_span());
    task.await.map_err(|error| EvaluationsError::Internal(error.into()))?
}
