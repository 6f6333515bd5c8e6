//! Readers that race with what they read, stall, come back, and go.

use std::time::{Duration, Instant};

use serde_json::json;
use shared::{Event, EventSink, EventType};
use tokio::time::timeout;

use uuid::Uuid;

use super::*;
use crate::event_log::EventLogLimits;
use crate::in_memory::{InMemoryMonitor, MonitorOptions};
use crate::service::MonitoringService;

const READ_TIMEOUT: Duration = Duration::from_secs(20);

fn monitor(log_limits: EventLogLimits, max_streams: usize) -> Arc<InMemoryMonitor> {
    Arc::new(InMemoryMonitor::new(MonitorOptions { log_limits, max_streams }))
}

fn emit(monitor: &InMemoryMonitor, kind: EventType, id: Uuid, n: usize) {
    monitor.emit(Event::now(kind, Some(id), json!({ "n": n })));
}

/// The `n` that was emitted.
fn n(event: &SequencedEvent) -> u64 {
    let data: serde_json::Value = serde_json::from_str(event.event.data.get()).unwrap();
    data["n"].as_u64().unwrap()
}

/// Reads to the end: the `n` of each event, or the gap.
async fn drain(mut stream: Subscription) -> Vec<Result<u64, Gap>> {
    let mut read = Vec::new();
    while let Some(delivery) =
        timeout(READ_TIMEOUT, stream.next()).await.expect("the stream hangs").unwrap()
    {
        read.push(match delivery {
            Delivery::Event(event) => Ok(n(&event)),
            Delivery::Missed(gap) => Err(gap),
        });
    }
    read
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn readers_that_race_with_the_events_get_each_of_them_once() {
    const EVENTS: usize = 500;
    let monitor = monitor(EventLogLimits::default(), 256);
    let ids: Vec<_> = (0..20).map(|_| Uuid::now_v7()).collect();
    let mut readers = Vec::new();
    for id in &ids {
        emit(&monitor, EventType::EvaluationQueued, *id, 0);
        for _ in 0..5 {
            let stream = monitor.subscribe(Filter::Evaluation(*id), None).await.unwrap();
            readers.push(tokio::spawn(drain(stream)));
        }
    }
    let emitters = ids.into_iter().map(|id| {
        let monitor = Arc::clone(&monitor);
        std::thread::spawn(move || {
            for n in 1..EVENTS {
                emit(&monitor, EventType::EvaluationProgress, id, n);
            }
            emit(&monitor, EventType::EvaluationCompleted, id, EVENTS);
        })
    });
    for emitter in emitters.collect::<Vec<_>>() {
        emitter.join().unwrap();
    }
    let expected: Vec<_> = (0..=EVENTS as u64).map(Ok).collect();
    for reader in readers {
        assert_eq!(reader.await.unwrap(), expected);
    }
}

/// The last event may come at any moment while its reader goes to sleep, and nothing follows that
/// could wake the reader a second time.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_reader_sleeps_through_the_last_event() {
    let monitor = monitor(EventLogLimits::default(), 256);
    let (sender, ids) = std::sync::mpsc::channel::<(Uuid, u32)>();
    let emitter = {
        let monitor = Arc::clone(&monitor);
        std::thread::spawn(move || {
            for (id, moment) in ids {
                (0..moment).for_each(|_| std::hint::spin_loop());
                emit(&monitor, EventType::EvaluationCompleted, id, 1);
            }
        })
    };
    for round in 0..30_000 {
        let id = Uuid::now_v7();
        emit(&monitor, EventType::EvaluationQueued, id, 0);
        let stream = monitor.subscribe(Filter::Evaluation(id), None).await.unwrap();
        sender.send((id, round % 100)).unwrap();
        assert_eq!(drain(stream).await, [Ok(0), Ok(1)]);
    }
    drop(sender);
    emitter.join().unwrap();
}

#[tokio::test]
async fn a_reader_that_stalls_delays_no_event_and_gets_a_gap() {
    let log_limits = EventLogLimits { evaluation_events: 100, ..EventLogLimits::default() };
    let (monitor, id) = (monitor(log_limits, 256), Uuid::now_v7());
    emit(&monitor, EventType::EvaluationQueued, id, 0);
    let mut stalled = monitor.subscribe(Filter::Evaluation(id), None).await.unwrap();
    assert!(matches!(stalled.next().await, Ok(Some(Delivery::Event(_)))));
    let started = Instant::now();
    for n in 1..10_000 {
        emit(&monitor, EventType::EvaluationProgress, id, n);
    }
    emit(&monitor, EventType::EvaluationCompleted, id, 10_000);
    // The whole flood, on a machine under load; a single wait for the reader would never end.
    assert!(started.elapsed() < Duration::from_mins(1), "{:?}", started.elapsed());
    assert_eq!(monitor.stats().events, 100);
    let read = drain(stalled).await;
    let Err(gap) = read[0] else { panic!("the first delivery is the gap: {read:?}") };
    assert_eq!(gap.to - gap.from + 1, 9_900);
    assert_eq!(read[1..], (9_901..=10_000).map(Ok).collect::<Vec<_>>());
}

#[tokio::test]
async fn a_reader_of_an_evicted_evaluation_gets_a_gap_and_the_end() {
    let log_limits = EventLogLimits { total_bytes: 5_000, ..EventLogLimits::default() };
    let (monitor, id) = (monitor(log_limits, 256), Uuid::now_v7());
    emit(&monitor, EventType::EvaluationQueued, id, 0);
    let asleep = monitor.subscribe(Filter::Evaluation(id), None).await.unwrap();
    emit(&monitor, EventType::EvaluationCancelled, id, 1);
    let stored = monitor.history(id, None).await.unwrap().unwrap().events;
    for _ in 0..100 {
        let other = Uuid::now_v7();
        emit(&monitor, EventType::EvaluationQueued, other, 0);
        emit(&monitor, EventType::EvaluationCancelled, other, 1);
    }
    assert!(monitor.history(id, None).await.unwrap().is_none());
    let gap = Gap { from: stored[0].sequence, to: stored[1].sequence };
    assert_eq!(drain(asleep).await, [Err(gap)]);
    let late = monitor.subscribe(Filter::Evaluation(id), None).await.err();
    assert!(matches!(late, Some(SubscribeError::Unknown)));
}

#[tokio::test]
async fn a_reader_comes_back_where_it_was() {
    let (monitor, id) = (monitor(EventLogLimits::default(), 256), Uuid::now_v7());
    emit(&monitor, EventType::EvaluationQueued, id, 0);
    for n in 1..10 {
        // Events of others in between must not matter.
        emit(&monitor, EventType::EvaluationQueued, Uuid::now_v7(), n);
        emit(&monitor, EventType::EvaluationProgress, id, n);
    }
    emit(&monitor, EventType::EvaluationFailed, id, 10);
    let events = monitor.history(id, None).await.unwrap().unwrap().events;
    for (at, event) in events.iter().enumerate().take(10) {
        let stream = monitor.subscribe(Filter::Evaluation(id), Some(event.sequence)).await.unwrap();
        let rest: Vec<_> = (at as u64 + 1..=10).map(Ok).collect();
        assert_eq!(drain(stream).await, rest);
        let history = monitor.history(id, Some(event.sequence)).await.unwrap().unwrap();
        assert!(
            history
                .events
                .iter()
                .map(|event| event.sequence)
                .eq(events[at + 1..].iter().map(|event| event.sequence))
        );
    }
    let last = events.last().unwrap().sequence;
    let again = monitor.subscribe(Filter::Evaluation(id), Some(last)).await.err();
    assert!(matches!(again, Some(SubscribeError::Ended)));
}

#[tokio::test]
async fn everything_is_followed_from_now_on_or_from_the_beginning() {
    let monitor = monitor(EventLogLimits::default(), 256);
    emit(&monitor, EventType::EvaluationQueued, Uuid::now_v7(), 1);
    let mut now = monitor.subscribe(Filter::Everything, None).await.unwrap();
    let mut beginning = monitor.subscribe(Filter::Everything, Some(0)).await.unwrap();
    emit(&monitor, EventType::EvaluationCompleted, Uuid::now_v7(), 2);
    let next = async |stream: &mut Subscription| match timeout(READ_TIMEOUT, stream.next()).await {
        Ok(Ok(Some(Delivery::Event(event)))) => Some(n(&event)),
        other => panic!("expected an event, got {other:?}"),
    };
    assert_eq!(next(&mut now).await, Some(2));
    assert_eq!(next(&mut beginning).await, Some(1));
    assert_eq!(next(&mut beginning).await, Some(2));
    // An evaluation's end does not end a stream of everything.
    let waits = timeout(Duration::from_millis(20), beginning.next()).await;
    assert!(waits.is_err(), "{waits:?}");
}

#[tokio::test]
async fn permits_are_counted_and_released() {
    let monitor = monitor(EventLogLimits::default(), 2);
    let one = monitor.subscribe(Filter::Everything, None).await.unwrap();
    let two = monitor.subscribe(Filter::Everything, None).await.unwrap();
    let third = monitor.subscribe(Filter::Everything, None).await.err();
    assert!(matches!(third, Some(SubscribeError::TooMany)));
    assert_eq!(monitor.open_streams(), 2);
    drop(one);
    let three = monitor.subscribe(Filter::Everything, None).await.unwrap();
    drop((two, three));
    assert_eq!(monitor.open_streams(), 0);
    // A reader that is refused for another reason takes no place.
    let unknown = monitor.subscribe(Filter::Evaluation(Uuid::now_v7()), None).await.err();
    assert!(matches!(unknown, Some(SubscribeError::Unknown)));
    assert_eq!(monitor.open_streams(), 0);
}
