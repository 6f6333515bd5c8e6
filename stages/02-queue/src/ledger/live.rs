//! A live evaluation beside its output, which is copied when the table is not locked any more.

use std::sync::Arc;

use shared::{Evaluation, OutputBuffer, Status, Stream};

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
}
