//! A reader of Server-Sent Events.

use std::pin::Pin;
use std::time::Duration;

use futures_util::{Stream, StreamExt};
use serde_json::Value;
use sse_stream::{Sse, SseByteStream};

/// How long the next event may take.
const EVENT_TIMEOUT: Duration = Duration::from_secs(30);

/// One event as it was received.
#[derive(Debug, Clone, PartialEq)]
pub struct SseEvent {
    /// The `event:` field, such as `evaluation.started`.
    pub kind: String,
    /// The `id:` field.
    pub sequence: u64,
    /// The `data:` field: a CloudEvents envelope.
    pub envelope: Value,
}

impl SseEvent {
    /// The data in the envelope.
    pub fn data(&self) -> &Value {
        &self.envelope["data"]
    }

    /// True for the last event of an evaluation.
    pub fn is_final(&self) -> bool {
        ["evaluation.completed", "evaluation.failed", "evaluation.cancelled"]
            .contains(&self.kind.as_str())
    }
}

/// An open stream of events.
pub struct EventStream(Pin<Box<dyn Stream<Item = Sse> + Send>>);

impl EventStream {
    /// Reads the body of `response`.
    ///
    /// # Panics
    ///
    /// When it is no stream of events.
    pub fn new(response: reqwest::Response) -> Self {
        assert_eq!(response.status(), 200);
        assert_eq!(response.headers()["content-type"], "text/event-stream");
        let events = SseByteStream::new(response.bytes_stream());
        Self(Box::pin(events.map(|event| event.expect("the stream has the form of events"))))
    }

    /// The next event; None at the end of the stream.
    ///
    /// # Panics
    ///
    /// When it takes too long or does not have the form of an event.
    pub async fn next(&mut self) -> Option<SseEvent> {
        let event = tokio::time::timeout(EVENT_TIMEOUT, self.0.next());
        let event = event.await.expect("the next event, or the end of the stream")?;
        let envelope = event.data.expect("an event has data");
        let envelope: Value = serde_json::from_str(&envelope).expect("the data is JSON");
        let kind = event.event.expect("an event has a type");
        assert_eq!(envelope["type"], kind);
        let sequence = event.id.expect("an event has an id").parse().expect("the id is a number");
        Some(SseEvent { kind, sequence, envelope })
    }

    /// Reads on to the next event of this kind.
    ///
    /// # Panics
    ///
    /// When the stream ends before.
    pub async fn until(&mut self, kind: &str) -> SseEvent {
        loop {
            let event = self.next().await;
            let event = event.unwrap_or_else(|| panic!("no {kind} before the end of the stream"));
            if event.kind == kind {
                return event;
            }
        }
    }

    /// Everything up to the end of the stream.
    pub async fn rest(mut self) -> Vec<SseEvent> {
        let mut events = Vec::new();
        while let Some(event) = self.next().await {
            events.push(event);
        }
        events
    }
}

/// The kinds of `events`, in their order.
pub fn kinds(events: &[SseEvent]) -> Vec<&str> {
    events.iter().map(|event| event.kind.as_str()).collect()
}

/// The output of a program, put together from its `evaluation.progress` events.
pub fn output(events: &[SseEvent]) -> String {
    let progress = events.iter().filter(|event| event.kind == "evaluation.progress");
    progress.map(|event| event.data()["text"].as_str().expect("progress has text")).collect()
}
