//! Events that wait for the writer.
//!
//! Attack: a program prints a million single characters → each would be an event, a row and a few
//! hundred bytes in memory. Output of one stream that is still in the buffer is joined, so that a
//! program makes no more events than the disk has flushes. Test: `output_that_waits_is_one_event`.
//!
//! Attack: it prints on, on both streams in turn, for as long as it may → after [`MAX_FREE_EVENTS`] of one
//! evaluation its output is held, and becomes an event of each stream once in [`HOLD_INTERVAL`], at
//! [`MAX_JOINED_BYTES`], and before the end of the evaluation. Test:
//! `a_program_that_prints_on_makes_few_events`.
//!
//! Events of which the write met a full disk are written once more, before those that came after them. What they
//! take is bounded by the output of what runs, because no work is accepted meanwhile. Test:
//! `what_was_not_written_comes_before_what_came_after`.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use shared::evaluation::Encoding;
use shared::{Event, EventType};
use stage_02_queue::ProgressData;
use tokio::time::Instant;
use uuid::Uuid;

/// Bytes of output in one event. More begins another.
const MAX_JOINED_BYTES: usize = 64 << 10;
/// How many of the newest events are looked through for the one to join.
const MAX_SEARCH: usize = 64;

/// Events with output of one evaluation, before it is held.
const MAX_FREE_EVENTS: usize = 1000;
/// How long output is held at least, unless there is much of it.
const HOLD_INTERVAL: Duration = Duration::from_secs(1);

#[derive(Default)]
pub(super) struct Buffer {
    /// Ties the events to the writes that are scheduled: one is while there are events.
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    events: Vec<Event>,
    /// Whether there is a write that will take them.
    is_scheduled: bool,
    /// What the write that is under way has taken. The writer has one at a time.
    taken: Arc<Vec<Event>>,
    /// Writes that are scheduled or under way.
    writes: usize,
    /// The output of evaluations that have not ended.
    outputs: HashMap<Uuid, OutputEvents>,
}

/// The events with output of one evaluation.
#[derive(Default)]
struct OutputEvents {
    count: usize,
    /// What is held, at most one for each stream.
    held: Vec<Event>,
    /// When output was held first since the last release.
    since: Option<Instant>,
}

impl Buffer {
    /// Adds an event. True when a write has to be scheduled for it.
    pub(super) fn push(&self, event: Event) -> bool {
        let mut state = self.state();
        if let Some(event) = state.join(event) {
            state.add(event);
        }
        state.schedule()
    }

    /// Adds what is held of an evaluation, which is about to end. True when a write has to be scheduled
    /// for it.
    pub(super) fn release(&self, id: Uuid) -> bool {
        let mut state = self.state();
        let held = state.outputs.remove(&id).map(|output| output.held);
        state.events.extend(held.into_iter().flatten());
        state.schedule()
    }

    /// True when a write has to be scheduled for what waits.
    pub(super) fn retry(&self) -> bool {
        self.state().schedule()
    }

    /// Whether output of an evaluation waits, and no write has taken it.
    pub(super) fn has_output(&self, id: Uuid) -> bool {
        let is_of = |event: &Event| {
            event.subject == Some(id) && event.kind == EventType::EvaluationProgress
        };
        self.state().events.iter().any(is_of)
    }

    /// Takes everything, for a write. It is here until the write has ended.
    pub(super) fn take(&self) -> Arc<Vec<Event>> {
        let mut state = self.state();
        state.is_scheduled = false;
        state.taken = Arc::new(std::mem::take(&mut state.events));
        Arc::clone(&state.taken)
    }

    /// A write has ended: with success, or with an error after which another one is of no use.
    pub(super) fn ended(&self) {
        let mut state = self.state();
        state.writes -= 1;
        state.taken = Arc::default();
    }

    /// A write has failed, and another one may not. What it has taken waits again.
    pub(super) fn failed(&self) {
        let mut state = self.state();
        state.writes -= 1;
        let taken = std::mem::take(&mut state.taken);
        if taken.is_empty() {
            state.is_scheduled = false; // it has failed before its turn
        }
        let mut events = Arc::unwrap_or_clone(taken);
        events.append(&mut state.events);
        state.events = events;
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
    /// Whether there are events and no write that will take them. There is one from now on.
    fn schedule(&mut self) -> bool {
        let is_needed = !self.is_scheduled && !self.events.is_empty();
        self.is_scheduled |= is_needed;
        self.writes += usize::from(is_needed);
        is_needed
    }

    /// Adds an event, or holds it.
    fn add(&mut self, event: Event) {
        let subject = event.subject.filter(|_| event.kind == EventType::EvaluationProgress);
        let Some(id) = subject else { return self.events.push(event) };
        let output = self.outputs.entry(id).or_default();
        output.count += 1;
        if output.count <= MAX_FREE_EVENTS {
            return self.events.push(event);
        }
        self.events.extend(output.hold(event));
        let now = Instant::now();
        if now.duration_since(*output.since.get_or_insert(now)) >= HOLD_INTERVAL {
            output.since = None;
            self.events.append(&mut output.held);
        }
    }

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

impl OutputEvents {
    /// Joins an event with the one that is held of its stream. Returns that one if there is too much.
    fn hold(&mut self, event: Event) -> Option<Event> {
        let stream = &event.data["stream"];
        let Some(held) = self.held.iter_mut().find(|held| held.data["stream"] == *stream) else {
            self.held.push(event);
            return None;
        };
        if let Some(data) = joined(held, &event) {
            held.data = data;
            return None;
        }
        Some(std::mem::replace(held, event))
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
        buffer.ended();
        assert!(!buffer.is_unwritten());
    }

    #[test]
    fn what_was_not_written_comes_before_what_came_after() {
        let (buffer, id) = (Buffer::default(), Uuid::now_v7());
        let texts = |events: &[Event]| {
            events.iter().map(|event| event.data["text"].clone()).collect::<Vec<_>>()
        };
        assert!(buffer.push(output(id, Stream::Stdout, 0, b"first")));
        assert_eq!(texts(&buffer.take()), ["first"]);
        assert!(buffer.push(output(id, Stream::Stderr, 0, b"second")));
        buffer.failed();
        assert!(!buffer.push(output(id, Stream::Stdout, 5, b"third")), "one is scheduled");
        assert!(buffer.is_unwritten());
        // The next one does not even get its turn.
        buffer.failed();
        assert!(!buffer.is_unwritten());
        assert!(buffer.retry() && !buffer.retry());
        assert_eq!(texts(&buffer.take()), ["first", "second", "third"]);
        buffer.ended();
        assert!(!buffer.retry() && !buffer.is_unwritten());
        // Without an end of its own: a later event schedules the write.
        assert!(buffer.push(output(id, Stream::Stdout, 10, b"fourth")));
        buffer.failed();
        assert!(buffer.release(id));
        assert_eq!(texts(&buffer.take()), ["fourth"]);
    }

    /// One byte of each stream in turn, each flushed before the next.
    #[tokio::test(start_paused = true)]
    async fn a_program_that_prints_on_makes_few_events() {
        let (buffer, id) = (Buffer::default(), Uuid::now_v7());
        let (mut events, mut written) = (0, [Vec::new(), Vec::new()]);
        let mut flush = |is_scheduled: bool| {
            assert_eq!(is_scheduled, buffer.is_unwritten());
            for event in if is_scheduled { buffer.take() } else { Arc::default() }.iter() {
                let data: ProgressData = event.data_as().unwrap();
                let stream = &mut written[usize::from(data.stream == Stream::Stderr)];
                assert_eq!(data.offset, stream.len() as u64, "in order, without a gap");
                stream.extend(bytes(&data).unwrap());
                events += 1;
            }
            if is_scheduled {
                buffer.ended();
            }
        };
        for offset in 0..10_000 {
            for stream in [Stream::Stdout, Stream::Stderr] {
                flush(buffer.push(output(id, stream, offset, b"x")));
            }
            tokio::time::advance(Duration::from_millis(1)).await;
        }
        flush(buffer.release(id));
        assert!(!buffer.release(id));
        assert_eq!(written.map(|stream| stream.len()), [10_000, 10_000]);
        assert!((1000..1100).contains(&events), "{events}");
        assert!(buffer.state().outputs.is_empty());
    }

    #[tokio::test(start_paused = true)]
    async fn much_output_is_not_held() {
        let (buffer, id) = (Buffer::default(), Uuid::now_v7());
        let chunk = [b'x'; 8 << 10];
        let mut released = 0;
        for number in 0..2000 {
            if buffer.push(output(id, Stream::Stdout, number * (8 << 10), &chunk)) {
                released += buffer.take().len();
                buffer.ended();
            }
        }
        assert!((1090..1130).contains(&released), "{released}");
        let held = &buffer.state().outputs[&id].held;
        assert!(held.len() == 1 && held[0].data["text"].as_str().unwrap().len() < 80 << 10);
    }
}
