//! Checks each event of a stream as it passes. An event is delayed until its last line is there.

use std::future::ready;
use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use futures_util::{FutureExt, StreamExt};
use http_body::Frame;
use http_body_util::{BodyExt, StreamBody};
use serde_json::Value;
use shared::http::Body;
use sse_stream::{Sse, SseStream};

use crate::contract_metrics::ContractMetrics;
use crate::operation::{EventSchemas, Operation};
use crate::violation::{Kind, Part, Violation, Violations};

/// Maximum size of one event.
const MAX_EVENT_BYTES: usize = 16 << 20;
/// The end of an event.
const EVENT_END: &[u8] = b"\n\n";

/// Checks the events of one stream.
pub(crate) struct EventValidator {
    schemas: EventSchemas,
    operation: Arc<Operation>,
    metrics: Arc<ContractMetrics>,
    strict: bool,
    /// The beginning of an event whose end has not arrived.
    buffer: BytesMut,
    /// How much of the buffer has been searched for the end.
    searched: usize,
}

impl EventValidator {
    pub(crate) fn new(
        schemas: EventSchemas,
        operation: Arc<Operation>,
        metrics: Arc<ContractMetrics>,
        strict: bool,
    ) -> Self {
        Self { schemas, operation, metrics, strict, buffer: BytesMut::new(), searched: 0 }
    }

    /// The same stream, checked. A strict one ends before an event that violates the contract: what
    /// was sent cannot be taken back.
    pub(crate) fn wrap(self, body: Body) -> Body {
        let checked = body.into_data_stream().scan(self, |validator, piece| {
            ready(match piece {
                Ok(piece) => validator.feed(&piece).map(Ok),
                Err(error) => Some(Err(error)),
            })
        });
        let frames = checked.filter(|piece| ready(!piece.as_ref().is_ok_and(Bytes::is_empty)));
        Body::new(StreamBody::new(frames.map(|piece| piece.map(Frame::data))))
    }

    // ANCHOR: feed
    /// Takes a piece, and returns the events that are complete with it. None ends the stream.
    fn feed(&mut self, piece: &[u8]) -> Option<Bytes> {
        self.buffer.extend_from_slice(piece);
        let mut passed = BytesMut::new();
        while let Some(end) = self.event_end() {
            let event = self.buffer.split_to(end);
            let violations = self.check(event.clone().freeze());
            if !violations.is_empty() {
                self.report(&violations);
                if self.strict {
                    return None;
                }
            }
            passed.unsplit(event);
        }
        if self.buffer.len() > MAX_EVENT_BYTES {
            let mut violations = Violations::default();
            violations.add(Violation::of(Part::Body, Kind::Shape, "an event without an end"));
            self.report(&violations);
            return None;
        }
        Some(passed.freeze())
    }
    // ANCHOR_END: feed

    /// Where the first event in the buffer ends, if it does. No byte is searched twice, however many
    /// pieces an event arrives in.
    fn event_end(&mut self) -> Option<usize> {
        let mut windows = self.buffer[self.searched..].windows(EVENT_END.len());
        let found = windows.position(|bytes| bytes == EVENT_END);
        let end = found.map(|at| self.searched + at + EVENT_END.len());
        // The last byte may be the first one of an end.
        self.searched = if end.is_some() { 0 } else { self.buffer.len().saturating_sub(1) };
        end
    }

    // ANCHOR: check
    fn check(&self, event: Bytes) -> Violations {
        let mut violations = Violations::default();
        // All of it is there, so that the decoder has no reason to wait.
        let decoded = SseStream::new(http_body_util::Full::new(event)).next().now_or_never();
        let Sse { event, data, id, .. } = match decoded {
            Some(Some(Ok(event))) => event,
            // A comment, which keeps the connection open.
            Some(None) => return violations,
            _ => {
                violations.add(Violation::of(Part::Body, Kind::Shape, "not an event"));
                return violations;
            }
        };
        let fields = [("event", event), ("id", id), ("data", data)];
        let given = |(name, field): (&str, Option<String>)| Some((name.to_owned(), field?.into()));
        let fields = Value::Object(fields.into_iter().filter_map(given).collect());
        self.schemas.fields.check(&fields, Part::Body, "", &mut violations);
        match serde_json::from_str::<Value>(fields["data"].as_str().unwrap_or_default()) {
            Ok(data) => {
                self.schemas.data.check(&data, Part::Body, "/data", &mut violations);
                if data["type"] != fields["event"] {
                    let detail = "give the type in the data";
                    violations.add(Violation::of(Part::Body, Kind::Value, detail).at("event"));
                }
            }
            Err(_) => violations.add(Violation::of(Part::Body, Kind::Shape, "not JSON").at("data")),
        }
        violations
    }
    // ANCHOR_END: check

    fn report(&self, violations: &Violations) {
        let operation = &self.operation.id;
        self.metrics.event_violation(operation);
        for violation in violations.as_slice() {
            tracing::error!(operation, %violation, "an event breaks the contract");
        }
    }
}
