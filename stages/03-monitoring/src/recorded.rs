//! One event that a monitor has taken, and the envelope it travels in.
//!
//! The envelope is CloudEvents 1.0 in its JSON format, so a reader that knows nothing of Crucible
//! can still store, route and filter what it gets.

use jiff::Timestamp;
use serde::Serialize;
use serde_json::Value;
use shared::Event;
use uuid::Uuid;

/// One event and the number it was given.
#[derive(Debug, Clone, PartialEq)]
pub struct Recorded {
    /// Rises by one with each event of this monitor, whatever it is about. `id:` of the stream.
    pub number: u64,
    /// What happened.
    pub event: Event,
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
    pub(crate) data: &'a Value,
}

impl Recorded {
    /// The event as one line of CloudEvents JSON. `source` says which stage it comes from.
    ///
    /// Attack: a program prints `\n\nevent: evaluation.completed\ndata: …` to forge an event of the
    /// stream → its output is a JSON string here, where every line break is an escape, so the whole
    /// stays in one `data:` line. Test: `output_cannot_forge_an_event`.
    // ANCHOR: envelope
    pub fn to_json(&self, source: &str) -> String {
        envelope(&Envelope {
            specversion: "1.0",
            id: self.number.to_string(),
            source,
            kind: self.event.kind.as_str(),
            subject: self.event.subject,
            time: self.event.time,
            datacontenttype: "application/json",
            data: &self.event.data,
        })
    }
    // ANCHOR_END: envelope

    /// About how many bytes of memory the event takes.
    pub(crate) fn weight(&self) -> usize {
        size_of::<Self>() + weight(&self.event.data)
    }
}

/// The text of an envelope. It cannot fail: all keys are strings.
pub(crate) fn envelope(envelope: &Envelope<'_>) -> String {
    serde_json::to_string(envelope).unwrap_or_default()
}

/// About how many bytes a value has on the heap. The map keeps an index beside its entries, which
/// is what the 64 bytes stand for; `memory_stays_flat` measures the whole against the process.
fn weight(value: &Value) -> usize {
    match value {
        Value::String(text) => text.capacity(),
        Value::Array(items) => items.iter().map(|item| size_of::<Value>() + weight(item)).sum(),
        Value::Object(entries) => entries
            .iter()
            .map(|(key, value)| 64 + size_of::<Value>() + key.capacity() + weight(value))
            .sum(),
        _ => 0,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;
    use shared::EventType;

    use super::*;

    #[test]
    fn the_envelope_has_the_attributes_of_the_specification() {
        let id = Uuid::now_v7();
        let event = Event::now(EventType::EvaluationQueued, Some(id), json!({ "depth": 1 }));
        let text = Recorded { number: 7, event }.to_json("/stage-03-monitoring");
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
        let text = Recorded { number: 7, event }.to_json("/");
        assert!(!text.contains(['\n', '\r', '\0']), "{text}");
        let value: Value = serde_json::from_str(&text).unwrap();
        assert_eq!(value["data"]["text"], hostile);
    }
}
