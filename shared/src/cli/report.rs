//! `doctor`: a list of checks, and an exit code that is 0 if nothing is missing.

use super::Exit;

/// The result of one check of `doctor`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Severity {
    /// In order.
    Good,
    /// The stage works, but less well, or less safely, than it could.
    Warning,
    /// The stage cannot work.
    Missing,
}

/// One check of `doctor`.
#[derive(Debug, Clone)]
pub struct Diagnosis {
    /// What was checked.
    pub subject: String,
    /// The result.
    pub state: Severity,
    /// What was seen.
    pub seen: String,
    /// What to do about it; empty when there is nothing to do.
    pub remedy: String,
}

impl Diagnosis {
    /// `subject` is in order.
    pub fn good(subject: &str, seen: impl Into<String>) -> Self {
        Self::with(subject, Severity::Good, seen.into(), String::new())
    }

    /// `subject` could be better; `remedy` is what to do.
    pub fn warning(subject: &str, seen: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self::with(subject, Severity::Warning, seen.into(), remedy.into())
    }

    /// The stage cannot work without `subject`; `remedy` is what to do.
    pub fn missing(subject: &str, seen: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self::with(subject, Severity::Missing, seen.into(), remedy.into())
    }

    fn with(subject: &str, state: Severity, seen: String, remedy: String) -> Self {
        Self { subject: subject.to_owned(), state, seen, remedy }
    }
}

pub(super) fn doctor(checks: Vec<Diagnosis>) -> Exit {
    let mut fit = true;
    for Diagnosis { subject, state, seen, remedy } in checks {
        let mark = match state {
            Severity::Good => "ok     ",
            Severity::Warning => "warning",
            Severity::Missing => "MISSING",
        };
        fit &= state != Severity::Missing;
        println!("{mark}  {subject}: {}", crate::harmless(&seen));
        if !remedy.is_empty() {
            println!("         -> {remedy}");
        }
    }
    if fit { Exit::SUCCESS } else { Exit::FAILURE }
}
