//! What the clients have seen.

use std::collections::BTreeMap;
use std::sync::Mutex;
use std::time::Duration;

use serde_json::Value;
use tokio::sync::watch;

/// What is wrong with a history.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// A request was answered as it should never be.
    Answer,
    /// An accepted evaluation is not known any more, or has no end.
    Lost,
    /// A state was taken back, or an end was changed.
    Changed,
    /// Events are missing, double or out of order.
    Events,
    /// The output is not that of one run of the program.
    Output,
    /// An attempt was started by more than one worker.
    StartedTwice,
    /// A worker was told that its result counts, and it does not.
    Report,
    /// An attempt was lost, and nothing has failed.
    Wasted,
    /// A cancelled evaluation has ended in another way.
    Cancelled,
    /// Something is left over, or does not work any more.
    Left,
}

/// One thing that is wrong.
#[derive(Debug, Clone)]
pub(super) struct Violation {
    pub(super) kind: Kind,
    #[allow(dead_code, reason = "shown with Debug")]
    pub(super) text: String,
}

/// What a client has submitted.
#[derive(Debug, Clone)]
pub(super) struct Asked {
    pub(super) number: u32,
    /// What each run of the program prints: its number, a word of the run, and the number of the line.
    pub(super) lines: u32,
    pub(super) attempts: u64,
    /// The program ends only when it is cancelled.
    pub(super) is_endless: bool,
}

/// One accepted evaluation.
pub(super) struct Accepted {
    pub(super) asked: Asked,
    /// What was read of it last.
    pub(super) last: Option<Value>,
    /// Whether a cancellation was accepted.
    pub(super) is_cancelled: bool,
}

/// An event, as it was received.
#[derive(Clone, Debug)]
pub(super) struct Event {
    pub(super) number: u64,
    pub(super) kind: String,
    pub(super) subject: Option<String>,
    /// Of output. Of other events there is none: ten thousand evaluations have many.
    pub(super) data: Value,
}

/// Shared by all clients.
#[derive(Default)]
pub(super) struct History {
    seen: Mutex<Seen>,
    /// How many evaluations have ended, for a task that waits for that.
    ended: watch::Sender<u32>,
}

#[derive(Default)]
pub(super) struct Seen {
    pub(super) evaluations: BTreeMap<String, Accepted>,
    /// In the order in which they were received.
    pub(super) events: Vec<Event>,
    /// The longest time from an acceptance to the end.
    pub(super) slowest: Duration,
    pub(super) violations: Vec<Violation>,
}

impl History {
    pub(super) fn seen(&self) -> std::sync::MutexGuard<'_, Seen> {
        self.seen.lock().unwrap()
    }

    pub(super) fn violation(&self, kind: Kind, text: String) {
        eprintln!("{kind:?}: {text}");
        self.seen().violations.push(Violation { kind, text });
    }

    pub(super) fn accepted(&self, id: &str, asked: Asked) {
        let accepted = Accepted { asked, last: None, is_cancelled: false };
        let before = self.seen().evaluations.insert(id.to_owned(), accepted);
        if let Some(before) = before {
            self.violation(
                Kind::Answer,
                format!("{id} was accepted for {before:?} as well", before = before.asked),
            );
        }
    }

    pub(super) fn cancelled(&self, id: &str) {
        self.seen().evaluations.get_mut(id).unwrap().is_cancelled = true;
    }

    /// A client has read an evaluation. No state may be before one that was read before it.
    pub(super) fn read(&self, id: &str, now: &Value) {
        let before = self.seen().evaluations.get_mut(id).unwrap().last.replace(now.clone());
        let had_ended = before.as_ref().is_some_and(|before| !before["outcome"].is_null());
        if !had_ended && !now["outcome"].is_null() {
            self.ended.send_modify(|ended| *ended += 1);
        }
        let Some(before) = before else { return };
        let is_taken_back = rank(now) < rank(&before);
        let is_changed = !before["outcome"].is_null() && before != *now;
        if is_taken_back || is_changed {
            self.violation(Kind::Changed, format!("{id} was {before}, and then {now}"));
        }
    }

    /// How many evaluations have ended.
    pub(super) fn ended(&self) -> u32 {
        *self.ended.borrow()
    }

    /// Waits until so many evaluations have ended.
    pub(super) async fn have_ended(&self, count: u32) {
        self.ended.subscribe().wait_for(|ended| *ended >= count).await.unwrap();
    }

    pub(super) fn last_event(&self) -> u64 {
        self.seen().events.last().map_or(0, |event| event.number)
    }
}

/// The order of the states of an evaluation. The end counts more than any attempt.
fn rank(evaluation: &Value) -> (u64, u8) {
    let attempt = evaluation["attempt"].as_u64().unwrap();
    match evaluation["status"].as_str().unwrap() {
        "queued" => (attempt, 0),
        "running" => (attempt, 1),
        _ => (u64::MAX, 2),
    }
}
