//! How the bus verifies itself.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use serde_json::json;
use shared::component::{CheckResult, SelfTestResult};
use shared::{BoxError, BoxFuture, Event, EventType, TestCase, TestableComponent};
use stage_03_monitoring::SequencedEvent;
use tokio::sync::mpsc;
use tokio::time::timeout;
use uuid::Uuid;

use super::{
    BusItem, BusReader, DurableHandler, EventBus, Lag, ReadEnd, Start, Subscribe, Topic, Work,
};

/// An event that was published can be read at once; the time is for a machine under load.
const READ_TIMEOUT: Duration = Duration::from_secs(10);

impl TestableComponent for EventBus {
    fn name(&self) -> &'static str {
        "bus"
    }

    fn self_test(&self) -> BoxFuture<'_, SelfTestResult> {
        Box::pin(async {
            let newest = self.newest().await.map_err(|error| error.to_string())?;
            let stats = self.stats();
            let failed: u64 = stats.iter().map(|one| one.failed).sum();
            let behind = stats.iter().map(|one| newest.saturating_sub(one.position)).max();
            Ok(format!(
                "{} subscribers, at most {} events behind; {failed} calls failed",
                stats.len(),
                behind.unwrap_or(0)
            ))
        })
    }

    fn test_suite(&self) -> Vec<TestCase<'_>> {
        vec![
            on_scratch(self, "a subscriber gets what its topic has, in order", topics),
            on_scratch(self, "a full queue has a marker for what was dropped", drops),
            on_scratch(self, "a slow subscriber can be disconnected", disconnects),
            on_scratch(self, "a handler that panics harms nobody", panics),
            on_scratch(self, "a durable subscriber goes on after its cursor", durable),
        ]
    }
}

fn on_scratch<'a, F: Future<Output = CheckResult> + Send + 'a>(
    bus: &'a EventBus,
    name: &'static str,
    check: fn(Arc<EventBus>) -> F,
) -> TestCase<'a> {
    TestCase::new(name, async move {
        let scratch = bus.scratch().await.map_err(|error| error.to_string())?;
        check(scratch).await
    })
}

/// An event of an evaluation, which has a number of its own in its data.
pub(super) fn publish(bus: &EventBus, kind: EventType, id: Uuid, number: u64) {
    bus.publish(Event::now(kind, Some(id), json!({ "number": number })));
}

pub(super) async fn next(reader: &mut BusReader) -> Result<BusItem, String> {
    let item = timeout(READ_TIMEOUT, reader.next()).await;
    item.map_err(|_| "nothing was delivered".to_owned())?.map_err(|end| end.to_string())
}

pub(super) async fn next_event(reader: &mut BusReader) -> Result<Arc<SequencedEvent>, String> {
    match next(reader).await? {
        BusItem::Event(event) => Ok(event),
        BusItem::Missed(gap) => Err(format!("events {} to {} were missed", gap.from, gap.to)),
    }
}

async fn subscribe(bus: &EventBus, topic: Topic, lag: Lag) -> Result<BusReader, String> {
    let how = Subscribe { queue: 4, lag, ..Subscribe::to("check", topic) };
    bus.subscribe(how).await.map_err(|error| error.to_string())
}

async fn topics(bus: Arc<EventBus>) -> CheckResult {
    let (one, other) = (Uuid::now_v7(), Uuid::now_v7());
    let mut all = subscribe(&bus, Topic::Everything, Lag::Wait).await?;
    let mut ends = subscribe(&bus, Topic::Type(EventType::EvaluationCompleted), Lag::Wait).await?;
    let mut stored = subscribe(&bus, Topic::Prefix("storage.".into()), Lag::Wait).await?;
    for id in [one, other] {
        publish(&bus, EventType::EvaluationQueued, id, 1);
        publish(&bus, EventType::EvaluationCompleted, id, 2);
        publish(&bus, EventType::StorageSaved, id, 3);
    }
    let mut own = subscribe(&bus, Topic::Evaluation(one), Lag::Wait).await?;
    let mut numbers = Vec::new();
    for _ in 0..6 {
        numbers.push(next_event(&mut all).await?.sequence);
    }
    if !numbers.is_sorted_by(|one, next| one < next) {
        return Err(format!("the numbers are {numbers:?}"));
    }
    for (reader, kind) in
        [(&mut ends, EventType::EvaluationCompleted), (&mut stored, EventType::StorageSaved)]
    {
        for id in [one, other] {
            let event = next_event(reader).await?.event.kind.clone();
            if event != kind {
                return Err(format!("{event} of {id} was delivered, and not {kind}"));
            }
        }
    }
    for kind in [EventType::EvaluationQueued, EventType::EvaluationCompleted] {
        let event = next_event(&mut own).await?;
        if event.event.kind != kind || event.event.subject != Some(one) {
            return Err(format!("{} was delivered, and not {kind} of {one}", event.event.kind));
        }
    }
    Ok("by type, by prefix, by evaluation, and all".to_owned())
}

async fn drops(bus: Arc<EventBus>) -> CheckResult {
    let mut slow = subscribe(&bus, Topic::Everything, Lag::Drop).await?;
    let mut quick = subscribe(&bus, Topic::Everything, Lag::Wait).await?;
    let mut last = 0;
    for number in 0..100 {
        publish(&bus, EventType::WorkerStarted, Uuid::now_v7(), number);
        last = next_event(&mut quick).await?.sequence;
    }
    let (mut delivered, mut missed, mut position) = (0, 0, last - 100);
    while position < last {
        let (from, to) = match next(&mut slow).await? {
            BusItem::Event(event) => {
                delivered += 1;
                (event.sequence, event.sequence)
            }
            BusItem::Missed(gap) => {
                missed += gap.to - gap.from + 1;
                (gap.from, gap.to)
            }
        };
        if from != position + 1 {
            return Err(format!("{from} follows {position}"));
        }
        position = to;
    }
    if delivered < 4 || missed == 0 {
        return Err(format!("{delivered} events were delivered, {missed} missed"));
    }
    Ok(format!("{delivered} of 100 events delivered, {missed} marked as missed"))
}

async fn disconnects(bus: Arc<EventBus>) -> CheckResult {
    let mut slow = subscribe(&bus, Topic::Everything, Lag::Disconnect).await?;
    let mut quick = subscribe(&bus, Topic::Everything, Lag::Wait).await?;
    for number in 0..20 {
        publish(&bus, EventType::WorkerStarted, Uuid::now_v7(), number);
        next_event(&mut quick).await?;
    }
    let mut last = 0;
    let end = loop {
        match timeout(READ_TIMEOUT, slow.next()).await {
            Ok(Ok(BusItem::Event(event))) => last = event.sequence,
            Ok(Ok(BusItem::Missed(_))) => return Err("a gap was delivered".to_owned()),
            Ok(Err(end)) => break end,
            Err(_) => return Err("it was not disconnected".to_owned()),
        }
    };
    if end != (ReadEnd::Lagged { next: last + 1 }) {
        return Err(format!("it had event {last}, and ended so: {end}"));
    }
    Ok(end.to_string())
}

async fn panics(bus: Arc<EventBus>) -> CheckResult {
    let (sender, mut receiver) = mpsc::unbounded_channel();
    let calls = Arc::new(AtomicU64::new(0));
    let handler = move |_| {
        let (sender, call) = (sender.clone(), calls.fetch_add(1, Ordering::Relaxed));
        async move {
            let handled: Option<()> = (call > 0).then_some(());
            if handled.is_none() {
                // The task ends here, as by a panic, which would print a message.
                std::future::pending::<()>().await;
            }
            sender.send(call).ok(); // the check may have ended
        }
    };
    let limit = Duration::from_millis(200);
    let attached = bus.attach_within(limit, Subscribe::to("check", Topic::Everything), handler);
    attached.await.map_err(|error| error.to_string())?;
    for number in 0..2 {
        publish(&bus, EventType::WorkerStarted, Uuid::now_v7(), number);
    }
    match timeout(READ_TIMEOUT, receiver.recv()).await {
        Ok(Some(1)) => Ok("the event after a failure was handled".to_owned()),
        other => Err(format!("the event after a failure was not handled: {other:?}")),
    }
}

/// Remembers the numbers of the events.
pub(super) struct Collector(pub(super) mpsc::UnboundedSender<u64>);

impl DurableHandler for Collector {
    fn name(&self) -> &'static str {
        "check"
    }

    fn handle<'a>(
        &'a self,
        event: &'a Arc<SequencedEvent>,
    ) -> BoxFuture<'a, Result<Option<Work>, BoxError>> {
        self.0.send(event.sequence).ok(); // the check may have ended
        Box::pin(async { Ok(None) })
    }
}

async fn durable(bus: Arc<EventBus>) -> CheckResult {
    let collect = async |bus: &Arc<EventBus>| {
        let (sender, receiver) = mpsc::unbounded_channel();
        let attached = bus.attach_durable(Arc::new(Collector(sender))).await;
        attached.map(|()| receiver).map_err(|error| error.to_string())
    };
    let mut receiver = collect(&bus).await?;
    publish(&bus, EventType::WorkerStarted, Uuid::now_v7(), 1);
    let first = timeout(READ_TIMEOUT, receiver.recv()).await;
    let first = first.ok().flatten().ok_or("the first event was not handled")?;
    // Another bus over the same log and database: a server that was started again.
    let (log, sink, store) = (bus.log.clone(), bus.sink.clone(), bus.store.clone());
    drop(bus);
    let again = EventBus::start(log, sink, store).await.map_err(|error| error.to_string())?;
    publish(&again, EventType::WorkerStarted, Uuid::now_v7(), 2);
    let mut receiver = collect(&again).await?;
    loop {
        let number = timeout(READ_TIMEOUT, receiver.recv()).await.ok().flatten();
        match number.ok_or("the event of the time in between was not handled")? {
            number if number == first => {}
            number if number == first + 1 => break,
            other => return Err(format!("{other} follows {first}")),
        }
    }
    let start = Start::After(0);
    let how = Subscribe { start, ..Subscribe::to("check", Topic::Everything) };
    again.subscribe(how).await.map_err(|error| error.to_string())?;
    Ok("no event was left out".to_owned())
}
