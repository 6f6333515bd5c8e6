//! Whether what the clients have seen can be true.

use std::collections::{BTreeMap, HashMap};
use std::path::PathBuf;

use serde_json::Value;

use super::history::{Accepted, Asked, Event, Kind, Seen, Violation};

/// What a run has shown, for the test and for a reader.
#[derive(Debug, Default)]
#[allow(dead_code, reason = "shown with Debug")]
pub(super) struct Counts {
    /// By their outcome.
    pub(super) ended: BTreeMap<String, u32>,
    pub(super) events: usize,
    /// Attempts that a worker has started.
    pub(super) started: usize,
    /// Results that the API has confirmed to a worker.
    pub(super) reported: usize,
    /// Sessions that a worker has given up, or whose result was refused.
    pub(super) fenced: usize,
    /// Evaluations of which more than one attempt was needed.
    pub(super) repeated: u32,
}

/// Checks everything, when all has ended and all events were read. Before that, what it says of evaluations that
/// have ended holds, except for their events.
pub(super) fn check(
    seen: &Seen,
    logs: &[(PathBuf, String)],
    nothing_fails: bool,
) -> (Counts, Vec<Violation>) {
    let violations = seen.violations.clone();
    let mut found = Found { violations, nothing_fails, ..Found::default() };
    found.check_numbers(&seen.events);
    let mut events: HashMap<&str, Vec<&Event>> = HashMap::new();
    for event in &seen.events {
        if let Some(id) = &event.subject {
            events.entry(id).or_default().push(event);
        }
    }
    for (id, accepted) in &seen.evaluations {
        // One without an end was found by its client.
        let Some(last) = accepted.last.as_ref().filter(|last| !last["outcome"].is_null()) else {
            continue;
        };
        found.check_end(last, accepted);
        found.check_events(last, events.get(id.as_str()).map_or(&[], Vec::as_slice));
    }
    found.check_workers(&seen.evaluations, logs);
    (found.counts, found.violations)
}

#[derive(Default)]
struct Found {
    counts: Counts,
    violations: Vec<Violation>,
    /// No failure was injected.
    nothing_fails: bool,
}

impl Found {
    fn add(&mut self, kind: Kind, text: String) {
        self.violations.push(Violation { kind, text });
    }

    fn check_numbers(&mut self, events: &[Event]) {
        self.counts.events = events.len();
        let numbers: Vec<_> = events.iter().map(|event| event.number).collect();
        let breaks: Vec<_> = numbers.windows(2).filter(|pair| pair[1] != pair[0] + 1).collect();
        if !breaks.is_empty() || numbers.first() != Some(&1) {
            let first = numbers.first();
            self.add(Kind::Events, format!("they begin with {first:?}, and break at {breaks:?}"));
        }
    }

    fn check_end(&mut self, last: &Value, accepted: &Accepted) {
        let (asked, outcome) = (&accepted.asked, last["outcome"].as_str().unwrap());
        *self.counts.ended.entry(outcome.to_owned()).or_default() += 1;
        let attempt = last["attempt"].as_u64().unwrap();
        self.counts.repeated += u32::from(attempt > 1);
        if self.nothing_fails && (attempt > 1 || outcome == "worker_lost") {
            self.add(Kind::Wasted, format!("{asked:?}: {last}"));
        }
        if attempt > asked.attempts {
            self.add(Kind::Answer, format!("{asked:?} has too many attempts: {last}"));
        }
        if (accepted.is_cancelled && outcome != "cancelled")
            || (asked.is_endless && !matches!(outcome, "cancelled" | "worker_lost"))
        {
            self.add(Kind::Cancelled, format!("{asked:?} was cancelled: {last}"));
        }
        if !matches!(outcome, "exited" | "cancelled" | "worker_lost") {
            self.add(Kind::Output, format!("{asked:?} cannot end so: {last}"));
        }
        let stdout = last["stdout"]["text"].as_str().unwrap_or_default();
        let is_whole = outcome == "exited";
        if !is_of_one_run(stdout, asked, is_whole) {
            self.add(Kind::Output, format!("{asked:?}: {last}"));
        }
    }

    fn check_events(&mut self, last: &Value, events: &[&Event]) {
        let kinds: Vec<&str> = events.iter().map(|event| event.kind.as_str()).collect();
        let count = |kind: &str| kinds.iter().filter(|other| **other == kind).count() as u64;
        let status = last["status"].as_str().unwrap();
        let is_end = |kind: &&str| {
            ["evaluation.completed", "evaluation.failed", "evaluation.cancelled"].contains(kind)
        };
        let ends: Vec<_> = kinds.iter().copied().filter(is_end).collect();
        let after_end = kinds.iter().copied().skip_while(|kind| !is_end(kind)).skip(1);
        let is_late = after_end.into_iter().any(|kind| kind.starts_with("evaluation."));
        let is_good = ends == [format!("evaluation.{status}").as_str()]
            && kinds.first() == Some(&"evaluation.queued")
            && count("evaluation.queued") == last["attempt"].as_u64().unwrap()
            && count("evaluation.started") <= count("evaluation.queued")
            && (status != "completed" || count("evaluation.started") >= 1)
            && !is_late;
        if !is_good {
            self.add(Kind::Events, format!("{last} has {kinds:?}"));
        }
        let mut streamed = String::new();
        for event in events {
            match event.kind.as_str() {
                "evaluation.queued" => streamed.clear(), // the next attempt
                "evaluation.progress" if event.data["stream"] == "stdout" => {
                    if event.data["offset"] != streamed.len() {
                        self.add(Kind::Events, format!("a gap in the output: {event:?}"));
                    }
                    streamed.push_str(event.data["text"].as_str().unwrap_or_default());
                }
                _ => {}
            }
        }
        if last["outcome"] == "exited" && last["stdout"]["text"] != streamed {
            self.add(Kind::Events, format!("{last} has streamed {streamed:?}"));
        }
    }

    fn check_workers(
        &mut self,
        evaluations: &BTreeMap<String, Accepted>,
        logs: &[(PathBuf, String)],
    ) {
        let mut started: HashMap<(String, u64), u32> = HashMap::new();
        for (path, log) in logs {
            let entries = log.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
            for entry in entries {
                let message = entry["message"].as_str().unwrap_or_default();
                self.counts.fenced += usize::from(message.contains("the result is dropped"));
                let span = &entry["span"];
                let (Some(id), Some(attempt)) = (span["id"].as_str(), span["attempt"].as_u64())
                else {
                    continue;
                };
                if message == "evaluation started" {
                    *started.entry((id.to_owned(), attempt)).or_default() += 1;
                }
                let last = evaluations.get(id).and_then(|accepted| accepted.last.as_ref());
                let Some(last) = last.filter(|last| !last["outcome"].is_null()) else { continue };
                if message == "evaluation reported" {
                    self.counts.reported += 1;
                    if last["attempt"] != attempt || last["outcome"] == "worker_lost" {
                        let who = path.display();
                        self.add(
                            Kind::Report,
                            format!("{who} has ended attempt {attempt}: {last}"),
                        );
                    }
                }
            }
        }
        self.counts.started = started.len();
        for (which, times) in started {
            if times > 1 {
                self.add(Kind::StartedTwice, format!("{which:?} was started {times} times"));
            }
        }
    }
}

/// Whether a text is what one run of the program prints, or the beginning of it.
fn is_of_one_run(text: &str, asked: &Asked, is_whole: bool) -> bool {
    let run = text.split_whitespace().nth(1).unwrap_or_default();
    let lines = (0..asked.lines).map(|line| format!("{} {run} {line}\n", asked.number));
    let whole = lines.collect::<Vec<_>>().concat();
    if is_whole { text == whole } else { whole.starts_with(text) }
}
