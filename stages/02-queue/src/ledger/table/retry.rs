//! What the table decides and applies for an evaluation whose worker is lost.

use std::sync::Arc;
use std::time::Instant;

use shared::{Evaluation, OutputBuffer, Status, Verdict};
use uuid::Uuid;

use super::{Phase, Table};
use crate::journal::Retried;

impl Table {
    /// Reserves the change of a running evaluation into one that waits for its next attempt. None
    /// when it has ended, or was cancelled and must not run again.
    pub(in crate::ledger) fn decide_retry(
        &mut self,
        id: Uuid,
        verdict: Verdict,
    ) -> Option<Retried> {
        let entry = self.entries.get_mut(&id).filter(|entry| entry.phase == Phase::Running)?;
        if entry.cancel.is_cancelled() {
            return None;
        }
        // Nothing else can change it until the journal has committed this.
        entry.phase = Phase::Ending;
        entry.output.close();
        let mut waiting = entry.evaluation.clone();
        waiting.status = Status::Queued;
        waiting.attempt += 1;
        waiting.timing.started_at = None;
        waiting.timing.queue_wait_ms = None;
        Some(Retried { lost: entry.live().ended(verdict), waiting })
    }

    /// Applies a retry that was committed. True when a cancellation was requested meanwhile.
    pub(in crate::ledger) fn apply_retry(
        &mut self,
        waiting: Evaluation,
        output: Arc<OutputBuffer>,
    ) -> bool {
        let Some(entry) = self.entries.get_mut(&waiting.id) else { return false };
        entry.evaluation = waiting;
        entry.output = output;
        entry.accepted = Instant::now();
        (entry.phase, entry.has_worker) = (Phase::Queued, false);
        self.running -= 1;
        self.queued += 1;
        entry.cancel.is_cancelled()
    }
}
