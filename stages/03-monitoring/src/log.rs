//! The bounded history of everything that was emitted: the one truth that all readers read.
//!
//! Each event goes into two rings: the feed, which has the newest events of everything, and the
//! ring of the evaluation that it is about. Apart, so that one chatty evaluation cannot push the
//! others' events out.
//!
//! Memory has a hard bound. What exceeds it goes in this order: the oldest events of an evaluation
//! that has more than its share, then evaluations that have ended, the one that ended first before
//! the others, then the oldest events of the very evaluation that emits. Only one event of each
//! unfinished evaluation is beyond that, and the queue's capacity bounds those.

use std::collections::hash_map::Entry;
use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use shared::{Event, EventType};
use tokio::sync::watch;
use uuid::Uuid;

use crate::recorded::{SequencedEvent, StoredEvent};
use crate::ring::{Next, Ring};
use crate::subscription::{Filter, Gap, SubscribeError};

/// How much is kept. Sizes are of memory and approximate; an event costs about 300 bytes beside the
/// output in it.
#[derive(Debug, Clone, Copy)]
pub struct EventLogLimits {
    /// Events of one evaluation.
    pub evaluation_events: usize,
    /// Bytes of one evaluation. The default holds a program's text that fills both streams.
    pub evaluation_bytes: usize,
    /// Evaluations that have ended. As many as the queue remembers: the events of one that it has
    /// forgotten say nothing to anybody.
    pub ended_evaluations: usize,
    /// Bytes of all evaluations together.
    pub total_bytes: usize,
    /// Events of the feed.
    pub feed_events: usize,
    /// Bytes of the feed.
    pub feed_bytes: usize,
}

impl Default for EventLogLimits {
    fn default() -> Self {
        Self {
            evaluation_events: 4096,
            evaluation_bytes: 4 << 20,
            ended_evaluations: 1000,
            total_bytes: 64 << 20,
            feed_events: 4096,
            feed_bytes: 8 << 20,
        }
    }
}

/// What a log holds, and what it had to let go.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct LogStats {
    /// Evaluations of which events are kept.
    pub evaluations: usize,
    /// Events of evaluations.
    pub events: u64,
    /// About how many bytes those take.
    pub bytes: usize,
    /// Events of evaluations that were let go since the start.
    pub evicted: u64,
    /// How often a reader was told that it missed events.
    pub gaps: u64,
}

/// About how many bytes an evaluation takes beside its events.
const RING_BYTES: usize = 512;

pub(crate) struct EventLog {
    retention: EventLogLimits,
    state: Mutex<State>,
}

struct State {
    /// The number of the first event.
    start: u64,
    /// The number of the next event.
    next: u64,
    feed: Ring,
    evaluations: HashMap<Uuid, Ring>,
    /// Evaluations that have ended and are still kept, the first to end first.
    ended: VecDeque<Uuid>,
    bytes: usize,
    /// Events that ever went into the ring of an evaluation.
    appended: u64,
    evicted: u64,
    gaps: u64,
}

impl EventLog {
    /// An empty log, whose first event will have the number `start`, which must not be 0.
    pub(crate) fn new(retention: EventLogLimits, start: u64) -> Self {
        let state = State {
            start,
            next: start,
            feed: Ring::of_everything(start),
            evaluations: HashMap::new(),
            ended: VecDeque::new(),
            bytes: 0,
            appended: 0,
            evicted: 0,
            gaps: 0,
        };
        Self { retention, state: Mutex::new(state) }
    }

    /// Numbers an event, keeps it, wakes its readers.
    ///
    /// One short lock and no waiting: however many readers there are and however slow they are,
    /// whoever emits is not held up.
    // ANCHOR: append
    pub(crate) fn append(&self, event: Event) {
        let event = StoredEvent::from(event);
        let mut state = self.lock();
        let recorded = Arc::new(SequencedEvent { number: state.next, event });
        state.next += 1;
        state.feed.push(Arc::clone(&recorded));
        while state.feed.len() > self.retention.feed_events
            || state.feed.bytes() > self.retention.feed_bytes
        {
            if !state.feed.drop_oldest() {
                break;
            }
        }
        if let Some(id) = recorded.event.subject {
            state.append_to(id, recorded, &self.retention);
        }
    }
    // ANCHOR_END: append

    /// What comes after the event numbered `last`. None when the evaluation is no longer kept.
    pub(crate) fn after(&self, filter: Filter, last: u64) -> Option<Next> {
        let mut state = self.lock();
        let next = state.ring(filter)?.after(last);
        if matches!(next, Next::Gap(_)) {
            state.gaps += 1;
        }
        Some(next)
    }

    /// Where a reader starts that has the event numbered `after` already, and what wakes it. With 0
    /// it starts at the beginning.
    pub(crate) fn follow(
        &self,
        filter: Filter,
        after: Option<u64>,
    ) -> Result<(u64, watch::Receiver<u64>), SubscribeError> {
        let state = self.lock();
        let ring = state.ring(filter).ok_or(SubscribeError::Unknown)?;
        let newest = state.next - 1;
        let last = match (filter, after) {
            (Filter::Evaluation(_), None | Some(0)) => ring.first() - 1,
            (Filter::Everything, None) => newest,
            (Filter::Everything, Some(0)) => state.start - 1,
            (_, Some(last)) if last > newest => return Err(SubscribeError::FutureId { newest }),
            (_, Some(last)) => last,
        };
        if matches!(ring.after(last), Next::End) {
            return Err(SubscribeError::Ended);
        }
        Ok((last, ring.watch()))
    }

    /// What is kept of an evaluation after the event numbered `after`, and the gap before that.
    pub(crate) fn history(
        &self,
        id: Uuid,
        after: u64,
    ) -> Option<(Option<Gap>, Vec<Arc<SequencedEvent>>)> {
        let state = self.lock();
        let ring = state.evaluations.get(&id)?;
        let gap = match ring.after(after) {
            Next::Gap(gap) => Some(gap),
            _ => None,
        };
        let events = ring.events().filter(|event| event.number > after).cloned().collect();
        Some((gap, events))
    }

    pub(crate) fn held(&self) -> LogStats {
        self.lock().held()
    }

    /// Counts again what is held, and compares it with what was counted on the way.
    pub(crate) fn audit(&self) -> Result<LogStats, String> {
        let state = self.lock();
        let held = state.held();
        let counted: usize = state.evaluations.values().map(|ring| ring.bytes() + RING_BYTES).sum();
        if state.bytes != counted {
            return Err(format!("{} bytes are on the books, {counted} are held", state.bytes));
        }
        let events: usize = state.evaluations.values().map(Ring::len).sum();
        if held.events != events as u64 {
            return Err(format!("{} events are on the books, {events} are held", held.events));
        }
        let open = state.evaluations.values().filter(|ring| !ring.is_closed()).count();
        if open + state.ended.len() != state.evaluations.len() {
            return Err("an evaluation that has ended is not due for eviction".to_owned());
        }
        if state.bytes > self.retention.total_bytes && state.ended.len() > 1 {
            return Err(format!("{} bytes are held, above the bound", state.bytes));
        }
        Ok(held)
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn held(&self) -> LogStats {
        LogStats {
            evaluations: self.evaluations.len(),
            events: self.appended - self.evicted,
            bytes: self.bytes,
            evicted: self.evicted,
            gaps: self.gaps,
        }
    }

    fn ring(&self, filter: Filter) -> Option<&Ring> {
        match filter {
            Filter::Everything => Some(&self.feed),
            Filter::Evaluation(id) => self.evaluations.get(&id),
        }
    }

    fn append_to(&mut self, id: Uuid, recorded: Arc<SequencedEvent>, retention: &EventLogLimits) {
        let kind = recorded.event.kind;
        let ring = match self.evaluations.entry(id) {
            Entry::Occupied(entry) => entry.into_mut(),
            Entry::Vacant(entry) if opens_a_ring(kind) => {
                self.bytes += RING_BYTES;
                entry.insert(Ring::of_evaluation(recorded.number))
            }
            Entry::Vacant(_) => return,
        };
        if ring.is_closed() {
            return;
        }
        let before = ring.bytes();
        ring.push(recorded);
        self.appended += 1;
        while ring.len() > retention.evaluation_events || ring.bytes() > retention.evaluation_bytes
        {
            if !ring.drop_oldest() {
                break;
            }
            self.evicted += 1;
        }
        self.bytes = self.bytes + ring.bytes() - before;
        if kind.is_final() {
            ring.close();
            self.ended.push_back(id);
        }
        self.make_room(id, retention);
    }

    /// Lets go of what is beyond the bound, for the sake of `emitter`.
    fn make_room(&mut self, emitter: Uuid, retention: &EventLogLimits) {
        while self.bytes > retention.total_bytes || self.ended.len() > retention.ended_evaluations {
            if let Some(oldest) = self.ended.pop_front_if(|ended| *ended != emitter)
                && let Some(ring) = self.evaluations.remove(&oldest)
            {
                self.bytes -= ring.bytes() + RING_BYTES;
                self.evicted += ring.len() as u64;
                continue;
            }
            let Some(ring) = self.evaluations.get_mut(&emitter) else { return };
            let before = ring.bytes();
            if !ring.drop_oldest() {
                return;
            }
            self.bytes -= before - ring.bytes();
            self.evicted += 1;
        }
    }
}

/// True for the events that an unknown evaluation may start with. With any other, a straggler of an
/// evaluation that is long evicted would open a ring that nothing ever closes.
fn opens_a_ring(kind: EventType) -> bool {
    kind.is_final() || matches!(kind, EventType::EvaluationQueued | EventType::EvaluationStarted)
}

#[cfg(test)]
#[path = "log_tests.rs"]
mod tests;
