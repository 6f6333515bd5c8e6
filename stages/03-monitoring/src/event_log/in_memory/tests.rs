//! What the log stores, drops, and reports about it.

use proptest::prelude::*;
use serde_json::json;

use super::*;
use crate::event_log::Gap;

const ROOMY: EventLogLimits = EventLogLimits {
    evaluation_events: 1000,
    evaluation_bytes: 1 << 30,
    ended_evaluations: 100_000,
    total_bytes: 1 << 30,
    feed_events: 1000,
    feed_bytes: 1 << 30,
};

fn log(limits: EventLogLimits) -> InMemoryEventLog {
    InMemoryEventLog::new(limits, 1)
}

fn emit(log: &InMemoryEventLog, kind: EventType, id: Uuid) {
    log.append(Event::now(kind, Some(id), json!({ "text": "x".repeat(100) })));
}

/// A whole evaluation with so many events of progress.
fn evaluation(log: &InMemoryEventLog, progress: usize) -> Uuid {
    let id = Uuid::now_v7();
    emit(log, EventType::EvaluationQueued, id);
    emit(log, EventType::EvaluationStarted, id);
    for _ in 0..progress {
        emit(log, EventType::EvaluationProgress, id);
    }
    emit(log, EventType::EvaluationCompleted, id);
    id
}

/// Reads as a subscription does, until there is nothing more.
fn read(log: &InMemoryEventLog, filter: Filter, last: &mut u64) -> Vec<Result<u64, Gap>> {
    let mut read = Vec::new();
    loop {
        match log.after(filter, *last) {
            Some(Next::Event(event)) => {
                *last = event.sequence;
                read.push(Ok(event.sequence));
            }
            Some(Next::Gap(gap)) => {
                *last = gap.to;
                read.push(Err(gap));
            }
            Some(Next::Pending | Next::End) | None => return read,
        }
    }
}

#[test]
fn each_evaluation_has_its_own_events_in_the_order_of_emission() {
    let log = log(ROOMY);
    let (one, other) = (Uuid::now_v7(), Uuid::now_v7());
    emit(&log, EventType::EvaluationQueued, one);
    emit(&log, EventType::EvaluationQueued, other);
    emit(&log, EventType::EvaluationStarted, other);
    emit(&log, EventType::EvaluationStarted, one);
    assert_eq!(read(&log, Filter::Evaluation(one), &mut 0), [Ok(1), Ok(4)]);
    assert_eq!(read(&log, Filter::Evaluation(other), &mut 0), [Ok(2), Ok(3)]);
    assert_eq!(read(&log, Filter::Everything, &mut 0), [Ok(1), Ok(2), Ok(3), Ok(4)]);
}

#[test]
fn one_evaluation_has_a_limit_of_its_own() {
    let log = log(EventLogLimits { evaluation_events: 10, ..ROOMY });
    let id = evaluation(&log, 100);
    let events = read(&log, Filter::Evaluation(id), &mut 0);
    assert_eq!(events[0], Err(Gap { from: 1, to: 93 }));
    assert_eq!(events[1..], (94..=103).map(Ok).collect::<Vec<_>>());
    assert_eq!(log.stats().evicted, 93);
    assert_eq!(log.stats().gaps, 1);

    let bytes = EventLogLimits { evaluation_bytes: 10_000, ..ROOMY };
    let log = InMemoryEventLog::new(bytes, 1);
    evaluation(&log, 100);
    let stats = log.check().unwrap();
    assert!((5_000..11_000).contains(&stats.bytes), "{stats:?}");
}

#[test]
fn the_evaluation_that_ended_first_goes_first() {
    let log = log(EventLogLimits { total_bytes: 10_000, ..ROOMY });
    let waiting = Uuid::now_v7();
    emit(&log, EventType::EvaluationQueued, waiting);
    let ended: Vec<_> = (0..20).map(|_| evaluation(&log, 2)).collect();
    let stats = log.check().unwrap();
    assert!(stats.bytes <= 10_000, "{stats:?}");
    assert!(stats.evaluations > 2, "{stats:?}");
    let stored = |id: &Uuid| log.stored(*id, 0).is_some();
    assert!(stored(&waiting), "an evaluation that has not ended is never evicted");
    let first_stored = ended.iter().position(stored).unwrap();
    assert_eq!(first_stored, 20 - (stats.evaluations - 1));
    assert!(ended[first_stored..].iter().all(stored));
}

#[test]
fn the_evaluation_that_floods_pays_for_it() {
    let log = log(EventLogLimits { total_bytes: 10_000, ..ROOMY });
    let (quiet, loud) = (Uuid::now_v7(), Uuid::now_v7());
    emit(&log, EventType::EvaluationQueued, quiet);
    emit(&log, EventType::EvaluationQueued, loud);
    for _ in 0..1000 {
        emit(&log, EventType::EvaluationProgress, loud);
    }
    emit(&log, EventType::EvaluationCompleted, loud);
    let stats = log.check().unwrap();
    assert!(stats.bytes <= 10_000, "{stats:?}");
    assert_eq!(read(&log, Filter::Evaluation(quiet), &mut 0), [Ok(1)]);
    let loud = log.stored(loud, 0).unwrap();
    assert!(loud.missed.is_some());
    assert!(loud.events.last().unwrap().event.kind.is_final());
}

#[test]
fn nothing_follows_the_end_and_late_events_start_nothing() {
    let log = log(ROOMY);
    let id = evaluation(&log, 0);
    emit(&log, EventType::EvaluationProgress, id);
    assert_eq!(read(&log, Filter::Evaluation(id), &mut 0), [Ok(1), Ok(2), Ok(3)]);
    for kind in [EventType::EvaluationProgress, EventType::StorageDeleted] {
        emit(&log, kind, Uuid::now_v7());
    }
    assert_eq!(log.check().unwrap().evaluations, 1);
    assert_eq!(read(&log, Filter::Everything, &mut 3), [Ok(4), Ok(5), Ok(6)]);
}

#[test]
fn ten_thousand_evaluations_stay_within_the_limits() {
    let limits = EventLogLimits { total_bytes: 1 << 20, feed_events: 100, ..ROOMY };
    let log = log(limits);
    for _ in 0..10_000 {
        evaluation(&log, 3);
    }
    let stats = log.check().unwrap();
    assert!(stats.bytes <= 1 << 20, "{stats:?}");
    assert_eq!(stats.evicted + stats.events, 60_000);
    assert_eq!(read(&log, Filter::Everything, &mut 59_900).len(), 100);
}

#[test]
fn a_reader_with_a_number_from_before_a_restart_is_told() {
    let log = InMemoryEventLog::new(ROOMY, 5_000);
    emit(&log, EventType::EvaluationQueued, Uuid::now_v7());
    let (mut last, _) = log.follow(Filter::Everything, Some(4_000)).unwrap();
    let gap = Gap { from: 4_001, to: 4_999 };
    assert_eq!(read(&log, Filter::Everything, &mut last), [Err(gap), Ok(5_000)]);
    // A reader from the beginning has missed nothing.
    let (mut last, _) = log.follow(Filter::Everything, Some(0)).unwrap();
    assert_eq!(read(&log, Filter::Everything, &mut last), [Ok(5_000)]);
    let early = log.follow(Filter::Everything, Some(5_001));
    assert!(matches!(early, Err(SubscribeError::FutureId { newest: 5_000 })));
}

#[test]
fn a_log_goes_on_with_the_numbers_and_events_from_before_a_restart() {
    let before = log(ROOMY);
    let id = Uuid::now_v7();
    emit(&before, EventType::EvaluationQueued, Uuid::now_v7());
    emit(&before, EventType::EvaluationQueued, id);
    emit(&before, EventType::EvaluationStarted, id);
    let restored = before.stored(id, 0).unwrap().events.into_iter().map(|event| {
        let Event { kind, subject, time, .. } = Event::now(event.event.kind.clone(), Some(id), ());
        StoredEvent { kind, subject, time, data: event.event.data.clone() }
    });
    let restored = (2..).zip(restored).map(|(sequence, event)| SequencedEvent { sequence, event });
    let log = InMemoryEventLog::with_history(ROOMY, 3, restored);
    emit(&log, EventType::EvaluationCompleted, id);
    assert_eq!(read(&log, Filter::Evaluation(id), &mut 2), [Ok(3), Ok(4)]);
    let gap = Gap { from: 1, to: 1 };
    assert_eq!(read(&log, Filter::Everything, &mut 0), [Err(gap), Ok(2), Ok(3), Ok(4)]);
    let later = InMemoryEventLog::with_history(ROOMY, 100, []);
    emit(&later, EventType::EvaluationQueued, id);
    assert_eq!(read(&later, Filter::Evaluation(id), &mut 0), [Ok(100)]);
}

proptest! {
    /// Whatever is emitted, dropped and read in whatever order: a reader gets each event of its
    /// evaluation once and in order, or as part of one gap.
    #[test]
    fn no_gap_is_silent_and_no_event_comes_twice(
        steps in prop::collection::vec((0..3_usize, prop::bool::weighted(0.2)), 1..200),
        evaluation_events in 1..8_usize,
        total_bytes in 1_000..8_000_usize,
    ) {
        let log = log(EventLogLimits { evaluation_events, total_bytes, ..ROOMY });
        let ids = [Uuid::now_v7(), Uuid::now_v7(), Uuid::now_v7()];
        let mut emitted = Vec::new();
        let mut accounted = Vec::new();
        let mut last = 0;
        for (number, (which, reads)) in (1..).zip(&steps) {
            emit(&log, EventType::EvaluationStarted, ids[*which]);
            if *which == 0 {
                emitted.push(number);
            }
            if *reads {
                accounted.extend(read(&log, Filter::Evaluation(ids[0]), &mut last));
            }
            prop_assert!(log.check().is_ok());
        }
        accounted.extend(read(&log, Filter::Evaluation(ids[0]), &mut last));
        let mut reported = accounted.iter().flat_map(|one| match one {
            Ok(number) => vec![*number],
            Err(gap) => emitted.iter().copied().filter(|number| (gap.from..=gap.to).contains(number)).collect(),
        });
        prop_assert!(emitted.iter().copied().eq(reported.by_ref()), "{accounted:?}");
    }
}
