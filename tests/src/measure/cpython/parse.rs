//! What `verdicts.py` tells, line by line.

use std::collections::BTreeMap;

use anyhow::{Context as _, Result};
use serde::{Deserialize, Serialize};

/// How one test ended.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Verdict {
    /// One of unittest's words, or `did not end`.
    pub verdict: String,
    /// What it said, when it did not simply pass.
    pub said: String,
}

/// Everything that one run of a module told.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Told {
    /// Each test's verdict.
    pub(super) verdicts: BTreeMap<String, Verdict>,
    /// The test that had begun when the process ended.
    pub(super) unfinished: Option<String>,
    /// The version of Python, which is told at the end: None when there was none.
    pub(super) python: Option<String>,
}

#[derive(Deserialize)]
#[serde(tag = "kind", rename_all = "lowercase", deny_unknown_fields)]
enum Line {
    Started { test: String },
    Verdict { test: String, verdict: String, said: String },
    End { python: String },
}

impl Told {
    /// Reads the lines that begin with `marker`.
    ///
    /// # Errors
    ///
    /// When such a line is not one of the harness's: then the harness itself is at fault.
    pub(super) fn parse(stdout: &str, marker: &str) -> Result<Self> {
        let mut told = Self::default();
        for line in stdout.lines().filter_map(|line| line.strip_prefix(marker)) {
            let line = serde_json::from_str(line);
            match line.context("the harness told something that is not a verdict")? {
                Line::Started { test } => told.unfinished = Some(test),
                Line::Verdict { test, verdict, said } => {
                    // A class that is skipped tells without having begun.
                    told.unfinished.take_if(|started| *started == test);
                    told.verdicts.insert(test, Verdict { verdict, said });
                }
                Line::End { python } => (told.unfinished, told.python) = (None, Some(python)),
            }
        }
        Ok(told)
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

    const BEGUN: &str = "M {\"kind\": \"started\", \"test\": \"a\"}\n";
    const PASSED: &str =
        "M {\"kind\": \"verdict\", \"test\": \"a\", \"verdict\": \"passed\", \"said\": \"\"}\n";

    fn parse(stdout: &str) -> Told {
        Told::parse(stdout, "M ").unwrap()
    }

    #[test]
    fn only_marked_lines_count() {
        let told = parse(&format!(
            "noise {PASSED}{BEGUN}{PASSED}M {{\"kind\": \"end\", \"python\": \"3\"}}"
        ));
        assert_eq!(told.counts(), [("passed".to_owned(), 1)].into());
        assert_eq!((told.unfinished, told.python.as_deref()), (None, Some("3")));
    }

    #[test]
    fn a_test_without_an_end_is_unfinished() {
        assert_eq!(parse(BEGUN).unfinished.as_deref(), Some("a"));
        assert_eq!(parse(&format!("{BEGUN}{PASSED}")).unfinished, None);
        assert!(Told::parse("M torn", "M ").is_err());
    }
}
