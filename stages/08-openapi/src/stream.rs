//! Is each event of a stream what the contract says? Looked at as it passes, and held up no longer
//! than until its last line is there.

use std::future::ready;
use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use futures_util::stream::BoxStream;
use futures_util::{FutureExt, StreamExt};
use serde_json::Value;
use sse_stream::{Sse, SseStream};

use crate::counts::Counts;
use crate::operation::Item;
use crate::violation::{Kind, Part, Violation, Violations};

/// Bytes of an event. One that is longer will not end.
const LONGEST: usize = 16 << 20;
/// What an event ends with.
const END: &[u8] = b"\n\n";

/// Looks at the events of one stream.
pub(crate) struct Watch {
    pub(crate) item: Item,
    pub(crate) operation: String,
    pub(crate) counts: Arc<Counts>,
    pub(crate) strict: bool,
    pub(crate) kept: BytesMut,
}

impl Watch {
    /// The same stream, watched. A strict one ends before an event that is wrong: what was sent
    /// already cannot be taken back, and what is wrong is not sent.
    pub(crate) fn over(self, pieces: BoxStream<'static, Bytes>) -> BoxStream<'static, Bytes> {
        let passed = pieces.scan(self, |watch, piece| ready(watch.pass(&piece)));
        passed.filter(|piece| ready(!piece.is_empty())).boxed()
    }

    // ANCHOR: pass
    /// Takes a piece, and gives out the events that are complete with it. None ends the stream.
    fn pass(&mut self, piece: &[u8]) -> Option<Bytes> {
        self.kept.extend_from_slice(piece);
        let mut passed = BytesMut::new();
        while let Some(end) = self.kept.windows(END.len()).position(|bytes| bytes == END) {
            let event = self.kept.split_to(end + END.len());
            let violations = self.check(event.clone().freeze());
            if !violations.is_empty() {
                self.report(&violations);
                if self.strict {
                    return None;
                }
            }
            passed.unsplit(event);
        }
        if self.kept.len() > LONGEST {
            let mut violations = Violations::default();
            violations.add(Violation::of(Part::Body, Kind::Shape, "an event without an end"));
            self.report(&violations);
            return None;
        }
        Some(passed.freeze())
    }
    // ANCHOR_END: pass

    // ANCHOR: check
    fn check(&self, event: Bytes) -> Violations {
        let mut violations = Violations::default();
        let mut broken = |detail| violations.add(Violation::of(Part::Body, Kind::Shape, detail));
        // All of it is there, so that the decoder has no reason to wait.
        let decoded = SseStream::new(http_body_util::Full::new(event)).next().now_or_never();
        let Sse { event, data, id, .. } = match decoded {
            Some(Some(Ok(event))) => event,
            // A comment, which says that the stream is alive.
            Some(None) => return violations,
            _ => {
                broken("not an event");
                return violations;
            }
        };
        let lines = [("event", event), ("id", id), ("data", data)];
        let given = |(name, line): (&str, Option<String>)| Some((name.to_owned(), line?.into()));
        let lines = Value::Object(lines.into_iter().filter_map(given).collect());
        self.item.lines.check(&lines, Part::Body, "", &mut violations);
        match serde_json::from_str::<Value>(lines["data"].as_str().unwrap_or_default()) {
            Ok(data) => {
                self.item.data.check(&data, Part::Body, "/data", &mut violations);
                if data["type"] != lines["event"] {
                    let violation =
                        Violation::of(Part::Body, Kind::Value, "give the type in the data");
                    violations.add(violation.at("event"));
                }
            }
            Err(_) => violations.add(Violation::of(Part::Body, Kind::Shape, "not JSON").at("data")),
        }
        violations
    }
    // ANCHOR_END: check

    fn report(&self, violations: &Violations) {
        self.counts.broken_event(&self.operation);
        for violation in violations.as_slice() {
            tracing::error!(operation = self.operation, %violation, "an event breaks the contract");
        }
    }
}
