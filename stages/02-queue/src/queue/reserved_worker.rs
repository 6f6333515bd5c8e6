//! A worker that is reserved for a submission that is being accepted.

use std::sync::Arc;

use shared::output::OutputListener;
use shared::{Engine, Evaluation, EvaluationsError, Job, RequestContext, Submission};

use super::QueueParts;
use crate::dispatch::Dispatch;

impl QueueParts {
    /// Accepts a submission. Its job comes back unless a worker has it already, which was reserved for it.
    pub(super) async fn accept(
        &self,
        context: &RequestContext,
        submission: Submission,
        listener: Option<OutputListener>,
        retry_after: u64,
    ) -> Result<(Evaluation, Option<Job>), EvaluationsError> {
        let ledger = &self.ledger;
        let Some(worker) = ReservedWorker::of(self, &submission) else {
            let accepted = ledger.accept(context, submission, listener, retry_after).await;
            return accepted.map(|(evaluation, job)| (evaluation, Some(job)));
        };
        let engine = Arc::clone(&worker.engine);
        let sandbox_for = move |job: &Job| engine.sandbox_for(job);
        let accepted =
            ledger.accept_assigned(context, submission, listener, retry_after, sandbox_for).await;
        let (evaluation, job) = accepted?;
        worker.assign(job);
        Ok((evaluation, None))
    }
}

/// Given back when it is dropped without a job: the submission was refused.
struct ReservedWorker {
    dispatch: Arc<dyn Dispatch>,
    engine: Arc<dyn Engine>,
    /// What it is reserved for; none once it has its job.
    submission: Option<Submission>,
}

impl ReservedWorker {
    /// Reserves a worker of this process. None when there is none that could run the submission at once, or
    /// when the journal has nothing to flush, which two commits in one would spare.
    fn of(parts: &QueueParts, submission: &Submission) -> Option<Self> {
        let engine = parts.engine.as_ref().filter(|_| parts.ledger.is_durable())?;
        let (dispatch, engine) = (Arc::clone(&parts.dispatch), Arc::clone(engine));
        let is_reserved = dispatch.reserve(submission);
        is_reserved.then(|| Self { dispatch, engine, submission: Some(submission.clone()) })
    }

    /// Hands the worker its job.
    fn assign(mut self, job: Job) {
        self.submission = None;
        self.dispatch.assign(job);
    }
}

impl Drop for ReservedWorker {
    fn drop(&mut self) {
        if let Some(submission) = &self.submission {
            self.dispatch.release(submission);
        }
    }
}
