//! The orderly end of a platform: no new work, time for what runs, and no waiting for ever.

use std::time::Duration;

use serde_json::json;
use shared::{Event, EventType, Evidence, Outcome, Query, Status};
use tokio_util::sync::CancellationToken;

use crate::platform::Platform;

/// How long the queue may take to end what runs once it was told to. An engine has deadlines of its
/// own; this is for one that breaks its word.
const GIVE_UP: Duration = Duration::from_secs(8);

// ANCHOR: shutdown
/// Lets what runs go on until `now` fires, ends it then, and gives up on what does not end.
pub(crate) async fn shutdown(platform: &Platform, now: CancellationToken) {
    platform.health.close();
    let drained = platform.parts.queue.shutdown(now.clone());
    let patience = async {
        now.cancelled().await;
        tokio::time::sleep(GIVE_UP).await;
    };
    tokio::select! {
        () = drained => {}
        () = patience => mark_lost(platform),
    }
    platform.parts.storage.close().await;
}
// ANCHOR_END: shutdown

/// Stores what still runs as lost, and tells whoever follows it.
fn mark_lost(platform: &Platform) {
    let running = Query { status: Some(Status::Running), limit: usize::MAX, ..Query::default() };
    for mut evaluation in platform.parts.queue.list(running).items {
        let id = evaluation.id;
        tracing::error!(%id, "given up: the engine did not end it");
        evaluation.status = Outcome::WorkerLost.status();
        evaluation.outcome = Some(Outcome::WorkerLost);
        evaluation.evidence = Some(Evidence::new("shutdown"));
        evaluation.error = Some("the platform was shut down, and could not end it".to_owned());
        evaluation.timing.finished_at = Some(jiff::Timestamp::now());
        let data = json!({
            "outcome": evaluation.outcome,
            "evidence": evaluation.evidence,
            "error": evaluation.error,
            "engine": evaluation.sandbox.engine,
        });
        let event = Event::now(EventType::EvaluationFailed, Some(id), data);
        platform.parts.monitor.emit(event);
        platform.parts.storage.keep(evaluation);
    }
}
