//! The suite of every monitor.
//!
//! Each check works on a scratch monitor of the same kind: its events are those of evaluations that
//! do not exist, and no reader, no metric and no stored event of the live monitor has to do with them.

use std::sync::Arc;
use std::time::Duration;

use serde_json::json;
use shared::component::CheckResult;
use shared::{Event, EventType, TestCase};
use tokio::time::timeout;
use uuid::Uuid;

use crate::event_log::{Filter, SubscribeError};
use crate::sequenced::SequencedEvent;
use crate::service::MonitoringService;
use crate::subscription::{Delivery, Subscription};

/// An emitted event can be read at once; the time is for a machine under load.
const READ_TIMEOUT: Duration = Duration::from_secs(5);

pub(crate) fn suite(monitor: &dyn MonitoringService) -> Vec<TestCase<'_>> {
    vec![
        on_scratch(monitor, "events keep their order", order),
        on_scratch(monitor, "a reader goes on where it left off", resume),
        on_scratch(monitor, "a reader is woken by a new event", wake),
        on_scratch(monitor, "a reader that leaves frees its place", releases_permits),
    ]
}

/// A check on a scratch monitor of the same kind as `monitor`.
fn on_scratch<'a, F: Future<Output = CheckResult> + Send + 'a>(
    monitor: &'a dyn MonitoringService,
    name: &'static str,
    check: fn(Arc<dyn MonitoringService>) -> F,
) -> TestCase<'a> {
    TestCase::new(name, async move {
        let scratch = monitor.scratch().await.map_err(|error| error.to_string())?;
        check(scratch).await
    })
}

/// The events of an evaluation that was cancelled while it waited.
const KINDS: [EventType; 3] =
    [EventType::EvaluationQueued, EventType::EvaluationProgress, EventType::EvaluationCancelled];

pub(crate) fn emit(monitor: &dyn MonitoringService, kind: EventType, id: Uuid) {
    monitor.emit(Event::now(kind, Some(id), json!({ "self_test": true })));
}

fn emit_all(monitor: &dyn MonitoringService) -> Uuid {
    let id = Uuid::now_v7();
    for kind in KINDS {
        emit(monitor, kind, id);
    }
    id
}

async fn order(monitor: Arc<dyn MonitoringService>) -> CheckResult {
    let monitor = monitor.as_ref();
    let events = stored(monitor, emit_all(monitor)).await?;
    let kinds: Vec<_> = events.iter().map(|event| event.event.kind.clone()).collect();
    if kinds != KINDS {
        return Err(format!("emitted {KINDS:?}, stored {kinds:?}"));
    }
    if !events.is_sorted_by(|one, next| one.sequence < next.sequence) {
        return Err("the numbers do not rise".to_owned());
    }
    Ok(format!("{} events came back in order", events.len()))
}

async fn resume(monitor: Arc<dyn MonitoringService>) -> CheckResult {
    let monitor = monitor.as_ref();
    let id = emit_all(monitor);
    let events = stored(monitor, id).await?;
    for at in 0..events.len() - 1 {
        let after = Some(events[at].sequence);
        let stream = monitor.subscribe(Filter::Evaluation(id), after).await;
        let mut stream = stream.map_err(refused)?;
        for expected in &events[at + 1..] {
            match next(&mut stream).await? {
                Some(Delivery::Event(event)) if event.sequence == expected.sequence => {}
                other => {
                    return Err(format!("expected event {}, got {other:?}", expected.sequence));
                }
            }
        }
        if let Some(more) = next(&mut stream).await? {
            return Err(format!("got {more:?} after the last event"));
        }
    }
    Ok(format!("from each of {} places", events.len() - 1))
}

async fn wake(monitor: Arc<dyn MonitoringService>) -> CheckResult {
    let monitor = monitor.as_ref();
    let id = Uuid::now_v7();
    emit(monitor, EventType::EvaluationQueued, id);
    let stream = monitor.subscribe(Filter::Evaluation(id), None).await;
    let mut stream = stream.map_err(refused)?;
    next(&mut stream).await?;
    let later = async {
        tokio::task::yield_now().await;
        emit(monitor, EventType::EvaluationCancelled, id);
    };
    let (next, ()) = tokio::join!(next(&mut stream), later);
    match next? {
        Some(Delivery::Event(event)) if event.event.kind.is_final() => {
            Ok("it slept, and got the event that came".to_owned())
        }
        other => Err(format!("expected the last event, got {other:?}")),
    }
}

async fn releases_permits(monitor: Arc<dyn MonitoringService>) -> CheckResult {
    let monitor = monitor.as_ref();
    // Many more than may be open at once, one after the other: each must release its permit.
    let id = Uuid::now_v7();
    emit(monitor, EventType::EvaluationQueued, id);
    let mut refusals = 0;
    for _ in 0..10_000 {
        refusals += u32::from(monitor.subscribe(Filter::Evaluation(id), None).await.is_err());
    }
    emit(monitor, EventType::EvaluationCancelled, id);
    match refusals {
        0 => Ok("10000 readers came and went".to_owned()),
        _ => Err(format!(
            "{refusals} of 10000 readers were refused; is the limit of streams reached?"
        )),
    }
}

async fn stored(
    monitor: &dyn MonitoringService,
    id: Uuid,
) -> Result<Vec<Arc<SequencedEvent>>, String> {
    let history = monitor.history(id, None).await.map_err(|error| error.to_string())?;
    let history = history.ok_or("the events were not stored")?;
    match history.missed {
        None => Ok(history.events),
        Some(gap) => Err(format!("events {} to {} are dropped already", gap.from, gap.to)),
    }
}

async fn next(stream: &mut Subscription) -> Result<Option<Delivery>, String> {
    let hangs = |_| format!("no event within {} s", READ_TIMEOUT.as_secs());
    timeout(READ_TIMEOUT, stream.next()).await.map_err(hangs)?.map_err(|error| error.to_string())
}

#[allow(clippy::needless_pass_by_value, reason = "the shape that map_err takes")]
fn refused(reason: SubscribeError) -> String {
    format!("the subscription was refused: {reason}")
}

#[cfg(test)]
mod tests {
    use shared::{EventSink as _, QueueStats, TestableComponent as _};

    use super::*;
    use crate::{AdvancedMonitor, InMemoryMonitor, MonitorOptions};

    #[tokio::test]
    async fn a_suite_takes_no_place_of_a_reader_and_emits_nothing_that_one_sees() {
        let options = MonitorOptions { max_streams: 1, ..MonitorOptions::default() };
        let monitor = AdvancedMonitor::new(InMemoryMonitor::new(options));
        let mut reader = monitor.subscribe(Filter::Everything, None).await.unwrap();
        let queue =
            QueueStats { depth: 0, capacity: 1, workers: 1, workers_busy: 0, oldest_wait_ms: 0 };
        let before = monitor.metrics(queue);
        for case in monitor.test_suite() {
            let name = case.name;
            let result = case.run.await;
            // The only place for a reader is taken, and the checks do not need it.
            assert!(result.is_ok(), "{name}: {result:?}");
        }
        assert_eq!(monitor.metrics(queue), before, "an event of a check was counted");
        monitor.emit(Event::now(EventType::PlatformShutdown, None, json!({})));
        let first = next(&mut reader).await.unwrap();
        let Some(Delivery::Event(event)) = first else { panic!("{first:?}") };
        assert_eq!(event.event.kind, EventType::PlatformShutdown);
    }
}
