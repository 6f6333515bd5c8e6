//! Submissions that are accepted together.

use shared::{Evaluation, EvaluationsError, RequestContext, Submission};
use tracing::Instrument as _;
use uuid::Uuid;

use super::TaskQueue;

impl TaskQueue {
    /// Accepts submissions under these new ids, all or none, and dispatches their jobs in this order.
    ///
    /// # Errors
    ///
    /// Refused when there is no room for all of them; internal when they were not committed.
    pub async fn submit_all(
        &self,
        context: &RequestContext,
        submissions: Vec<(Uuid, Submission)>,
    ) -> Result<Vec<Evaluation>, EvaluationsError> {
        let (parts, context) = (self.parts.clone(), context.clone());
        let retry_after = self.slot_interval();
        // A task of its own: a client that disconnects leaves no evaluation that no worker gets.
        let task = async move {
            let accepted = parts.ledger.accept_all(&context, submissions, retry_after).await;
            let accepted = accepted.inspect_err(|refused| {
                tracing::info!(reason = %refused, "submission refused");
            })?;
            let mut evaluations = Vec::with_capacity(accepted.len());
            for (evaluation, job) in accepted {
                let principal = context.principal.as_deref();
                tracing::info!(id = %evaluation.id, principal, "evaluation accepted");
                // One that cannot be dispatched ends as lost; the others go on.
                parts.dispatch_job(job).await.ok();
                evaluations.push(evaluation);
            }
            Ok(evaluations)
        };
        let task = tokio::spawn(task.in_current_span());
        task.await.map_err(|error| EvaluationsError::Internal(error.into()))?
    }
}
