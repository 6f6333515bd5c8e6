//! The difference of two transcripts, short enough for a chapter.
//!
//! The table lists the steps with a different status. The diff below it shows every changed line
//! once: a line that changed in the same way in an earlier step is only counted.

use std::collections::BTreeSet;
use std::fmt::Write as _;

use anyhow::{Result, ensure};
use similar::{ChangeTag, TextDiff};

use super::markdown::{self, plain};
use super::transcript::{StepRecord, Transcript};

/// The maximum length of a run of changed lines.
const MAX_RUN_LINES: usize = 12;
/// How many unchanged lines are shown around a changed one.
const CONTEXT_LINES: usize = 1;

/// The Markdown of the difference between stage `one` and stage `other`.
///
/// # Errors
///
/// When the transcripts are not of one scenario.
pub fn between(one: (u16, &Transcript), other: (u16, &Transcript)) -> Result<String> {
    let ((before, first), (after, second)) = (one, other);
    let same = first.steps.iter().map(request_of).eq(second.steps.iter().map(request_of));
    ensure!(same, "stages {before} and {after} did not play the same scenario; play it again");
    let pairs: Vec<_> = first.steps.iter().zip(&second.steps).collect();
    let total = pairs.len();
    let differing: Vec<_> = pairs.into_iter().filter(|(a, b)| a.answer != b.answer).collect();
    let mut text = markdown::opening();
    if differing.is_empty() {
        writeln!(text, "All {total} steps of the scenario are answered as in stage {before:02}.")?;
        return Ok(text);
    }
    let count = differing.len();
    writeln!(text, "Of the {total} steps of the scenario, {count} are answered otherwise.")?;
    text += &statuses(&differing, before, after)?;
    text += &markdown::folded(
        &format!("The difference, from stage {before:02} to stage {after:02}"),
        &markdown::fence("diff", &lines(&differing)),
    );
    Ok(text)
}

/// A step without its response.
fn request_of(step: &StepRecord) -> (&str, &str, &[String]) {
    (&step.group, &step.title, &step.request)
}

fn status(step: &StepRecord) -> &str {
    step.answer.first().map_or("", String::as_str)
}

fn statuses(differing: &[(&StepRecord, &StepRecord)], before: u16, after: u16) -> Result<String> {
    let mut text = String::new();
    let changed: Vec<_> = differing.iter().filter(|(a, b)| status(a) != status(b)).collect();
    if changed.is_empty() {
        writeln!(text, "None of them has another status.")?;
        return Ok(text);
    }
    writeln!(text, "\n| step | | stage {before:02} | stage {after:02} |\n|---|---|---|---|")?;
    let mut group = "";
    for (a, b) in changed {
        let shown =
            if group == a.group { String::new() } else { format!("**{}**", plain(&a.group)) };
        group = &a.group;
        let (one, other) = (plain(status(a)), plain(status(b)));
        writeln!(text, "| {shown} | {} | {one} | {other} |", plain(&a.title))?;
    }
    Ok(text)
}

/// The lines of a diff over all these steps.
fn lines(differing: &[(&StepRecord, &StepRecord)]) -> String {
    let (mut shown, mut again) = (Vec::new(), Vec::new());
    let mut seen = BTreeSet::new();
    for (one, other) in differing {
        let name = format!("{}: {}", one.group, one.title);
        let step = step_lines(one, other, &mut seen);
        if step.iter().any(|line| line.starts_with(['+', '-']) && !is_count(line)) {
            shown.push(format!("@@ {name} @@"));
            shown.extend(one.request.iter().map(|line| format!(" > {line}")));
            shown.extend(step);
        } else {
            again.push(format!(" {name}"));
        }
    }
    if !again.is_empty() {
        shown.push("@@ nothing but differences that are above @@".to_owned());
        shown.extend(again);
    }
    shown.join("\n")
}

/// The placeholder for omitted lines.
fn left_out(sign: char, count: usize, why: &str) -> String {
    let lines = if count == 1 { "line" } else { "lines" };
    format!("{sign}... {count} {lines} {why}")
}

fn is_count(line: &str) -> bool {
    line.get(1..).is_some_and(|rest| rest.starts_with("... "))
}

/// The changed lines of one step with their context. Lines that were shown before are counted.
fn step_lines(one: &StepRecord, other: &StepRecord, seen: &mut BTreeSet<String>) -> Vec<String> {
    let (a, b) = (one.answer.join("\n") + "\n", other.answer.join("\n") + "\n");
    let diff = TextDiff::from_lines(&a, &b);
    let changes: Vec<(char, &str)> = diff
        .iter_all_changes()
        .map(|change| {
            let sign = match change.tag() {
                ChangeTag::Delete => '-',
                ChangeTag::Insert => '+',
                ChangeTag::Equal => ' ',
            };
            (sign, change.value().trim_end_matches('\n'))
        })
        .collect();
    let mut lines = Vec::new();
    for run in changes.chunk_by(|(sign, _), (next, _)| sign == next) {
        if run[0].0 == ' ' {
            lines.extend(surroundings(run));
        } else {
            lines.extend(changed(run, seen));
        }
    }
    lines
}

/// The lines next to a change; those in between are omitted.
fn surroundings(run: &[(char, &str)]) -> Vec<String> {
    let line = |(_, text): &(char, &str)| format!(" {text}");
    if run.len() <= 2 * CONTEXT_LINES + 1 {
        return run.iter().map(line).collect();
    }
    let mut lines: Vec<String> = run[..CONTEXT_LINES].iter().map(line).collect();
    lines.push(" ...".to_owned());
    lines.extend(run[run.len() - CONTEXT_LINES..].iter().map(line));
    lines
}

fn changed(run: &[(char, &str)], seen: &mut BTreeSet<String>) -> Vec<String> {
    let sign = run[0].0;
    let lines: Vec<String> = run.iter().map(|(sign, text)| format!("{sign}{text}")).collect();
    let fresh: Vec<_> = lines.iter().filter(|line| !seen.contains(*line)).cloned().collect();
    let known = lines.len() - fresh.len();
    let cut = fresh.len().saturating_sub(MAX_RUN_LINES);
    let mut shown: Vec<String> = fresh[..fresh.len() - cut].to_vec();
    if cut > 0 {
        shown.push(left_out(sign, cut, "more"));
    }
    if known > 0 {
        shown.push(left_out(sign, known, "as above"));
    }
    seen.extend(fresh);
    shown
}

#[cfg(test)]
mod tests {
    use super::super::transcript::tests::step;
    use super::*;

    fn transcript(answers: [&[&str]; 3]) -> Transcript {
        let titles = ["one", "two", "three"];
        let steps = titles.iter().zip(answers).map(|(title, answer)| step("A", title, answer));
        Transcript { steps: steps.collect() }
    }

    #[test]
    fn a_changed_answer_is_shown_and_the_same_change_again_is_counted() {
        let before = transcript([&["200 OK", "x"], &["200 OK", "x"], &["404 Not Found"]]);
        let after = transcript([&["200 OK", "y"], &["200 OK", "y"], &["200 OK", "z"]]);
        let text = between((2, &before), (3, &after)).unwrap();
        assert!(
            text.contains("Of the 3 steps of the scenario, 3 are answered otherwise."),
            "{text}"
        );
        assert!(text.contains("| **A** | three | 404 Not Found | 200 OK |"), "{text}");
        let diff = "@@ A: one @@\n > GET /x\n 200 OK\n-x\n+y\n\
                    @@ A: three @@\n > GET /x\n-404 Not Found\n+200 OK\n+z\n\
                    @@ nothing but differences that are above @@\n A: two\n";
        assert!(text.contains(diff), "{text}");
    }

    #[test]
    fn equal_transcripts_and_other_scenarios_are_told_apart() {
        let before = transcript([&["200 OK"]; 3]);
        let text = between((2, &before), (3, &before)).unwrap();
        assert!(text.contains("All 3 steps"), "{text}");
        let mut other = before.clone();
        other.steps[1].request = vec!["GET /y".to_owned()];
        assert!(between((2, &before), (3, &other)).is_err());
    }

    #[test]
    fn what_is_long_is_cut_and_what_did_not_change_is_left_out() {
        let long: Vec<String> = (0..30).map(|n| format!("line {n}")).collect();
        let long: Vec<&str> = long.iter().map(String::as_str).collect();
        let before = transcript([&["200 OK"], &["a", "b", "c", "d", "e"], &[]]);
        let after = transcript([&long, &["a", "b", "c", "d", "f"], &[]]);
        let text = between((2, &before), (3, &after)).unwrap();
        assert!(text.contains("+line 11\n+... 18 lines more\n"), "{text}");
        assert!(text.contains(" > GET /x\n a\n ...\n d\n-e\n+f\n"), "{text}");
    }
}
