//! An event log in memory, within fixed bounds.
//!
//! Each event goes into two rings: the feed, which has the newest events of everything, and the ring
//! of its evaluation. They are separate, so that an evaluation with many events cannot push the
//! events of others out.
//!
//! Memory has a hard bound. What exceeds it is dropped in this order: the oldest events of an evaluation
//! that has more than its share, then evaluations that have ended, the one that ended first before
//! the others, then the oldest events of the very evaluation that emits. Only one event of each
//! unfinished evaluation is beyond that, and the queue's capacity bounds those.

use std::collections::hash_map::Entry;
use std::collections::{HashMap, VecDeque};
use std::future::ready;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use shared::{BoxFuture, Event, EventType};
use tokio::sync::watch;
use uuid::Uuid;

use super::ring::{Next, Ring};
use super::{EventLog, EventLogError, Filter, History, LogStats, SubscribeError};
use crate::sequenced::{SequencedEvent, StoredEvent};

/// How much is stored. Sizes are of memory and approximate; an event takes about 300 bytes beside the
/// output in it.
#[derive(Debug, Clone, Copy)]
pub struct EventLogLimits {
    /// Events of one evaluation.
    pub evaluation_events: usize,
    /// Bytes of one evaluation. The default holds a program's text that fills both streams.
    pub evaluation_bytes: usize,
    /// Evaluations that have ended. As many as the archive stores: the events of an evaluation that
    /// the archive has removed are of no use.
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

/// The size of the ring of an evaluation without events in bytes, approximately.
const RING_BYTES: usize = 512;

/// Stores the newest events in memory.
pub struct InMemoryEventLog {
    limits: EventLogLimits,
    /// Ties the next number to the rings: an event is numbered and pushed under one lock, so that
    /// each ring is in the order of the numbers.
    state: Mutex<State>,
}

struct State {
    /// The number of the first event.
    start: u64,
    /// The number of the next event.
    next: u64,
    feed: Ring,
    evaluations: HashMap<Uuid, Ring>,
    /// Evaluations that have ended and have a ring, the first to end first.
    ended: VecDeque<Uuid>,
    bytes: usize,
    /// Events that ever went into the ring of an evaluation.
    appended: u64,
    evicted: u64,
    gaps: u64,
}

/// The counters of a log and its rings differ.
#[derive(Debug, thiserror::Error)]
#[error("{what}: recorded are {recorded}, stored are {stored}")]
pub struct LogMismatch {
    /// What was counted.
    pub what: &'static str,
    /// As counted on the way.
    pub recorded: u64,
    /// As counted now.
    pub stored: u64,
}

impl InMemoryEventLog {
    /// An empty log, whose first event gets the number `start`, which must not be 0.
    pub fn new(limits: EventLogLimits, start: u64) -> Self {
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
        Self { limits, state: Mutex::new(state) }
    }

    /// A log with the newest events from before a restart, oldest first and with rising numbers. The
    /// next event gets the number after the last of them, and at least `start`.
    pub fn with_history(
        limits: EventLogLimits,
        start: u64,
        history: impl IntoIterator<Item = SequencedEvent>,
    ) -> Self {
        let mut history = history.into_iter().peekable();
        let first = history.peek().map_or(start, |event| event.sequence);
        let log = Self::new(limits, first);
        for event in history {
            log.store(event);
        }
        {
            let mut state = log.lock();
            state.next = state.next.max(start);
        }
        log
    }

    // ANCHOR: append
    fn store(&self, event: SequencedEvent) {
        let event = Arc::new(event);
        let mut state = self.lock();
        state.push(event, &self.limits);
    }

    fn number_and_store(&self, event: Event) {
        let event = StoredEvent::from(event);
        let mut state = self.lock();
        let sequence = state.next;
        state.push(Arc::new(SequencedEvent { sequence, event }), &self.limits);
    }
    // ANCHOR_END: append

    /// What comes after the event numbered `last`. None when the evaluation is no longer kept.
    fn after(&self, filter: Filter, last: u64) -> Option<Next> {
        let mut state = self.lock();
        let next = state.ring(filter)?.after(last);
        if matches!(next, Next::Gap(_)) {
            state.gaps += 1;
        }
        Some(next)
    }

    /// The position of a reader that resumes after event `after`, and what wakes it.
    fn follow(
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

    fn stored(&self, id: Uuid, after: u64) -> Option<History> {
        let state = self.lock();
        let ring = state.evaluations.get(&id)?;
        let missed = match ring.after(after) {
            Next::Gap(gap) => Some(gap),
            _ => None,
        };
        let events = ring.events().filter(|event| event.sequence > after).cloned().collect();
        Some(History { missed, events })
    }

    fn check(&self) -> Result<LogStats, LogMismatch> {
        let state = self.lock();
        let rings = || state.evaluations.values();
        let compare = |what, recorded: usize, stored: usize| {
            let (recorded, stored) = (recorded as u64, stored as u64);
            if recorded == stored { Ok(()) } else { Err(LogMismatch { what, recorded, stored }) }
        };
        let recorded = state.stats();
        compare("bytes", state.bytes, rings().map(|ring| ring.bytes() + RING_BYTES).sum())?;
        let events = usize::try_from(recorded.events).unwrap_or(usize::MAX);
        compare("events", events, rings().map(Ring::len).sum())?;
        let open = rings().filter(|ring| !ring.is_closed()).count();
        compare("evaluations due for eviction", state.ended.len(), rings().len() - open)?;
        if state.bytes > self.limits.total_bytes && state.ended.len() > 1 {
            compare("bytes above the limit", 0, state.bytes - self.limits.total_bytes)?;
        }
        Ok(recorded)
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl EventLog for InMemoryEventLog {
    /// One short lock and no waiting: no number of readers, however slow, delays it.
    fn append(&self, event: Event) {
        self.number_and_store(event);
    }

    fn read_after(
        &self,
        filter: Filter,
        last: u64,
    ) -> BoxFuture<'_, Result<Option<Next>, EventLogError>> {
        Box::pin(ready(Ok(self.after(filter, last))))
    }

    fn position(
        &self,
        filter: Filter,
        after: Option<u64>,
    ) -> BoxFuture<'_, Result<(u64, watch::Receiver<u64>), SubscribeError>> {
        Box::pin(ready(self.follow(filter, after)))
    }

    fn history(
        &self,
        id: Uuid,
        after: u64,
    ) -> BoxFuture<'_, Result<Option<History>, EventLogError>> {
        Box::pin(ready(Ok(self.stored(id, after))))
    }

    fn scratch(&self) -> BoxFuture<'_, Result<Arc<dyn EventLog>, EventLogError>> {
        let log: Arc<dyn EventLog> = Arc::new(Self::new(self.limits, 1));
        Box::pin(ready(Ok(log)))
    }

    fn stats(&self) -> LogStats {
        self.lock().stats()
    }

    fn check_invariants(&self) -> Result<LogStats, LogMismatch> {
        self.check()
    }
}

impl State {
    /// Adds an event that has its number.
    fn push(&mut self, event: Arc<SequencedEvent>, limits: &EventLogLimits) {
        self.next = event.sequence + 1;
        self.feed.push(Arc::clone(&event));
        while self.feed.len() > limits.feed_events || self.feed.bytes() > limits.feed_bytes {
            if !self.feed.drop_oldest() {
                break;
            }
        }
        if let Some(id) = event.event.subject {
            self.append_to(id, event, limits);
        }
    }

    fn stats(&self) -> LogStats {
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

    fn append_to(&mut self, id: Uuid, event: Arc<SequencedEvent>, limits: &EventLogLimits) {
        let kind = event.event.kind.clone();
        let ring = match self.evaluations.entry(id) {
            Entry::Occupied(entry) => entry.into_mut(),
            Entry::Vacant(entry) if starts_evaluation(&kind) => {
                self.bytes += RING_BYTES;
                entry.insert(Ring::of_evaluation(event.sequence))
            }
            Entry::Vacant(_) => return,
        };
        if ring.is_closed() {
            return;
        }
        let before = ring.bytes();
        ring.push(event);
        self.appended += 1;
        while ring.len() > limits.evaluation_events || ring.bytes() > limits.evaluation_bytes {
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
        self.make_room(id, limits);
    }

    /// Drops what is beyond the bound. `emitter` is the evaluation of the newest event.
    fn make_room(&mut self, emitter: Uuid, limits: &EventLogLimits) {
        while self.bytes > limits.total_bytes || self.ended.len() > limits.ended_evaluations {
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

/// True for the events that the ring of an evaluation may start with. A late event of an evaluation
/// that was evicted would otherwise start a ring that no event ever closes.
fn starts_evaluation(kind: &EventType) -> bool {
    kind.is_final() || matches!(kind, EventType::EvaluationQueued | EventType::EvaluationStarted)
}

#[cfg(test)]
mod tests;
