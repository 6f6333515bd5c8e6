//! What can be told about a run while it happens.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// The kinds of event. The names are those of the CloudEvents `type` attribute.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum EventType {
    /// Accepted, and waiting for a worker.
    #[serde(rename = "evaluation.queued")]
    EvaluationQueued,
    /// A worker has taken it.
    #[serde(rename = "evaluation.started")]
    EvaluationStarted,
    /// It wrote something. `data` has the stream, the offset, the text and its encoding.
    #[serde(rename = "evaluation.progress")]
    EvaluationProgress,
    /// The program ended by itself.
    #[serde(rename = "evaluation.completed")]
    EvaluationCompleted,
    /// A limit or the platform ended it.
    #[serde(rename = "evaluation.failed")]
    EvaluationFailed,
    /// Somebody cancelled it.
    #[serde(rename = "evaluation.cancelled")]
    EvaluationCancelled,
    /// The stage accepts work.
    #[serde(rename = "platform.ready")]
    PlatformReady,
    /// The stage accepts no more work.
    #[serde(rename = "platform.shutdown")]
    PlatformShutdown,
    /// Something happened that the sandbox promises cannot happen.
    #[serde(rename = "security.violation")]
    SecurityViolation,
    /// A limit ended a program. `data` has the outcome and its evidence.
    #[serde(rename = "resource.limit_exceeded")]
    ResourceLimitExceeded,
    /// An evaluation was stored.
    #[serde(rename = "storage.saved")]
    StorageSaved,
    /// An evaluation was deleted from the store.
    #[serde(rename = "storage.deleted")]
    StorageDeleted,
    /// A worker is up.
    #[serde(rename = "queue.worker_started")]
    WorkerStarted,
    /// A worker is gone.
    #[serde(rename = "queue.worker_stopped")]
    WorkerStopped,
}

impl EventType {
    /// The name, as in `event:` of the stream and `type` of the envelope.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::EvaluationQueued => "evaluation.queued",
            Self::EvaluationStarted => "evaluation.started",
            Self::EvaluationProgress => "evaluation.progress",
            Self::EvaluationCompleted => "evaluation.completed",
            Self::EvaluationFailed => "evaluation.failed",
            Self::EvaluationCancelled => "evaluation.cancelled",
            Self::PlatformReady => "platform.ready",
            Self::PlatformShutdown => "platform.shutdown",
            Self::SecurityViolation => "security.violation",
            Self::ResourceLimitExceeded => "resource.limit_exceeded",
            Self::StorageSaved => "storage.saved",
            Self::StorageDeleted => "storage.deleted",
            Self::WorkerStarted => "queue.worker_started",
            Self::WorkerStopped => "queue.worker_stopped",
        }
    }

    /// True when this event is the last one of its evaluation.
    pub fn is_final(self) -> bool {
        matches!(
            self,
            Self::EvaluationCompleted | Self::EvaluationFailed | Self::EvaluationCancelled
        )
    }
}

/// One thing that happened. A monitor numbers it and wraps it into a CloudEvents envelope.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Event {
    /// What kind of thing.
    #[serde(rename = "type")]
    pub kind: EventType,
    /// The evaluation it is about, if it is about one.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub subject: Option<Uuid>,
    /// When it happened.
    pub time: Timestamp,
    /// The rest, by kind.
    pub data: serde_json::Value,
}

impl Event {
    /// An event that happens now.
    pub fn now(kind: EventType, subject: Option<Uuid>, data: serde_json::Value) -> Self {
        Self { kind, subject, time: Timestamp::now(), data }
    }
}

/// Somebody who is told of events.
///
/// `emit` is called while the state that changed is still locked: that is what makes the order of
/// events of one evaluation certain, however fast it runs. It must neither block nor call back.
pub trait EventSink: Send + Sync {
    /// Takes one event.
    fn emit(&self, event: Event);
}

/// Nobody listens: what the stages before monitoring use.
impl EventSink for () {
    fn emit(&self, _event: Event) {}
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_spellings_of_a_name_are_one() {
        for kind in [
            EventType::EvaluationQueued,
            EventType::EvaluationStarted,
            EventType::EvaluationProgress,
            EventType::EvaluationCompleted,
            EventType::EvaluationFailed,
            EventType::EvaluationCancelled,
            EventType::PlatformReady,
            EventType::PlatformShutdown,
            EventType::SecurityViolation,
            EventType::ResourceLimitExceeded,
            EventType::StorageSaved,
            EventType::StorageDeleted,
            EventType::WorkerStarted,
            EventType::WorkerStopped,
        ] {
            assert_eq!(serde_json::to_value(kind).unwrap(), kind.as_str());
        }
    }
}
