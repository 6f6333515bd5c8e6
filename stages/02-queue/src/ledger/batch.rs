//! Accepting several submissions at once: all of them or none.

use std::sync::Arc;

use shared::{Evaluation, EvaluationsError, Job, RequestContext, Submission};
use uuid::Uuid;

use super::{Ledger, ReservedSlot, Table, internal, table};
use crate::journal::{Accepted, Change, Transition};

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
            let changes: Vec<_> =
                submissions.iter().map(|one| ledger.acceptance(&context, one)).collect();
            ledger.parts.journal.commit_all(&changes).await.map_err(internal)?;
            let mut accepted = Vec::with_capacity(submissions.len());
            for (change, (id, submission)) in changes.into_iter().zip(submissions) {
                let Transition::Accepted(record) = change.transition else { continue };
                let evaluation = record.evaluation;
                let output = ledger.output(&evaluation, None);
                let mut table = ledger.table();
                table.insert(evaluation.clone(), output);
                ledger.parts.journal.publish(change.events);
                drop(table);
                let job = Job { id, attempt: evaluation.attempt, submission };
                accepted.push((evaluation, job));
            }
            Ok(accepted)
        })
        .await?
    }

    fn acceptance(
        &self,
        context: &RequestContext,
        (id, submission): &(Uuid, Submission),
    ) -> Change {
        let sandbox = self.parts.sandbox.clone();
        let evaluation = Evaluation { id: *id, ..Table::accepted(submission, context, sandbox) };
        let depth = self.table().depth();
        Change {
            events: vec![table::queued_event(&evaluation, depth)],
            transition: Transition::Accepted(Box::new(Accepted {
                evaluation,
                submission: submission.clone(),
                context: context.clone(),
            })),
        }
    }
}
