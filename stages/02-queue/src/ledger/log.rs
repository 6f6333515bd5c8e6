//! The log events of the ledger.

use shared::{Evaluation, Outcome};

/// The log event of the end of an evaluation.
pub(super) fn end(ended: &Evaluation) {
    let (id, attempt) = (ended.id, ended.attempt);
    let outcome = ended.outcome.map_or("", Outcome::as_str);
    let wall_ms = ended.usage.map(|usage| usage.wall_ms);
    match ended.outcome {
        Some(Outcome::Cancelled) => tracing::info!(%id, attempt, wall_ms, "evaluation cancelled"),
        Some(Outcome::WallTimeExceeded | Outcome::CpuTimeExceeded) => {
            tracing::info!(%id, attempt, outcome, wall_ms, "evaluation timed out");
        }
        Some(Outcome::EngineError | Outcome::WorkerLost) => {
            let error = ended.error.as_deref();
            tracing::warn!(%id, attempt, outcome, error, "evaluation failed");
        }
        _ => {
            let exit_code = ended.exit_code;
            tracing::info!(%id, attempt, outcome, exit_code, wall_ms, "evaluation ended");
        }
    }
}
