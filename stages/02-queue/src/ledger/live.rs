//! A live evaluation beside its output, which is copied when the table is not locked any more.

use std::sync::Arc;

use jiff::Timestamp;
use shared::evaluation::Timing;
use shared::{Evaluation, OutputBuffer, Status, Stream, Verdict};

/// A live evaluation, without its output.
pub(super) struct Live {
    evaluation: Evaluation,
    output: Arc<OutputBuffer>,
}

impl Live {
    pub(super) fn new(evaluation: Evaluation, output: Arc<OutputBuffer>) -> Self {
        Self { evaluation, output }
    }

    /// The output that it may have at most: none before it runs.
    pub(super) fn max_output_bytes(&self) -> usize {
        let of_both = self.evaluation.limits.output_bytes.saturating_mul(2);
        let bytes = if self.evaluation.status == Status::Queued { 0 } else { of_both };
        usize::try_from(bytes).unwrap_or(usize::MAX)
    }

    /// The evaluation, with its output so far.
    pub(super) fn snapshot(self) -> Evaluation {
        let (stdout, stderr) =
            (self.output.output(Stream::Stdout), self.output.output(Stream::Stderr));
        Evaluation { stdout, stderr, ..self.evaluation }
    }

    /// The evaluation as it ends with this verdict, with its output.
    pub(super) fn ended(self, verdict: Verdict) -> Evaluation {
        let now = self.snapshot();
        Evaluation {
            status: verdict.status(),
            outcome: Some(verdict.outcome),
            timing: Timing { finished_at: Some(Timestamp::now()), ..now.timing },
            exit_code: verdict.exit_code,
            signal: verdict.signal,
            usage: verdict.usage,
            evidence: Some(verdict.evidence),
            error: verdict.error,
            artifacts: verdict.artifacts,
            ..now
        }
    }
}
