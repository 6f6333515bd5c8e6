//! Accepting several submissions at once: all of them or none.

use std::sync::Arc;

use shared::{Evaluation, EvaluationsError, Job, RequestContext, Submission};
use uuid::Uuid;

use super::{Ledger, ReservedSlot, not_committed};

impl Ledger {
    /// Accepts submissions under these ids, which must be new: when this returns, all of them are
    /// committed and visible. On an error none is.
    ///
    /// # Errors
    ///
    /// As [`Ledger::accept`].
    pub async fn accept_all(
        self: &Arc<Self>,
        context: &RequestContext,
        submissions: Vec<(Uuid, Submission)>,
        retry_after: u64,
    ) -> Result<Vec<(Evaluation, Job)>, EvaluationsError> {
        let mut slots = Vec::with_capacity(submissions.len());
        for _ in &submissions {
            self.table().reserve(self.parts.capacity, retry_after)?;
            slots.push(ReservedSlot(Arc::clone(self)));
        }
        let (ledger, context) = (Arc::clone(self), context.clone());
        self.in_task(async move {
            let _slot = slots; // released after the entries are in the table, or at an error
            let acceptance = |(id, submission): (Uuid, Submission)| {
                let (evaluation, change) = ledger.acceptance(id, &submission, &context);
                let job = Job { id, attempt: evaluation.attempt, submission };
                ((evaluation, job), change)
            };
            let (accepted, changes): (Vec<_>, Vec<_>) =
                submissions.into_iter().map(acceptance).unzip();
            ledger.parts.journal.commit_all(&changes).await.map_err(not_committed)?;
            for ((evaluation, _), change) in accepted.iter().zip(changes) {
                let output = ledger.output(evaluation, None);
                let mut table = ledger.table();
                table.insert(evaluation.clone(), output);
                ledger.parts.journal.publish(change.events);
            }
            Ok(accepted)
        })
        .await?
    }
}
