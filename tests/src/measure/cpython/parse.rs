//! The report of `verdicts.py`, line by line.

use std::collections::BTreeMap;

use anyhow::{Context as _, Result};
use serde::{Deserialize, Serialize};

/// How one test ended.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Verdict {
    /// unittest's term for it, or `did not end`.
    pub verdict: String,
    /// Its message, unless it passed.
    pub message: String,
}

/// The report of one run of a module.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Results {
    /// Each test's verdict.
    pub(super) verdicts: BTreeMap<String, Verdict>,
    /// The test that had started when the process ended.
    pub(super) unfinished: Option<String>,
    /// The version of Python, which is reported at the end: None when the run did not get there.
    pub(super) python: Option<String>,
}

#[derive(Deserialize)]
#[serde(tag = "kind", rename_all = "lowercase", deny_unknown_fields)]
enum Line {
    Started { test: String },
    Verdict { test: String, verdict: String, message: String },
    End { python: String },
}

impl Results {
    /// Reads the lines that begin with `marker`.
    ///
    /// # Errors
    ///
    /// When such a line is malformed: then `verdicts.py` itself has a bug.
    pub(super) fn parse(stdout: &str, marker: &str) -> Result<Self> {
        let mut results = Self::default();
        for line in stdout.lines().filter_map(|line| line.strip_prefix(marker)) {
            let line = serde_json::from_str(line);
            match line.context("verdicts.py printed a malformed line")? {
                Line::Started { test } => results.unfinished = Some(test),
                Line::Verdict { test, verdict, message } => {
                    // A skipped class reports a verdict without a start.
                    results.unfinished.take_if(|started| *started == test);
                    results.verdicts.insert(test, Verdict { verdict, message });
                }
                Line::End { python } => (results.unfinished, results.python) = (None, Some(python)),
            }
        }
        Ok(results)
    }

    /// How many tests ended how.
    pub(super) fn counts(&self) -> BTreeMap<String, usize> {
        let mut counts = BTreeMap::new();
        for verdict in self.verdicts.values() {
            *counts.entry(verdict.verdict.clone()).or_default() += 1;
        }
        counts
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const STARTED: &str = "M {\"kind\": \"started\", \"test\": \"a\"}\n";
    const PASSED: &str =
        "M {\"kind\": \"verdict\", \"test\": \"a\", \"verdict\": \"passed\", \"message\": \"\"}\n";

    fn parse(stdout: &str) -> Results {
        Results::parse(stdout, "M ").unwrap()
    }

    #[test]
    fn only_marked_lines_count() {
        let results = parse(&format!(
            "noise {PASSED}{STARTED}{PASSED}M {{\"kind\": \"end\", \"python\": \"3\"}}"
        ));
        assert_eq!(results.counts(), [("passed".to_owned(), 1)].into());
        assert_eq!((results.unfinished, results.python.as_deref()), (None, Some("3")));
    }

    #[test]
    fn a_test_without_an_end_is_unfinished() {
        assert_eq!(parse(STARTED).unfinished.as_deref(), Some("a"));
        assert_eq!(parse(&format!("{STARTED}{PASSED}")).unfinished, None);
        assert!(Results::parse("M torn", "M ").is_err());
    }
}
