//! A bounded buffer of the newest events: those of one evaluation, or those of everything.
//!
//! A reader that reads after a number gets the next event, the gap of the numbers that were dropped,
//! or learns that no event is there yet. No event is skipped without a gap.

use std::collections::VecDeque;
use std::sync::Arc;

use tokio::sync::watch;

use crate::sequenced::SequencedEvent;

/// Sequence numbers of events that a reader cannot get any more, both ends included. Numbers in the
/// range that belong to other evaluations are no loss for this reader.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize)]
pub struct Gap {
    /// The first.
    pub from: u64,
    /// The last. Reading after this number gives the next stored event.
    pub to: u64,
}

/// A bounded queue of events, oldest first.
#[derive(Debug)]
pub(super) struct Ring {
    events: VecDeque<Arc<SequencedEvent>>,
    bytes: usize,
    /// The number at which this ring began.
    first: u64,
    /// The highest number that was dropped; 0 when none was.
    dropped: u64,
    /// No event can follow: the evaluation has ended.
    closed: bool,
    /// Wakes readers, and has the newest number even after the ring itself is removed. A `watch`
    /// stores one number, so a reader that sleeps costs nothing, however much it misses.
    newest: watch::Sender<u64>,
}

/// What follows the last event that a reader has.
#[derive(Debug)]
pub enum Next {
    /// The next event.
    Event(Arc<SequencedEvent>),
    /// The next events were dropped.
    Gap(Gap),
    /// There is no next event yet.
    Pending,
    /// There will be no next event.
    End,
}

impl Ring {
    /// A ring for one evaluation, whose first event will have the number `first`.
    pub(super) fn of_evaluation(first: u64) -> Self {
        Self::new(first, 0, first - 1)
    }

    /// A ring for everything. Numbers before `start` were given before a restart, and are dropped.
    pub(super) fn of_everything(start: u64) -> Self {
        Self::new(1, start - 1, start - 1)
    }

    fn new(first: u64, dropped: u64, newest: u64) -> Self {
        let newest = watch::Sender::new(newest);
        Self { events: VecDeque::new(), bytes: 0, first, dropped, closed: false, newest }
    }

    /// Adds an event, and wakes the readers that wait for it.
    pub(super) fn push(&mut self, event: Arc<SequencedEvent>) {
        self.bytes += event.approximate_size();
        self.newest.send_replace(event.sequence);
        self.events.push_back(event);
    }

    /// Drops the oldest event. False when only the newest is left: it stays, so that the end of an
    /// evaluation can always be read.
    pub(super) fn drop_oldest(&mut self) -> bool {
        if self.events.len() < 2 {
            return false;
        }
        let Some(oldest) = self.events.pop_front() else { return false };
        self.bytes -= oldest.approximate_size();
        self.dropped = oldest.sequence;
        true
    }

    /// No event follows.
    pub(super) fn close(&mut self) {
        self.closed = true;
    }

    /// What comes after the event numbered `last`.
    // ANCHOR: after
    pub(super) fn after(&self, last: u64) -> Next {
        if last < self.dropped {
            return Next::Gap(Gap { from: self.first.max(last + 1), to: self.dropped });
        }
        let at = self.events.partition_point(|event| event.sequence <= last);
        match self.events.get(at) {
            Some(event) => Next::Event(Arc::clone(event)),
            None if self.closed => Next::End,
            None => Next::Pending,
        }
    }
    // ANCHOR_END: after

    /// The number at which this ring began.
    pub(super) fn first(&self) -> u64 {
        self.first
    }

    /// The stored events, oldest first.
    pub(super) fn events(&self) -> impl Iterator<Item = &Arc<SequencedEvent>> {
        self.events.iter()
    }

    pub(super) fn len(&self) -> usize {
        self.events.len()
    }

    /// The size of the events in bytes, approximately.
    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    pub(super) fn is_closed(&self) -> bool {
        self.closed
    }

    /// A receiver that changes with each new event.
    pub(super) fn watch(&self) -> watch::Receiver<u64> {
        self.newest.subscribe()
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;
    use shared::{Event, EventType};

    use super::*;

    fn event(number: u64) -> Arc<SequencedEvent> {
        let event = Event::now(EventType::EvaluationProgress, None, json!({ "n": number }));
        Arc::new(SequencedEvent { sequence: number, event: event.into() })
    }

    fn ring(numbers: &[u64]) -> Ring {
        let mut ring = Ring::of_evaluation(numbers[0]);
        for number in numbers {
            ring.push(event(*number));
        }
        ring
    }

    fn number(next: Next) -> u64 {
        match next {
            Next::Event(event) => event.sequence,
            other => panic!("expected an event, got {other:?}"),
        }
    }

    fn gap(next: Next) -> Gap {
        match next {
            Next::Gap(gap) => gap,
            other => panic!("expected a gap, got {other:?}"),
        }
    }

    #[test]
    fn a_reader_gets_what_follows_even_where_numbers_are_not_its_own() {
        let ring = ring(&[3, 7, 8]);
        assert_eq!(number(ring.after(0)), 3);
        assert_eq!(number(ring.after(3)), 7);
        assert_eq!(number(ring.after(5)), 7);
        assert_eq!(number(ring.after(7)), 8);
        assert!(matches!(ring.after(8), Next::Pending));
    }

    #[test]
    fn what_was_dropped_is_named_once() {
        let mut ring = ring(&[3, 7, 8, 9]);
        assert!(ring.drop_oldest() && ring.drop_oldest());
        assert_eq!(gap(ring.after(0)), Gap { from: 3, to: 7 });
        assert_eq!(gap(ring.after(3)), Gap { from: 4, to: 7 });
        assert_eq!(number(ring.after(7)), 8);
    }

    #[test]
    fn numbers_from_before_a_restart_are_a_gap() {
        let mut ring = Ring::of_everything(100);
        ring.push(event(100));
        assert_eq!(gap(ring.after(40)), Gap { from: 41, to: 99 });
        assert_eq!(number(ring.after(99)), 100);
    }

    #[test]
    fn the_newest_event_is_never_dropped_and_the_bytes_add_up() {
        let mut ring = ring(&[1, 2]);
        assert!(ring.drop_oldest());
        assert!(!ring.drop_oldest());
        assert_eq!(
            ring.bytes(),
            ring.events().map(|event| event.approximate_size()).sum::<usize>()
        );
    }

    #[test]
    fn a_closed_ring_ends_after_its_last_event() {
        let mut ring = ring(&[1, 2]);
        ring.close();
        assert_eq!(number(ring.after(1)), 2);
        assert!(matches!(ring.after(2), Next::End));
    }
}
