//! Events: what happens to evaluations and to the platform, while it happens.

use std::fmt;
use std::sync::Arc;

use jiff::Timestamp;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use uuid::Uuid;

/// Defines the event types and both directions of their names, each name once.
macro_rules! event_types {
    ($($(#[$doc:meta])* $variant:ident = $name:literal,)*) => {
        /// The type of an event: the CloudEvents attribute `type`.
        ///
        /// The set is open: a later stage names its own with [`EventType::Other`].
        #[derive(Debug, Clone, PartialEq, Eq, Hash)]
        pub enum EventType {
            $($(#[$doc])* $variant,)*
            /// A type that a later stage has added, by its name.
            Other(Arc<str>),
        }

        impl EventType {
            /// The types that are named here.
            pub const NAMED: &'static [Self] = &[$(Self::$variant,)*];

            /// The name, as in `event:` of the stream and `type` of the envelope.
            pub fn as_str(&self) -> &str {
                match self {
                    $(Self::$variant => $name,)*
                    Self::Other(name) => name,
                }
            }
        }

        impl From<&str> for EventType {
            fn from(name: &str) -> Self {
                match name {
                    $($name => Self::$variant,)*
                    other => Self::Other(other.into()),
                }
            }
        }
    };
}

event_types! {
    /// Accepted, and waiting for a worker.
    EvaluationQueued = "evaluation.queued",
    /// A worker has taken it.
    EvaluationStarted = "evaluation.started",
    /// The program wrote output.
    EvaluationProgress = "evaluation.progress",
    /// The program ended by itself.
    EvaluationCompleted = "evaluation.completed",
    /// A limit or the platform ended it.
    EvaluationFailed = "evaluation.failed",
    /// The client cancelled it.
    EvaluationCancelled = "evaluation.cancelled",
    /// The stage accepts work.
    PlatformReady = "platform.ready",
    /// The stage accepts no more work.
    PlatformShutdown = "platform.shutdown",
    /// Something happened that the sandbox should make impossible.
    SecurityViolation = "security.violation",
    /// A limit ended a program.
    ResourceLimitExceeded = "resource.limit_exceeded",
    /// An evaluation was stored.
    StorageSaved = "storage.saved",
    /// An evaluation was deleted from the store.
    StorageDeleted = "storage.deleted",
    /// A worker started.
    WorkerStarted = "queue.worker_started",
    /// A worker stopped.
    WorkerStopped = "queue.worker_stopped",
}

impl EventType {
    /// True when this event is the last one of its evaluation.
    pub fn is_final(&self) -> bool {
        matches!(
            self,
            Self::EvaluationCompleted | Self::EvaluationFailed | Self::EvaluationCancelled
        )
    }
}

impl fmt::Display for EventType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl Serialize for EventType {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}

impl<'de> Deserialize<'de> for EventType {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Ok(String::deserialize(deserializer)?.as_str().into())
    }
}

/// One thing that happened. A monitor numbers it and puts it into a CloudEvents envelope.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Event {
    /// The type.
    #[serde(rename = "type")]
    pub kind: EventType,
    /// The evaluation it is about, if it is about one.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub subject: Option<Uuid>,
    /// When it happened.
    pub time: Timestamp,
    /// The data of that type.
    pub data: serde_json::Value,
}

impl Event {
    /// An event that happens now, with the data of its type.
    pub fn now(kind: EventType, subject: Option<Uuid>, data: impl Serialize) -> Self {
        // Only a map whose keys are not strings fails; no data of an event has one.
        let data = serde_json::to_value(data).unwrap_or_default();
        Self { kind, subject, time: Timestamp::now(), data }
    }

    /// The data, as the type that belongs to [`Self::kind`].
    ///
    /// # Errors
    ///
    /// When the data has another shape.
    pub fn data_as<T: DeserializeOwned>(&self) -> serde_json::Result<T> {
        T::deserialize(&self.data)
    }
}

/// A receiver of events.
///
/// `emit` is called while the state that changed is locked: that makes the order of events of one
/// evaluation certain. It must neither block nor call back.
pub trait EventSink: Send + Sync {
    /// Takes one event.
    fn emit(&self, event: Event);
}

/// Discards events: for the stages before monitoring, and for tests.
#[derive(Debug, Clone, Copy, Default)]
pub struct NoopSink;

impl EventSink for NoopSink {
    fn emit(&self, _event: Event) {}
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_go_both_ways_and_unknown_ones_are_kept() {
        for kind in EventType::NAMED {
            assert_eq!(&EventType::from(kind.as_str()), kind);
            assert_eq!(serde_json::to_value(kind).unwrap(), kind.as_str());
        }
        let other: EventType = serde_json::from_str("\"sandbox.opened\"").unwrap();
        assert_eq!((other.as_str(), other.is_final()), ("sandbox.opened", false));
    }

    #[test]
    fn data_is_typed() {
        let event = Event::now(EventType::WorkerStarted, None, 3);
        assert_eq!(event.data_as::<u8>().unwrap(), 3);
        assert!(event.data_as::<String>().is_err());
    }
}
