//! What a server finds that was killed before: evaluations that waited or ran.
//!
//! What waited waits again, in the order in which it was accepted. What ran is `worker_lost`: its
//! program may have done anything. It is run again when its submission allows another attempt, and
//! otherwise it has ended. All of that is one transaction, before the server listens.

use std::collections::HashSet;
use std::slice;
use std::sync::Arc;

use jiff::Timestamp;
use rusqlite::Connection;
use shared::{
    Evaluation, Event, EventType, Evidence, Job, Outcome, SandboxInfo, Status, Submission, Verdict,
};
use stage_02_queue::{EndedData, QueuedData, Resumed};

use crate::event_log::{SqliteEventLog, insert_events};
use crate::files::FileStorage;
use crate::journal::{end, saved};
use crate::rows::{self, Ended};
use crate::store::{Store, StoreError};

/// What was found.
pub(crate) struct Recovered {
    /// What waits, in its order.
    pub(crate) waiting: Vec<Resumed>,
    /// The events of what was lost. They are committed, and become visible when they are emitted.
    pub(crate) events: Vec<Event>,
}

/// Removes files without a reference, as a crash leaves them.
pub(crate) async fn sweep_files(store: &Store, files: &FileStorage) -> Result<(), StoreError> {
    let used = store.read(|db| {
        let mut query = db.prepare("SELECT digest FROM files")?;
        let digests = query.query_map([], |row| row.get(0))?;
        Ok(digests.collect::<Result<HashSet<String>, _>>()?)
    });
    let removed = files.sweep(&used.await?)?;
    if removed > 0 {
        tracing::info!(removed, "files without a reference removed");
    }
    Ok(())
}

// ANCHOR: recover
/// Decides what becomes of everything that had not ended.
pub(crate) async fn recover(
    log: &SqliteEventLog,
    files: &Arc<FileStorage>,
) -> Result<Recovered, StoreError> {
    let (sender, receiver) = tokio::sync::oneshot::channel();
    let files = Arc::clone(files);
    let decide = move |db: &Connection| {
        let mut recovered = Recovered { waiting: Vec::new(), events: Vec::new() };
        let mut numbered = Vec::new();
        for (mut evaluation, submission) in live(db)? {
            let is_lost = evaluation.status == Status::Running;
            if is_lost && evaluation.attempt >= submission.max_attempts {
                let ended = Ended::new(lost(evaluation), &files)?;
                let event = failed_event(ended.evaluation());
                numbered.extend(end(db, &ended, slice::from_ref(&event))?);
                recovered.events.extend([event, saved(ended.evaluation().id)]);
                continue;
            }
            if is_lost {
                rows::write_attempt(db, &lost(evaluation.clone()))?;
                evaluation.attempt += 1;
                requeue(&mut evaluation);
                rows::update_live(db, &evaluation)?;
                let depth = recovered.waiting.len() + 1;
                let data = QueuedData { depth };
                let event = Event::now(EventType::EvaluationQueued, Some(evaluation.id), data);
                numbered.extend(insert_events(db, slice::from_ref(&event))?);
                recovered.events.push(event);
            }
            recovered.waiting.push(Resumed {
                job: Job { id: evaluation.id, attempt: evaluation.attempt, submission },
                owner: evaluation.owner,
                submitted_at: evaluation.timing.submitted_at,
            });
        }
        sender.send(recovered).ok(); // its receiver is below
        Ok(numbered)
    };
    log.commit(decide).await?;
    receiver.await.map_err(|_| StoreError::Closed)
}
// ANCHOR_END: recover

/// Everything that has not ended, in the order in which it was accepted.
fn live(db: &Connection) -> Result<Vec<(Evaluation, Submission)>, StoreError> {
    let mut query = db.prepare(
        "SELECT record, submission FROM evaluations
         JOIN submissions ON submissions.evaluation = evaluations.id
         WHERE outcome IS NULL ORDER BY number",
    )?;
    let rows = query.query_and_then([], |row| {
        let (record, submission): (String, String) = (row.get(0)?, row.get(1)?);
        Ok((serde_json::from_str(&record)?, serde_json::from_str(&submission)?))
    })?;
    rows.collect()
}

/// The evaluation, ended because its worker is gone.
fn lost(evaluation: Evaluation) -> Evaluation {
    let verdict = Verdict::worker_lost("restart", "the server ended while the program ran");
    Evaluation {
        status: verdict.status(),
        outcome: Some(Outcome::WorkerLost),
        timing: shared::evaluation::Timing {
            finished_at: Some(Timestamp::now()),
            ..evaluation.timing
        },
        evidence: Some(verdict.evidence),
        error: verdict.error,
        ..evaluation
    }
}

/// Makes it wait again, with nothing of the attempt before.
fn requeue(evaluation: &mut Evaluation) {
    evaluation.status = Status::Queued;
    evaluation.timing.started_at = None;
    evaluation.timing.queue_wait_ms = None;
}

/// The event of [`lost`].
fn failed_event(ended: &Evaluation) -> Event {
    let data = EndedData {
        outcome: Outcome::WorkerLost,
        exit_code: None,
        signal: None,
        usage: None,
        evidence: ended.evidence.clone().unwrap_or_else(|| Evidence::new("restart")),
        error: ended.error.clone(),
        engine: ended
            .sandbox
            .as_ref()
            .map(|SandboxInfo { engine, .. }| engine.clone())
            .unwrap_or_default(),
    };
    Event::now(EventType::EvaluationFailed, Some(ended.id), data)
}
