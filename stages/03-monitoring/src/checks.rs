//! What every monitor promises, checked on the live one.
//!
//! Each check emits the events of an evaluation that does not exist, marked `self_test`, and reads
//! them back. It floods nothing: a check must not push real events out.

use std::sync::Arc;
use std::time::Duration;

use serde_json::json;
use shared::component::CheckResult;
use shared::{Event, EventType, TestCase};
use tokio::time::timeout;
use uuid::Uuid;

use crate::recorded::SequencedEvent;
use crate::service::MonitoringService;
use crate::subscription::{Delivery, Filter, SubscribeError};

/// What is emitted already must be there at once; this is for a machine under load.
const DEADLINE: Duration = Duration::from_secs(5);

pub(crate) fn suite(monitor: &dyn MonitoringService) -> Vec<TestCase<'_>> {
    vec![
        TestCase::new("events keep their order", async move { order(monitor) }),
        TestCase::new("a reader goes on where it left off", resume(monitor)),
        TestCase::new("a reader is woken by a new event", wake(monitor)),
        TestCase::new("a reader that leaves frees its place", async move { places(monitor) }),
    ]
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

fn order(monitor: &dyn MonitoringService) -> CheckResult {
    let events = kept(monitor, emit_all(monitor))?;
    let kinds: Vec<_> = events.iter().map(|recorded| recorded.event.kind).collect();
    if kinds != KINDS {
        return Err(format!("emitted {KINDS:?}, kept {kinds:?}"));
    }
    if !events.is_sorted_by(|one, next| one.number < next.number) {
        return Err("the numbers do not rise".to_owned());
    }
    Ok(format!("{} events came back in order", events.len()))
}

async fn resume(monitor: &dyn MonitoringService) -> CheckResult {
    let id = emit_all(monitor);
    let events = kept(monitor, id)?;
    for at in 0..events.len() - 1 {
        let after = Some(events[at].number);
        let mut stream = monitor.subscribe(Filter::Evaluation(id), after).map_err(refused)?;
        for expected in &events[at + 1..] {
            let next = timeout(DEADLINE, stream.next()).await.map_err(|_| hangs())?;
            match next {
                Some(Delivery::Event(event)) if event.number == expected.number => {}
                other => return Err(format!("expected event {}, got {other:?}", expected.number)),
            }
        }
        let end = timeout(DEADLINE, stream.next()).await.map_err(|_| hangs())?;
        if let Some(more) = end {
            return Err(format!("got {more:?} after the last event"));
        }
    }
    Ok(format!("from each of {} places", events.len() - 1))
}

async fn wake(monitor: &dyn MonitoringService) -> CheckResult {
    let id = Uuid::now_v7();
    emit(monitor, EventType::EvaluationQueued, id);
    let mut stream = monitor.subscribe(Filter::Evaluation(id), None).map_err(refused)?;
    let _queued = timeout(DEADLINE, stream.next()).await.map_err(|_| hangs())?;
    let later = async {
        tokio::task::yield_now().await;
        emit(monitor, EventType::EvaluationCancelled, id);
    };
    let (next, ()) = tokio::join!(timeout(DEADLINE, stream.next()), later);
    match next.map_err(|_| hangs())? {
        Some(Delivery::Event(event)) if event.event.kind.is_final() => {
            Ok("it slept, and got the event that came".to_owned())
        }
        other => Err(format!("expected the last event, got {other:?}")),
    }
}

fn places(monitor: &dyn MonitoringService) -> CheckResult {
    // Many more than there are places, one after the other: each must give its place back.
    let id = Uuid::now_v7();
    emit(monitor, EventType::EvaluationQueued, id);
    let refusals =
        (0..10_000).filter(|_| monitor.subscribe(Filter::Evaluation(id), None).is_err()).count();
    emit(monitor, EventType::EvaluationCancelled, id);
    match refusals {
        0 => Ok("10000 readers came and went".to_owned()),
        _ => Err(format!("{refusals} of 10000 readers were refused; are all places taken?")),
    }
}

fn kept(monitor: &dyn MonitoringService, id: Uuid) -> Result<Vec<Arc<SequencedEvent>>, String> {
    let history = monitor.history(id, None).ok_or("the events were not kept")?;
    match history.missed {
        None => Ok(history.events),
        Some(gap) => Err(format!("events {} to {} are gone already", gap.from, gap.to)),
    }
}

fn refused(reason: SubscribeError) -> String {
    match reason {
        SubscribeError::TooMany => "every place for a reader is taken; try again later".to_owned(),
        other => format!("refused: {other:?}"),
    }
}

fn hangs() -> String {
    format!("no event within {} s", DEADLINE.as_secs())
}
