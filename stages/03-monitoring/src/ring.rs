//! The newest events of one kind of reader: those of one evaluation, or those of everything.
//!
//! The rule: a reader that asks for what comes after a number gets the next event, or is told which
//! numbers are gone, or learns that nothing is there yet. It never gets a gap without being told.

use std::collections::VecDeque;
use std::sync::Arc;

use tokio::sync::watch;

use crate::recorded::SequencedEvent;
use crate::subscription::Gap;

/// A bounded queue of events, oldest first.
#[derive(Debug)]
pub(crate) struct Ring {
    events: VecDeque<Arc<SequencedEvent>>,
    bytes: usize,
    /// The lowest number that can ever have been here.
    first: u64,
    /// The highest number that cannot be had any more; 0 when all can.
    gone: u64,
    /// No event can follow: the evaluation has ended.
    closed: bool,
    /// Wakes readers, and tells them the newest number even after the ring itself is gone. A
    /// `watch` holds one number, so a reader that sleeps costs nothing, however much it misses.
    newest: watch::Sender<u64>,
}

/// What a reader finds after the number it has.
#[derive(Debug)]
pub(crate) enum Next {
    /// The next event.
    Event(Arc<SequencedEvent>),
    /// The next events are gone.
    Gap(Gap),
    /// There is no next event yet.
    Pending,
    /// There will be no next event.
    End,
}

impl Ring {
    /// A ring for one evaluation, whose first event will have the number `first`.
    pub(crate) fn of_evaluation(first: u64) -> Self {
        Self::new(first, 0, first - 1)
    }

    /// A ring for everything. Numbers before `start` belong to an earlier life of this server, and
    /// cannot be had any more.
    pub(crate) fn of_everything(start: u64) -> Self {
        Self::new(1, start - 1, start - 1)
    }

    fn new(first: u64, gone: u64, newest: u64) -> Self {
        let newest = watch::Sender::new(newest);
        Self { events: VecDeque::new(), bytes: 0, first, gone, closed: false, newest }
    }

    /// Adds an event, and wakes whoever waits for it.
    pub(crate) fn push(&mut self, recorded: Arc<SequencedEvent>) {
        self.bytes += recorded.weight();
        self.newest.send_replace(recorded.number);
        self.events.push_back(recorded);
    }

    /// Takes the oldest event away. False when only the newest is left: that one stays, so that the
    /// end of an evaluation can always be seen.
    pub(crate) fn drop_oldest(&mut self) -> bool {
        if self.events.len() < 2 {
            return false;
        }
        let Some(oldest) = self.events.pop_front() else { return false };
        self.bytes -= oldest.weight();
        self.gone = oldest.number;
        true
    }

    /// Says that no event follows.
    pub(crate) fn close(&mut self) {
        self.closed = true;
    }

    /// What comes after the event numbered `last`.
    // ANCHOR: after
    pub(crate) fn after(&self, last: u64) -> Next {
        if last < self.gone {
            return Next::Gap(Gap { from: self.first.max(last + 1), to: self.gone });
        }
        let at = self.events.partition_point(|event| event.number <= last);
        match self.events.get(at) {
            Some(event) => Next::Event(Arc::clone(event)),
            None if self.closed => Next::End,
            None => Next::Pending,
        }
    }
    // ANCHOR_END: after

    /// The lowest number that can ever have been here.
    pub(crate) fn first(&self) -> u64 {
        self.first
    }

    /// Everything that is kept, oldest first.
    pub(crate) fn events(&self) -> impl Iterator<Item = &Arc<SequencedEvent>> {
        self.events.iter()
    }

    pub(crate) fn len(&self) -> usize {
        self.events.len()
    }

    /// About how many bytes the events take.
    pub(crate) fn bytes(&self) -> usize {
        self.bytes
    }

    pub(crate) fn is_closed(&self) -> bool {
        self.closed
    }

    /// Fires with each new event.
    pub(crate) fn watch(&self) -> watch::Receiver<u64> {
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
        Arc::new(SequencedEvent { number, event: event.into() })
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
            Next::Event(event) => event.number,
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
    fn what_is_gone_is_named_once() {
        let mut ring = ring(&[3, 7, 8, 9]);
        assert!(ring.drop_oldest() && ring.drop_oldest());
        assert_eq!(gap(ring.after(0)), Gap { from: 3, to: 7 });
        assert_eq!(gap(ring.after(3)), Gap { from: 4, to: 7 });
        assert_eq!(number(ring.after(7)), 8);
    }

    #[test]
    fn numbers_of_an_earlier_life_are_gone() {
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
        assert_eq!(ring.bytes(), ring.events().map(|event| event.weight()).sum::<usize>());
    }

    #[test]
    fn a_closed_ring_ends_after_its_last_event() {
        let mut ring = ring(&[1, 2]);
        ring.close();
        assert_eq!(number(ring.after(1)), 2);
        assert!(matches!(ring.after(2), Next::End));
    }
}
