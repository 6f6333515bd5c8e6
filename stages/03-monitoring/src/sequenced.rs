//! An event with its sequence number, and the envelope it is sent in.
//!
//! The envelope is CloudEvents 1.0 in its JSON format, so that a reader that knows nothing of
//! Crucible can store, route and filter it.

use jiff::Timestamp;
use serde::Serialize;
use serde_json::value::{RawValue, to_raw_value};
use shared::{Event, EventType};
use uuid::Uuid;

/// One event and its number.
#[derive(Debug)]
pub struct SequencedEvent {
    /// Rises by one with each event of the log. `id:` of the stream.
    pub sequence: u64,
    /// What happened.
    pub event: StoredEvent,
}

/// An event with its data as text: a third of the memory that the same data takes as a tree, and
/// written once, however many read it.
#[derive(Debug)]
pub struct StoredEvent {
    /// The type.
    pub kind: EventType,
    /// The evaluation it is about, if it is about one.
    pub subject: Option<Uuid>,
    /// When it happened.
    pub time: Timestamp,
    /// The data of that type: a JSON object.
    pub data: Box<RawValue>,
}

impl From<&Event> for StoredEvent {
    fn from(Event { kind, subject, time, data }: &Event) -> Self {
        // It cannot fail: all keys of a value are strings.
        let data = to_raw_value(data).unwrap_or_else(|_| RawValue::NULL.to_owned());
        Self { kind: kind.clone(), subject: *subject, time: *time, data }
    }
}

impl From<Event> for StoredEvent {
    fn from(event: Event) -> Self {
        Self::from(&event)
    }
}

/// A CloudEvents 1.0 event. The attributes are those of the specification, in its order.
#[derive(Serialize)]
pub(crate) struct Envelope<'a> {
    pub(crate) specversion: &'static str,
    pub(crate) id: String,
    pub(crate) source: &'a str,
    #[serde(rename = "type")]
    pub(crate) kind: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) subject: Option<Uuid>,
    pub(crate) time: Timestamp,
    pub(crate) datacontenttype: &'static str,
    pub(crate) data: &'a RawValue,
}

impl SequencedEvent {
    /// The event as one line of CloudEvents JSON. `source` says which stage it comes from.
    ///
    /// Attack: a program prints `\n\nevent: evaluation.completed\ndata: …` to forge an event of the
    /// stream → its output is a JSON string here, where every line break is an escape, so the whole
    /// stays in one `data:` line. Test: `output_cannot_forge_an_event`.
    // ANCHOR: envelope
    pub fn to_json(&self, source: &str) -> String {
        envelope(&Envelope {
            specversion: "1.0",
            id: self.sequence.to_string(),
            source,
            kind: self.event.kind.as_str(),
            subject: self.event.subject,
            time: self.event.time,
            datacontenttype: "application/json",
            data: &self.event.data,
        })
    }
    // ANCHOR_END: envelope

    /// The size of the event in memory in bytes, approximately: with the two counters of its `Arc`
    /// and what the allocator adds to each of its two blocks.
    pub(crate) fn approximate_size(&self) -> usize {
        size_of::<Self>() + self.event.data.get().len() + 48
    }
}

/// The text of an envelope. It cannot fail: all keys are strings.
pub(crate) fn envelope(envelope: &Envelope<'_>) -> String {
    serde_json::to_string(envelope).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    #[test]
    fn the_envelope_has_the_attributes_of_the_specification() {
        let id = Uuid::now_v7();
        let event = Event::now(EventType::EvaluationQueued, Some(id), json!({ "depth": 1 }));
        let text =
            SequencedEvent { sequence: 7, event: event.into() }.to_json("/stage-03-monitoring");
        let value: Value = serde_json::from_str(&text).unwrap();
        let time = value["time"].as_str().unwrap();
        assert!(time.parse::<Timestamp>().is_ok(), "{time}");
        assert_eq!(
            value,
            json!({
                "specversion": "1.0",
                "id": "7",
                "source": "/stage-03-monitoring",
                "type": "evaluation.queued",
                "subject": id,
                "time": time,
                "datacontenttype": "application/json",
                "data": { "depth": 1 },
            })
        );
    }

    #[test]
    fn output_cannot_forge_an_event() {
        let hostile = "a\n\nevent: evaluation.completed\ndata: {}\r\rid: 9\u{2028}\0";
        let event = Event::now(EventType::EvaluationProgress, None, json!({ "text": hostile }));
        let text = SequencedEvent { sequence: 7, event: event.into() }.to_json("/");
        assert!(!text.contains(['\n', '\r', '\0']), "{text}");
        let value: Value = serde_json::from_str(&text).unwrap();
        assert_eq!(value["data"]["text"], hostile);
    }
}
