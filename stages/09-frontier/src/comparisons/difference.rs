//! What differs between two evaluations.
//!
//! Programs choose both outputs, and the time that Myers' algorithm takes grows with the lines times the differences.
//! So it gets a bounded number of lines, and what it finds is cut; whether two outputs are the same is decided on all
//! of them.

use serde::Serialize;
use shared::Evaluation;
use shared::evaluation::{Encoding, Output, Usage};
use similar::{Algorithm, ChangeTag, TextDiff};

/// Lines of each output that are compared.
const MAX_LINES: usize = 2_000;
/// Bytes of each output that are compared.
const MAX_COMPARED_BYTES: usize = 256 << 10;
/// The longest text of a difference.
const MAX_DIFF_BYTES: usize = 64 << 10;
/// Lines around each difference.
const CONTEXT_LINES: usize = 3;

/// What differs between two evaluations that have ended.
#[derive(Debug, Serialize)]
pub(super) struct Differences {
    /// Whether outcome, exit code, signal and both outputs are the same. Usage never is, and does not count.
    same: bool,
    /// Whether outcome, exit code and signal are the same.
    same_outcome: bool,
    stdout: OutputDifference,
    stderr: OutputDifference,
    usage: UsageDifference,
}

/// What differs between two outputs.
#[derive(Debug, Serialize)]
struct OutputDifference {
    same: bool,
    /// Lines of the first that the second does not have, as far as they were compared.
    removed: usize,
    /// Lines of the second that the first does not have, as far as they were compared.
    added: usize,
    /// A unified diff. Empty when one of them is not text.
    diff: String,
    /// Whether some of the outputs was not compared, or some of the diff is left out.
    truncated: bool,
}

/// The usage of the second minus that of the first, as far as both are known.
#[derive(Debug, Serialize)]
struct UsageDifference {
    #[serde(skip_serializing_if = "Option::is_none")]
    wall_ms: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    cpu_ms: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    memory_peak_bytes: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pids_peak: Option<i64>,
}

impl Differences {
    /// It computes for some milliseconds.
    pub(super) fn between(one: &Evaluation, other: &Evaluation) -> Self {
        let ending =
            |of: &Evaluation| (of.outcome, of.exit_code, of.signal.clone().unwrap_or_default());
        let same_outcome = ending(one) == ending(other);
        let stdout = OutputDifference::between(&one.stdout, &other.stdout);
        let stderr = OutputDifference::between(&one.stderr, &other.stderr);
        let same = same_outcome && stdout.same && stderr.same;
        let usage = UsageDifference::between(
            one.usage.unwrap_or_default(),
            other.usage.unwrap_or_default(),
            one.usage.is_some() && other.usage.is_some(),
        );
        Self { same, same_outcome, stdout, stderr, usage }
    }
}

impl OutputDifference {
    fn between(one: &Output, other: &Output) -> Self {
        let content = |of: &Output| (of.bytes_total, of.encoding, of.truncated);
        let same = one.text == other.text && content(one) == content(other);
        let is_text = one.encoding == Encoding::Utf8 && other.encoding == Encoding::Utf8;
        let is_cut = one.truncated || other.truncated;
        if same || !is_text {
            let diff = String::new();
            return Self { same, removed: 0, added: 0, diff, truncated: !same || is_cut };
        }
        let (left, right) = (beginning(&one.text), beginning(&other.text));
        let is_cut = is_cut || left.len() < one.text.len() || right.len() < other.text.len();
        let compared = TextDiff::configure().algorithm(Algorithm::Myers).diff_lines(left, right);
        let count = |tag| compared.iter_all_changes().filter(|change| change.tag() == tag).count();
        let (removed, added) = (count(ChangeTag::Delete), count(ChangeTag::Insert));
        let whole = compared.unified_diff().context_radius(CONTEXT_LINES).to_string();
        let diff = whole[..whole.floor_char_boundary(MAX_DIFF_BYTES)].to_owned();
        let truncated = is_cut || diff.len() < whole.len();
        Self { same, removed, added, diff, truncated }
    }
}

/// What of an output is compared.
fn beginning(text: &str) -> &str {
    let text = &text[..text.floor_char_boundary(MAX_COMPARED_BYTES)];
    let end = text.match_indices('\n').nth(MAX_LINES - 1).map_or(text.len(), |(at, _)| at + 1);
    &text[..end]
}

impl UsageDifference {
    fn between(one: Usage, other: Usage, is_known: bool) -> Self {
        let signed = |number: u64| i64::try_from(number).unwrap_or(i64::MAX);
        let minus = |one: Option<u64>, other: Option<u64>| {
            one.zip(other).filter(|_| is_known).map(|(one, other)| signed(other) - signed(one))
        };
        Self {
            wall_ms: minus(Some(one.wall_ms), Some(other.wall_ms)),
            cpu_ms: minus(one.cpu_ms, other.cpu_ms),
            memory_peak_bytes: minus(one.memory_peak_bytes, other.memory_peak_bytes),
            pids_peak: minus(one.pids_peak, other.pids_peak),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn between(one: &[u8], other: &[u8]) -> OutputDifference {
        let output = |bytes: &[u8]| Output::new(bytes, bytes.len() as u64);
        OutputDifference::between(&output(one), &output(other))
    }

    #[test]
    fn a_difference_is_a_unified_diff() {
        let found = between(b"a\nb\nc\n", b"a\nB\nc\n");
        assert_eq!(found.diff, "@@ -1,3 +1,3 @@\n a\n-b\n+B\n c\n");
        assert_eq!((found.same, found.removed, found.added, found.truncated), (false, 1, 1, false));
        let same = between(b"a", b"a");
        assert!(same.same && same.diff.is_empty() && !same.truncated);
        let bytes = between(b"\xff", b"a");
        assert!(!bytes.same && bytes.diff.is_empty() && bytes.truncated);
    }

    #[test]
    fn the_difference_of_two_hostile_outputs_is_bounded() {
        let lines = |from: usize| {
            let lines: Vec<_> = (from..from + 200_000).map(|n| n.to_string()).collect();
            lines.join(
                "
",
            )
        };
        let found = between(lines(0).as_bytes(), lines(1_000_000).as_bytes());
        assert_eq!((found.removed, found.added), (MAX_LINES, MAX_LINES));
        assert!(found.truncated && found.diff.len() <= MAX_DIFF_BYTES);
        let wide = "é".repeat(MAX_COMPARED_BYTES);
        let found = between(wide.as_bytes(), b"");
        assert!(found.truncated && found.diff.len() <= MAX_DIFF_BYTES, "{}", found.diff.len());
        // What is beyond the bound still decides.
        let (mut one, mut other) = ("x\n".repeat(MAX_LINES), "x\n".repeat(MAX_LINES));
        one.push('a');
        other.push('b');
        let found = between(one.as_bytes(), other.as_bytes());
        assert!(!found.same && found.diff.is_empty() && found.truncated);
    }

    #[test]
    fn usage_is_what_the_second_needed_more() {
        let usage = |wall_ms, cpu_ms| Usage { wall_ms, cpu_ms, ..Usage::default() };
        let found = UsageDifference::between(usage(7, Some(3)), usage(5, None), true);
        assert_eq!((found.wall_ms, found.cpu_ms), (Some(-2), None));
        let found = UsageDifference::between(usage(7, None), usage(5, None), false);
        assert_eq!(found.wall_ms, None);
    }
}
