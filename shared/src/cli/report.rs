//! `test` and `doctor`: lists of checks, and an exit code that is 0 if all of them passed.

use std::process::ExitCode;

use super::{Exit, Settings, Stage, fail};
use crate::component;

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
        Self::with(subject, Severity::Good, seen, "")
    }

    /// `subject` could be better; `remedy` is what to do.
    pub fn warning(subject: &str, seen: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self::with(subject, Severity::Warning, seen, remedy)
    }

    /// The stage cannot work without `subject`; `remedy` is what to do.
    pub fn missing(subject: &str, seen: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self::with(subject, Severity::Missing, seen, remedy)
    }

    fn with(
        subject: &str,
        state: Severity,
        seen: impl Into<String>,
        remedy: impl Into<String>,
    ) -> Self {
        Self { subject: subject.to_owned(), state, seen: seen.into(), remedy: remedy.into() }
    }
}

pub(super) fn doctor(checks: Vec<Diagnosis>) -> ExitCode {
    let mut fit = true;
    for Diagnosis { subject, state, seen, remedy } in checks {
        let mark = match state {
            Severity::Good => "ok     ",
            Severity::Warning => "warning",
            Severity::Missing => "MISSING",
        };
        fit &= state != Severity::Missing;
        println!("{mark}  {subject}: {seen}");
        if !remedy.is_empty() {
            println!("         -> {remedy}");
        }
    }
    if fit { Exit::Success.into() } else { Exit::Failure.into() }
}

pub(super) async fn test<S: Stage>(settings: &Settings, args: &S::Args) -> ExitCode {
    let app = match S::build(settings, args).await {
        Ok(app) => app,
        Err(error) => return fail(&error, Exit::Platform),
    };
    let (mut passed, mut failed) = (0, 0);
    for component in &app.components {
        component::verify(component.as_ref(), |check| {
            let mark = if check.passed { "pass" } else { "FAIL" };
            let count = if check.passed { &mut passed } else { &mut failed };
            *count += 1;
            println!(
                "{mark}  {}: {} ({} ms)\n      {}",
                check.component, check.name, check.millis, check.detail
            );
        })
        .await;
    }
    app.close_now().await;
    println!("{passed} passed, {failed} failed");
    if failed == 0 { Exit::Success.into() } else { Exit::Failure.into() }
}
