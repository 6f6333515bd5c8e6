//! The newest events in memory, and which of them are visible.
//!
//! Numbers are given in the order of the commits; changes become visible in the order in which the
//! ledger publishes them, which may differ between two evaluations. A reader follows the numbers, so
//! that an event is visible when all events with lower numbers are.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use shared::{Event, EventType};
use stage_03_monitoring::{Filter, LogMismatch, LogStats, SequencedEvent};
use tokio::sync::watch;
use uuid::Uuid;

/// Events in memory, and their bytes.
const MAX_EVENTS: usize = 8192;
const MAX_BYTES: usize = 16 << 20;
/// What an event takes beside its data, approximately.
const EVENT_BYTES: usize = 200;

/// What the tail knows about the next event of a reader.
#[derive(Debug)]
pub(super) enum Cached {
    /// This is it.
    Event(Arc<SequencedEvent>),
    /// There is none yet.
    Pending,
    /// The database knows, up to the number `visible`.
    Unknown {
        /// The newest number that is visible.
        visible: u64,
    },
}

pub(super) struct Tail {
    /// Ties `visible` to `cached`, to the committed events above it, and to what readers are woken
    /// with: an event becomes visible and is announced under one lock.
    state: Mutex<State>,
}

struct State {
    /// Committed and not visible, by number, and whether each is published.
    committed: BTreeMap<u64, (Arc<SequencedEvent>, bool)>,
    /// The numbers of those that the ledger publishes, by evaluation.
    unpublished: HashMap<Uuid, VecDeque<u64>>,
    /// Every event up to this number is visible.
    visible: u64,
    /// The visible events above `floor`, oldest first.
    cached: VecDeque<Arc<SequencedEvent>>,
    floor: u64,
    bytes: usize,
    stored: u64,
    newest: watch::Sender<u64>,
    /// For the readers of one evaluation; removed when there is none.
    followers: HashMap<Uuid, watch::Sender<u64>>,
}

impl Tail {
    /// A tail after the number `newest`, with `stored` events in the database.
    pub(super) fn new(newest: u64, stored: u64) -> Self {
        Self {
            state: Mutex::new(State {
                committed: BTreeMap::new(),
                unpublished: HashMap::new(),
                visible: newest,
                cached: VecDeque::new(),
                floor: newest,
                bytes: 0,
                stored,
                newest: watch::Sender::new(newest),
                followers: HashMap::new(),
            }),
        }
    }

    /// Takes events that are on disk, in the order of their numbers. They are visible at once, or with
    /// `is_change` when they are published.
    pub(super) fn committed(&self, events: Vec<SequencedEvent>, is_change: bool) {
        let mut state = self.state();
        for event in events {
            let (number, subject) = (event.sequence, event.event.subject);
            let awaits = subject.filter(|_| is_change);
            if let Some(id) = awaits {
                state.unpublished.entry(id).or_default().push_back(number);
            }
            state.committed.insert(number, (Arc::new(event), awaits.is_none()));
        }
        state.advance();
    }

    // ANCHOR: publish
    /// Publishes an event that is committed: the first of its kind, and what its evaluation has before
    /// it. False when none is, so that it has to be written.
    pub(super) fn publish(&self, event: &Event) -> bool {
        let mut state = self.state();
        let State { committed, unpublished, .. } = &mut *state;
        let Some((id, numbers)) =
            event.subject.and_then(|id| Some((id, unpublished.get_mut(&id)?)))
        else {
            return false;
        };
        let is_same = |number: &u64| {
            committed.get(number).is_some_and(|(one, _)| one.event.kind == event.kind)
        };
        let Some(position) = numbers.iter().position(is_same) else { return false };
        for number in numbers.drain(..=position) {
            if let Some((_, published)) = committed.get_mut(&number) {
                *published = true;
            }
        }
        if numbers.is_empty() {
            unpublished.remove(&id);
        }
        state.advance();
        true
    }
    // ANCHOR_END: publish

    /// What comes after the event numbered `last`.
    pub(super) fn after(&self, filter: Filter, last: u64) -> Cached {
        let state = self.state();
        let unknown = Cached::Unknown { visible: state.visible };
        if last < state.floor {
            return unknown;
        }
        let start = state.cached.partition_point(|event| event.sequence <= last);
        let mut newer = state.cached.range(start..);
        match filter {
            Filter::Everything => {
                newer.next().map_or(Cached::Pending, |event| Cached::Event(Arc::clone(event)))
            }
            // Whether it has ended is in the database.
            Filter::Evaluation(id) => newer
                .find(|event| event.event.subject == Some(id) && !is_of_storage(&event.event.kind))
                .map_or(unknown, |event| Cached::Event(Arc::clone(event))),
        }
    }

    /// The newest number that is visible.
    pub(super) fn visible(&self) -> u64 {
        self.state().visible
    }

    /// The newest number, and a receiver that changes with each event of the filter.
    pub(super) fn watch(&self, filter: Filter) -> (u64, watch::Receiver<u64>) {
        let mut state = self.state();
        let visible = state.visible;
        let receiver = match filter {
            Filter::Everything => state.newest.subscribe(),
            Filter::Evaluation(id) => {
                state.followers.retain(|_, sender| sender.receiver_count() > 0);
                let sender = state.followers.entry(id);
                sender.or_insert_with(|| watch::Sender::new(visible)).subscribe()
            }
        };
        (visible, receiver)
    }

    pub(super) fn stats(&self) -> LogStats {
        let state = self.state();
        LogStats { events: state.stored, bytes: state.bytes, ..LogStats::default() }
    }

    /// Checks that the counters are the real ones, and that no number is missing in between.
    pub(super) fn check(&self) -> Result<(), LogMismatch> {
        let state = self.state();
        let bytes: usize = state.cached.iter().map(|event| size(event)).sum();
        let compare = |what, recorded: usize, stored: usize| {
            let (recorded, stored) = (recorded as u64, stored as u64);
            if recorded == stored { Ok(()) } else { Err(LogMismatch { what, recorded, stored }) }
        };
        compare("bytes of events in memory", state.bytes, bytes)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// Makes the lowest committed events visible, up to the first that is not published.
    fn advance(&mut self) {
        while let Some(first) = self.committed.first_entry().filter(|first| first.get().1) {
            let (number, (event, _)) = first.remove_entry();
            self.visible = number;
            self.stored += 1;
            self.bytes += size(&event);
            self.announce(&event);
            self.cached.push_back(event);
        }
        while self.cached.len() > MAX_EVENTS || self.bytes > MAX_BYTES {
            let Some(oldest) = self.cached.pop_front() else { break };
            self.bytes -= size(&oldest);
            self.floor = oldest.sequence;
        }
    }

    fn announce(&mut self, event: &SequencedEvent) {
        self.newest.send_replace(event.sequence);
        let Some(id) = event.event.subject else { return };
        if let Some(sender) = self.followers.get(&id) {
            sender.send_replace(event.sequence);
            if sender.receiver_count() == 0 || event.event.kind.is_final() {
                // A receiver that is left gets an error instead of a change, and reads the end.
                self.followers.remove(&id);
            }
        }
    }
}

fn is_of_storage(kind: &EventType) -> bool {
    kind.as_str().starts_with("storage.")
}

/// The size of an event in memory in bytes, approximately.
fn size(event: &SequencedEvent) -> usize {
    EVENT_BYTES + event.event.data.get().len()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn event(number: u64, id: Uuid, kind: EventType) -> (SequencedEvent, Event) {
        let event = Event::now(kind, Some(id), json!({}));
        (SequencedEvent { sequence: number, event: event.clone().into() }, event)
    }

    #[test]
    fn an_event_is_visible_when_all_before_it_are() {
        let tail = Tail::new(0, 0);
        let (one, other) = (Uuid::now_v7(), Uuid::now_v7());
        let (first, first_event) = event(1, one, EventType::EvaluationStarted);
        let (second, second_event) = event(2, other, EventType::EvaluationQueued);
        let (third, _) = event(3, one, EventType::EvaluationProgress);
        tail.committed(vec![first, second], true);
        tail.committed(vec![third], false);
        assert!(tail.publish(&second_event));
        assert_eq!(tail.visible(), 0);
        assert!(matches!(tail.after(Filter::Everything, 0), Cached::Pending));
        assert!(tail.publish(&first_event));
        assert_eq!(tail.visible(), 3);
        assert!(!tail.publish(&first_event), "it is published already");
        let Cached::Event(next) = tail.after(Filter::Evaluation(one), 1) else { panic!() };
        assert_eq!(next.sequence, 3);
    }

    #[test]
    fn the_end_of_an_evaluation_publishes_a_start_that_was_overtaken() {
        let (tail, id) = (Tail::new(0, 0), Uuid::now_v7());
        let (started, _) = event(1, id, EventType::EvaluationStarted);
        let (failed, failed_event) = event(2, id, EventType::EvaluationFailed);
        tail.committed(vec![started, failed], true);
        assert!(tail.publish(&failed_event));
        assert_eq!(tail.visible(), 2);
    }

    #[test]
    fn memory_is_bounded_and_what_it_has_lost_is_in_the_database() {
        let (tail, id) = (Tail::new(0, 0), Uuid::now_v7());
        let events = (1..=MAX_EVENTS as u64 + 5)
            .map(|number| event(number, id, EventType::EvaluationProgress).0);
        tail.committed(events.collect(), false);
        tail.check().unwrap();
        assert!(matches!(tail.after(Filter::Everything, 4), Cached::Unknown { .. }));
        assert!(matches!(tail.after(Filter::Everything, 5), Cached::Event(_)));
    }
}
