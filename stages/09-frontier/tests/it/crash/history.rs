//! What the clients have seen, and whether it can be true.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex};

use serde_json::Value;

/// Shared by all clients, over all lives of the server.
#[derive(Clone, Default)]
pub(crate) struct History(Arc<Mutex<Seen>>);

#[derive(Default)]
struct Seen {
    /// Every accepted evaluation, and what was seen of it last.
    evaluations: BTreeMap<String, Option<Value>>,
    /// Every event, in the order in which it was received.
    events: Vec<Event>,
    violations: Vec<String>,
}

#[derive(Clone, Debug)]
pub(crate) struct Event {
    pub(crate) number: u64,
    pub(crate) kind: String,
    pub(crate) subject: Option<String>,
}

impl History {
    /// A client has read 202.
    pub(crate) fn accepted(&self, id: &str) {
        self.0.lock().unwrap().evaluations.entry(id.to_owned()).or_default();
    }

    /// A client has read an evaluation. No state may be before one that was read before it.
    pub(crate) fn read(&self, now: &Value) {
        let mut seen = self.0.lock().unwrap();
        let id = now["id"].as_str().unwrap().to_owned();
        let Some(before) = seen.evaluations.insert(id.clone(), Some(now.clone())).flatten() else {
            return;
        };
        let is_taken_back = rank(now) < rank(&before);
        let is_changed = !before["outcome"].is_null() && before != *now;
        if is_taken_back || is_changed {
            seen.violations.push(format!("{id} was {before}, and then {now}"));
        }
    }

    /// A client has received an event.
    pub(crate) fn event(&self, event: Event) {
        self.0.lock().unwrap().events.push(event);
    }

    /// The server does not know an evaluation that it has accepted.
    pub(crate) fn violation(&self, text: String) {
        self.0.lock().unwrap().violations.push(text);
    }

    /// The number of the last event.
    pub(crate) fn last_event(&self) -> u64 {
        self.0.lock().unwrap().events.last().map_or(0, |event| event.number)
    }

    /// What was accepted and was not seen to end.
    pub(crate) fn open(&self) -> Vec<String> {
        let seen = self.0.lock().unwrap();
        let is_open =
            |seen: &Option<Value>| seen.as_ref().is_none_or(|one| one["outcome"].is_null());
        seen.evaluations
            .iter()
            .filter(|(_, seen)| is_open(seen))
            .map(|(id, _)| id.clone())
            .collect()
    }

    /// Checks everything, when all has ended and all events were read.
    pub(crate) fn check(&self) {
        let seen = self.0.lock().unwrap();
        assert_eq!(seen.violations, [""; 0]);
        let numbers: Vec<_> = seen.events.iter().map(|event| event.number).collect();
        let is_next = |pair: &[u64]| pair[1] == pair[0] + 1;
        let breaks: Vec<_> = numbers.windows(2).filter(|pair| !is_next(pair)).collect();
        assert!(breaks.is_empty(), "events are missing, double or out of order: {breaks:?}");
        assert_eq!(numbers.first(), Some(&1));
        let mut kinds: HashMap<&str, Vec<&str>> = HashMap::new();
        for event in &seen.events {
            if let Some(id) = &event.subject {
                kinds.entry(id).or_default().push(&event.kind);
            }
        }
        for (id, last) in &seen.evaluations {
            let last = last.as_ref().unwrap();
            let kinds = kinds.get(id.as_str()).unwrap_or_else(|| panic!("no event of {id}"));
            check_events(last, kinds);
        }
        println!("{} evaluations, {} events", seen.evaluations.len(), seen.events.len());
        assert!(seen.evaluations.len() > 20, "there was hardly any load");
    }
}

/// Whether these can be the events of this evaluation.
fn check_events(last: &Value, kinds: &[&str]) {
    let count = |kind: &str| kinds.iter().filter(|other| **other == kind).count() as u64;
    let expected = format!("evaluation.{}", last["status"].as_str().unwrap());
    let finals = ["evaluation.completed", "evaluation.failed", "evaluation.cancelled"].map(count);
    assert_eq!(finals.iter().sum::<u64>(), 1, "{last} has {kinds:?}");
    assert_eq!(count(&expected), 1, "{last} has {kinds:?}");
    assert_eq!(count("evaluation.queued"), last["attempt"].as_u64().unwrap(), "{last}: {kinds:?}");
    assert_eq!(count("storage.saved"), 1, "{last} has {kinds:?}");
    assert_eq!(kinds[0], "evaluation.queued", "{last}");
    let position = |kind: &str| kinds.iter().position(|other| *other == kind).unwrap();
    let after = &kinds[position(&expected) + 1..];
    assert_eq!(after, ["storage.saved"], "{last} has {kinds:?}");
}

/// The order of the states of an evaluation.
fn rank(evaluation: &Value) -> (u64, u8) {
    let status = match evaluation["status"].as_str().unwrap() {
        "queued" => 0,
        "running" => 1,
        _ => 2,
    };
    // The end counts more than any attempt.
    let attempt = evaluation["attempt"].as_u64().unwrap();
    if status == 2 { (u64::MAX, 2) } else { (attempt, status) }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const ID: &str = "01a21b66-d52b-77bf-a420-0690c84be33c";

    fn state(status: &str, outcome: Option<&str>) -> Value {
        json!({ "id": ID, "status": status, "outcome": outcome, "attempt": 1 })
    }

    /// A history with enough evaluations, and these events of one more.
    fn history(kinds: &[(u64, &str)]) -> History {
        let history = History::default();
        for number in 0..30_u64 {
            let id = format!("other-{number}");
            history.accepted(&id);
            history.read(&json!(
                { "id": id, "status": "completed", "outcome": "exited", "attempt": 1 }
            ));
            let kinds = ["evaluation.queued", "evaluation.completed", "storage.saved"];
            for (offset, kind) in (1..).zip(kinds) {
                let subject = Some(id.clone());
                history.event(Event {
                    number: 3 * number + offset,
                    kind: kind.to_owned(),
                    subject,
                });
            }
        }
        history.accepted(ID);
        history.read(&state("queued", None));
        history.read(&state("completed", Some("exited")));
        for (number, kind) in kinds {
            let (number, subject) = (90 + number, Some(ID.to_owned()));
            history.event(Event { number, kind: (*kind).to_owned(), subject });
        }
        history
    }

    const GOOD: [(u64, &str); 3] =
        [(1, "evaluation.queued"), (2, "evaluation.completed"), (3, "storage.saved")];

    fn fails(history: History) -> bool {
        std::panic::catch_unwind(move || history.check()).is_err()
    }

    #[test]
    fn a_good_history_passes_and_each_error_is_found() {
        history(&GOOD).check();
        let [queued, completed, saved] = GOOD;
        assert!(fails(history(&[queued, completed])), "an event is lost at the end");
        assert!(fails(history(&[queued, saved])), "an event is lost in between");
        assert!(fails(history(&[queued, queued, completed, saved])), "a number is double");
        assert!(fails(history(&[completed, queued, saved])), "numbers are out of order");
        let twice = [queued, completed, saved, (4, "evaluation.failed")];
        assert!(fails(history(&twice)), "it has ended twice");
        let taken_back = history(&GOOD);
        taken_back.read(&state("running", None));
        assert!(fails(taken_back), "a state was taken back");
        let changed = history(&GOOD);
        changed.read(&state("failed", Some("worker_lost")));
        assert!(fails(changed), "an end was changed");
        let lost = history(&GOOD);
        lost.accepted("another");
        assert!(fails(lost), "an accepted evaluation has no end");
    }
}
