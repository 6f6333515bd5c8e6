//! The events of an evaluation's changes, and of its output.

use std::sync::Arc;

use shared::evaluation::Encoding;
use shared::output::OutputListener;
use shared::{Evaluation, Event, EventSink, EventType, Status};
use uuid::Uuid;

use crate::event_data::{EndedData, ProgressData, QueuedData, StartedData};

pub(super) fn queued_event(evaluation: &Evaluation, depth: usize) -> Event {
    Event::now(EventType::EvaluationQueued, Some(evaluation.id), QueuedData { depth })
}

pub(super) fn started_event(evaluation: &Evaluation) -> Event {
    let data = StartedData {
        attempt: evaluation.attempt,
        queue_wait_ms: evaluation.timing.queue_wait_ms.unwrap_or(0),
        sandbox: evaluation.sandbox.clone().unwrap_or_default(),
    };
    Event::now(EventType::EvaluationStarted, Some(evaluation.id), data)
}

/// The events of an end: the limit that was exceeded, if one was, and the last event.
pub(super) fn ended_events(evaluation: &Evaluation) -> Vec<Event> {
    let (Some(outcome), Some(evidence)) = (evaluation.outcome, evaluation.evidence.clone()) else {
        return Vec::new();
    };
    let data = EndedData {
        outcome,
        exit_code: evaluation.exit_code,
        signal: evaluation.signal.clone(),
        usage: evaluation.usage,
        evidence,
        error: evaluation.error.clone(),
        engine: evaluation.sandbox.as_ref().map(|one| one.engine.clone()).unwrap_or_default(),
    };
    let last = match evaluation.status {
        Status::Completed => EventType::EvaluationCompleted,
        Status::Cancelled => EventType::EvaluationCancelled,
        _ => EventType::EvaluationFailed,
    };
    let limit = outcome.is_limit().then_some(EventType::ResourceLimitExceeded);
    let kinds = limit.into_iter().chain([last]);
    kinds.map(|kind| Event::now(kind, Some(evaluation.id), &data)).collect()
}

/// Turns captured output into progress events, and passes it on to the listener of the submission.
pub(super) fn progress_listener(
    events: Arc<dyn EventSink>,
    id: Uuid,
    listener: Option<OutputListener>,
) -> OutputListener {
    Box::new(move |stream, offset, bytes| {
        let (text, encoding) = Encoding::encode(bytes);
        let data = ProgressData { stream, offset, text, encoding };
        events.emit(Event::now(EventType::EvaluationProgress, Some(id), data));
        if let Some(listener) = &listener {
            listener(stream, offset, bytes);
        }
    })
}
