//! Events that wait for the writer.
//!
//! Attack: a program prints a million single characters → each would be an event, a row and a few
//! hundred bytes in memory. Output of one stream that is still in the buffer is joined, so that a
//! program makes no more events than the disk has flushes. Test: `output_that_waits_is_one_event`.

use std::sync::{Mutex, MutexGuard, PoisonError};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use shared::evaluation::Encoding;
use shared::{Event, EventType};
use stage_02_queue::ProgressData;

/// Bytes of output in one event. More begins another.
const MAX_JOINED_BYTES: usize = 64 << 10;
/// How many of the newest events are looked through for the one to join.
const MAX_SEARCH: usize = 64;

#[derive(Default)]
pub(super) struct Buffer {
    /// Ties the events to the writes that are scheduled: one is while there are events.
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    events: Vec<Event>,
    /// Writes that are scheduled or under way.
    writes: usize,
}

impl Buffer {
    /// Adds an event. True when a write has to be scheduled for it.
    pub(super) fn push(&self, event: Event) -> bool {
        let mut state = self.state();
        let is_first = state.events.is_empty();
        if let Some(event) = state.join(event) {
            state.events.push(event);
        }
        state.writes += usize::from(is_first);
        is_first
    }

    /// Removes everything, for a write.
    pub(super) fn take(&self) -> Vec<Event> {
        std::mem::take(&mut self.state().events)
    }

    /// A write has ended.
    pub(super) fn written(&self) {
        self.state().writes -= 1;
    }

    /// Whether an event is not on disk yet.
    pub(super) fn is_unwritten(&self) -> bool {
        self.state().writes > 0
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// Joins output with the output before it. Returns the event when it has to stay alone.
    fn join(&mut self, event: Event) -> Option<Event> {
        if event.kind != EventType::EvaluationProgress {
            return Some(event);
        }
        let newest = self.events.iter_mut().rev().take(MAX_SEARCH);
        let before = newest.into_iter().find(|before| before.subject == event.subject);
        let joined = before.as_ref().and_then(|before| joined(before, &event));
        match (before, joined) {
            (Some(before), Some(data)) => {
                before.data = data;
                None
            }
            _ => Some(event),
        }
    }
}

/// The data of both events as one, if the second goes on where the first ends.
fn joined(first: &Event, second: &Event) -> Option<serde_json::Value> {
    if first.kind != EventType::EvaluationProgress {
        return None;
    }
    let (first, second): (ProgressData, ProgressData) =
        (first.data_as().ok()?, second.data_as().ok()?);
    if first.stream != second.stream || first.text.len() > MAX_JOINED_BYTES {
        return None;
    }
    let mut bytes = bytes(&first)?;
    if first.offset + bytes.len() as u64 != second.offset {
        return None;
    }
    bytes.extend(self::bytes(&second)?);
    let (text, encoding) = Encoding::encode(&bytes);
    serde_json::to_value(ProgressData { text, encoding, ..first }).ok()
}

fn bytes(data: &ProgressData) -> Option<Vec<u8>> {
    match data.encoding {
        Encoding::Utf8 => Some(data.text.clone().into_bytes()),
        Encoding::Base64 => STANDARD.decode(&data.text).ok(),
    }
}

#[cfg(test)]
mod tests {
    use shared::Stream;
    use uuid::Uuid;

    use super::*;

    fn output(id: Uuid, stream: Stream, offset: u64, bytes: &[u8]) -> Event {
        let (text, encoding) = Encoding::encode(bytes);
        let data = ProgressData { stream, offset, text, encoding };
        Event::now(EventType::EvaluationProgress, Some(id), data)
    }

    #[test]
    fn output_that_waits_is_one_event() {
        let (buffer, id) = (Buffer::default(), Uuid::now_v7());
        let other = Uuid::now_v7();
        assert!(buffer.push(output(id, Stream::Stdout, 0, b"\xc3")));
        assert!(!buffer.push(output(other, Stream::Stdout, 0, b"x")));
        assert!(!buffer.push(output(id, Stream::Stdout, 1, b"\xa9")));
        assert!(!buffer.push(output(id, Stream::Stdout, 9, b"a gap stays one")));
        let events = buffer.take();
        let texts: Vec<_> =
            events.iter().map(|event| event.data["text"].as_str().unwrap()).collect();
        assert_eq!(texts, ["é", "x", "a gap stays one"]);
        assert!(buffer.is_unwritten());
        buffer.written();
        assert!(!buffer.is_unwritten());
    }
}
