//! Tests of the bus on a log in memory.

use std::sync::atomic::{AtomicBool, AtomicUsize};
use std::time::{Duration, Instant};

use serde_json::json;
use shared::{BoxError, BoxFuture, EventType, TestableComponent as _};
use stage_03_monitoring::{EventLogLimits, InMemoryEventLog, SequencedEvent};
use uuid::Uuid;

use super::suite::{Collector, next, next_event, publish};
use super::*;

async fn bus() -> Arc<EventBus> {
    let log = Arc::new(InMemoryEventLog::new(EventLogLimits::default(), 1));
    let sink = Arc::new(LogSink(log.clone()));
    EventBus::start(log, sink, Store::scratch().unwrap()).await.unwrap()
}

async fn eventually(what: &str, is_true: impl Fn() -> bool) {
    for _ in 0..2000 {
        if is_true() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("{what}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_suite_passes() {
    let bus = bus().await;
    for case in bus.test_suite() {
        case.run.await.unwrap_or_else(|error| panic!("{}: {error}", case.name));
    }
    bus.self_test().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_subscriber_that_never_reads_delays_nobody() {
    let bus = bus().await;
    let mut idle = Vec::new();
    for lag in [Lag::Wait, Lag::Drop, Lag::Disconnect] {
        let how = Subscribe { queue: 1, lag, ..Subscribe::to("idle", Topic::Everything) };
        idle.push(bus.subscribe(how).await.unwrap());
    }
    let how = Subscribe { lag: Lag::Wait, ..Subscribe::to("quick", Topic::Everything) };
    let mut quick = bus.subscribe(how).await.unwrap();
    for number in 1..=1000 {
        publish(&bus, EventType::WorkerStarted, Uuid::now_v7(), number);
        assert_eq!(next_event(&mut quick).await.unwrap().sequence, number);
    }
    // The one that waits has lost nothing, and none has more than its queue in memory.
    let [mut waiting, mut dropping, mut disconnected] = <[_; 3]>::try_from(idle).ok().unwrap();
    for number in 1..=1000 {
        assert_eq!(next_event(&mut waiting).await.unwrap().sequence, number);
    }
    assert_eq!(next_event(&mut dropping).await.unwrap().sequence, 1);
    let BusItem::Missed(gap) = next(&mut dropping).await.unwrap() else { panic!("no marker") };
    assert_eq!((gap.from, gap.to), (2, 1000));
    assert_eq!(next_event(&mut disconnected).await.unwrap().sequence, 1);
    assert_eq!(disconnected.next().await.unwrap_err(), ReadEnd::Lagged { next: 2 });
}

#[tokio::test(flavor = "multi_thread")]
async fn a_handler_that_panics_gets_the_next_event() {
    let bus = bus().await;
    let handled = Arc::new(AtomicUsize::new(0));
    let (of_async, of_thread) = (handled.clone(), handled.clone());
    let how = |name| Subscribe::to(name, Topic::Everything);
    let is_bad = |item: &BusItem| match item {
        BusItem::Event(event) => event.sequence == 1,
        BusItem::Missed(_) => false,
    };
    bus.attach(how("async"), move |item| {
        let handled = of_async.clone();
        async move {
            assert!(!is_bad(&item), "this handler panics on purpose");
            handled.fetch_add(1, Ordering::Relaxed);
        }
    })
    .await
    .unwrap();
    bus.attach_blocking(how("thread"), move |item| {
        assert!(!is_bad(&item), "this handler panics on purpose");
        of_thread.fetch_add(1, Ordering::Relaxed);
    })
    .await
    .unwrap();
    for number in 1..=3 {
        publish(&bus, EventType::WorkerStarted, Uuid::now_v7(), number);
    }
    eventually("both get events 2 and 3", || handled.load(Ordering::Relaxed) == 4).await;
    assert!(bus.stats().iter().all(|one| one.failed == 1), "{:?}", bus.stats());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_handler_that_hangs_gets_the_next_event() {
    let bus = bus().await;
    let calls = Arc::new(AtomicUsize::new(0));
    let count = calls.clone();
    let how = Subscribe::to("hangs", Topic::Everything);
    let handler = move |item| {
        let count = count.clone();
        async move {
            if matches!(&item, BusItem::Event(event) if event.sequence == 1) {
                std::future::pending::<()>().await;
            }
            count.fetch_add(1, Ordering::Relaxed);
        }
    };
    bus.attach_within(Duration::from_millis(50), how, handler).await.unwrap();
    for number in 1..=2 {
        publish(&bus, EventType::WorkerStarted, Uuid::now_v7(), number);
    }
    eventually("it gets event 2", || calls.load(Ordering::Relaxed) == 1).await;
}

/// Fails as often as it is told to, then writes the number of the event.
struct Flaky {
    failures: AtomicUsize,
    /// What the failures are: of a full disk, or of the handler.
    is_full: bool,
    panics: AtomicBool,
}

impl DurableHandler for Flaky {
    fn name(&self) -> &'static str {
        "flaky"
    }

    fn handle<'a>(
        &'a self,
        event: &'a Arc<SequencedEvent>,
    ) -> BoxFuture<'a, Result<Option<Work>, BoxError>> {
        Box::pin(async move {
            assert!(!self.panics.swap(false, Ordering::Relaxed), "it panics on purpose");
            let left = self.failures.load(Ordering::Relaxed);
            if left > 0 {
                self.failures.store(left - 1, Ordering::Relaxed);
                let error = if self.is_full { StoreError::Full } else { StoreError::Failpoint };
                return Err(error.into());
            }
            let number = i64::try_from(event.sequence)?;
            Ok(Some(Box::new(move |db: &rusqlite::Connection| {
                db.execute("INSERT INTO handled VALUES (?1)", [number])?;
                Ok(())
            }) as Work))
        })
    }
}

/// The numbers that were written, as soon as they are these, or after a minute.
async fn written(bus: &EventBus, expected: &str) -> String {
    let query = "SELECT group_concat(number) FROM handled";
    let started = Instant::now();
    loop {
        let text = |db: &rusqlite::Connection| {
            Ok(db.query_row(query, [], |row| row.get::<_, Option<String>>(0))?)
        };
        let written = bus.store.read(text).await.unwrap().unwrap_or_default();
        if written == expected || started.elapsed() > Duration::from_mins(2) {
            return written;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_durable_subscriber_waits_for_a_full_disk_for_as_long_as_it_takes() {
    let bus = bus().await;
    let table = "CREATE TABLE handled (number INTEGER NOT NULL)";
    bus.store.write(|db| Ok(db.execute_batch(table)?)).await.unwrap();
    // One more than the tries of an event that cannot be handled.
    let flaky =
        Flaky { failures: AtomicUsize::new(9), is_full: true, panics: AtomicBool::new(false) };
    bus.attach_durable(Arc::new(flaky)).await.unwrap();
    publish(&bus, EventType::WorkerStarted, Uuid::now_v7(), 1);
    assert_eq!(written(&bus, "1").await, "1");
    assert_eq!(bus.stats()[0].failed, 9);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_durable_subscriber_tries_again_and_writes_once() {
    let bus = bus().await;
    let table = "CREATE TABLE handled (number INTEGER NOT NULL)";
    bus.store.write(|db| Ok(db.execute_batch(table)?)).await.unwrap();
    let panics = AtomicBool::new(true);
    let flaky = Flaky { failures: AtomicUsize::new(2), is_full: false, panics };
    bus.attach_durable(Arc::new(flaky)).await.unwrap();
    for number in 1..=3 {
        publish(&bus, EventType::WorkerStarted, Uuid::now_v7(), number);
    }
    assert_eq!(written(&bus, "1,2,3").await, "1,2,3");
    let cursor = bus.store.read(|db| cursor::read(db, "flaky")).await.unwrap();
    assert_eq!(cursor, Some(3));
    assert_eq!(bus.stats()[0].failed, 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cursor_waits_also_after_an_idle_time() {
    let bus = bus().await;
    bus.attach_durable(Arc::new(Collector(mpsc::unbounded_channel().0))).await.unwrap();
    tokio::time::sleep(durable::CURSOR_INTERVAL * 2).await;
    let published = Instant::now();
    publish(&bus, EventType::WorkerStarted, Uuid::now_v7(), 1);
    let moved = async || bus.store.read(|db| cursor::read(db, "check")).await.unwrap() == Some(1);
    while !moved().await {
        assert!(published.elapsed() < Duration::from_mins(1));
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    // A slow machine makes it longer.
    assert!(published.elapsed() >= durable::CURSOR_INTERVAL, "{:?}", published.elapsed());
}

#[tokio::test(flavor = "multi_thread")]
async fn history_is_by_topic_and_in_pages() {
    let (bus, id) = (bus().await, Uuid::now_v7());
    publish(&bus, EventType::EvaluationQueued, id, 0);
    for number in 0..10 {
        publish(&bus, EventType::EvaluationProgress, id, number);
        bus.publish(Event::now(EventType::WorkerStarted, None, json!({})));
    }
    let topic = "evaluation.*".parse().unwrap();
    let (mut after, mut found) = (0, Vec::new());
    loop {
        let page = bus.history(std::slice::from_ref(&topic), after, 3).await.unwrap();
        assert!(page.missed.is_empty() && page.events.len() <= 3);
        found.extend(page.events.iter().map(|event| event.sequence));
        let Some(next) = page.next else { break };
        after = next;
    }
    let expected: Vec<_> = std::iter::once(1).chain((1..=10).map(|number| 2 * number)).collect();
    assert_eq!(found, expected);
    let own = bus.history(&[Topic::Evaluation(id)], 0, 4).await.unwrap();
    assert_eq!((own.events.len(), own.next), (4, Some(6)));
    let queued = Topic::Type(EventType::EvaluationQueued);
    let both = bus.history(&[queued, Topic::Evaluation(id)], 0, 4).await.unwrap();
    assert_eq!((both.events.len(), both.next), (1, None));
    let unknown = Topic::Evaluation(Uuid::now_v7());
    assert!(bus.history(std::slice::from_ref(&unknown), 0, 4).await.unwrap().events.is_empty());
    assert!(bus.subscribe(Subscribe::to("unknown", unknown)).await.is_err());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_page_ends_after_events_that_do_not_match() {
    let bus = bus().await;
    for _ in 0..2_010 {
        bus.publish(Event::now(EventType::WorkerStarted, None, json!({})));
    }
    bus.publish(Event::now(EventType::WorkerStopped, None, json!({})));
    let topics = [Topic::Type(EventType::WorkerStopped)];
    let first = bus.history(&topics, 0, 10).await.unwrap();
    assert_eq!((first.events.len(), first.next), (0, Some(2_000)));
    let second = bus.history(&topics, 2_000, 10).await.unwrap();
    assert_eq!((second.events.len(), second.next), (1, None));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_page_ends_when_it_is_large() {
    let bus = bus().await;
    for _ in 0..5 {
        let data = json!({ "text": "x".repeat(400 << 10) });
        bus.publish(Event::now(EventType::PlatformReady, None, data));
    }
    let page = bus.history(&[], 0, 10).await.unwrap();
    assert_eq!((page.events.len(), page.next), (3, Some(3)));
}
