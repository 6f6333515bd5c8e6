//! Histories that are made up: a good one passes, and each error in it is found.

use std::path::PathBuf;

use serde_json::{Value, json};

use super::check::check;
use super::history::{Accepted, Asked, Event, Kind, Seen};

const ID: &str = "01a21b66-d52b-77bf-a420-0690c84be33c";

/// One evaluation whose second attempt has exited.
struct Made {
    last: Value,
    events: Vec<(&'static str, Value)>,
    log: Vec<(&'static str, u64)>,
    is_cancelled: bool,
    /// The numbers of the events.
    numbers: Vec<u64>,
}

fn good() -> Made {
    let output = |offset, text: &str| json!({ "stream": "stdout", "offset": offset, "text": text });
    Made {
        last: json!({ "status": "completed", "outcome": "exited", "attempt": 2,
                      "stdout": { "text": "7 b 0\n7 b 1\n" } }),
        events: vec![
            ("evaluation.queued", Value::Null),
            ("evaluation.started", Value::Null),
            ("evaluation.progress", output(0, "7 a 0\n")),
            ("evaluation.queued", Value::Null),
            ("evaluation.started", Value::Null),
            ("evaluation.progress", output(0, "7 b 0\n")),
            ("evaluation.progress", output(6, "7 b 1\n")),
            ("evaluation.completed", Value::Null),
        ],
        log: vec![("evaluation started", 1), ("evaluation started", 2), ("evaluation reported", 2)],
        is_cancelled: false,
        numbers: (1..20).collect(),
    }
}

fn found(made: Made) -> Vec<Kind> {
    found_when(made, false)
}

fn found_when(made: Made, nothing_fails: bool) -> Vec<Kind> {
    let mut seen = Seen::default();
    let asked = Asked { number: 7, lines: 2, attempts: 3, is_endless: false };
    let accepted = Accepted { asked, last: Some(made.last), is_cancelled: made.is_cancelled };
    seen.evaluations.insert(ID.to_owned(), accepted);
    for (number, (kind, data)) in made.numbers.into_iter().zip(made.events) {
        let (kind, subject) = (kind.to_owned(), Some(ID.to_owned()));
        seen.events.push(Event { number, kind, subject, data });
    }
    let entry = |(message, attempt): &(&str, u64)| {
        let span = json!({ "id": ID, "attempt": attempt });
        format!("{}\n", json!({ "message": message, "span": span }))
    };
    let log = made.log.iter().map(entry).collect();
    let (_, violations) = check(&seen, &[(PathBuf::from("w0.0.log"), log)], nothing_fails);
    violations.into_iter().map(|violation| violation.kind).collect()
}

fn with(change: impl FnOnce(&mut Made)) -> Vec<Kind> {
    let mut made = good();
    change(&mut made);
    found(made)
}

#[test]
fn a_good_history_passes_and_each_error_is_found() {
    assert_eq!(found(good()), []);
    assert_eq!(found_when(good(), true), [Kind::Wasted], "a second attempt without a failure");
    let lost = with(|made| drop(made.events.remove(6)));
    assert_eq!(lost, [Kind::Events], "a piece of output is lost");
    let doubled = with(|made| made.events.insert(6, made.events[5].clone()));
    assert!(doubled.contains(&Kind::Events), "a piece of output is double");
    let unordered = with(|made| made.events.swap(0, 1));
    assert_eq!(unordered, [Kind::Events], "it starts before it is queued");
    let twice = with(|made| made.events.push(("evaluation.failed", Value::Null)));
    assert_eq!(twice, [Kind::Events], "it ends twice");
    let endless = with(|made| drop(made.events.pop()));
    assert_eq!(endless, [Kind::Events], "it has no end");
    let mixed = with(|made| made.last["stdout"]["text"] = json!("7 b 0\n7 a 1\n"));
    assert!(mixed.contains(&Kind::Output), "the output is that of two runs");
    let short = with(|made| made.last["stdout"]["text"] = json!("7 b 0\n"));
    assert!(short.contains(&Kind::Output), "the output is not whole");
    let stale = with(|made| made.log.push(("evaluation reported", 1)));
    assert_eq!(stale, [Kind::Report], "a lost attempt was confirmed");
    let started = with(|made| made.log.push(("evaluation started", 2)));
    assert_eq!(started, [Kind::StartedTwice]);
    assert_eq!(with(|made| made.is_cancelled = true), [Kind::Cancelled]);
    for numbers in
        [vec![2, 3, 4, 5, 6, 7, 8, 9], vec![1, 2, 3, 4, 6, 7, 8, 9], vec![1, 2, 3, 3, 4, 5, 6, 7]]
    {
        assert_eq!(with(|made| made.numbers = numbers), [Kind::Events]);
    }
    let other = with(|made| made.last["outcome"] = json!("engine_error"));
    assert!(other.contains(&Kind::Output), "programs like these do not end so");
}
