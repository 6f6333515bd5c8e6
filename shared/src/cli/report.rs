//! `test` and `doctor`: lists of findings, and an exit code that says whether all is well.

use std::process::ExitCode;

use tokio_util::sync::CancellationToken;

use super::{Exit, Settings, Stage, fail};
use crate::component;

/// How one thing on this machine is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Severity {
    /// As it should be.
    Good,
    /// The stage works, but less well, or less safely, than it could.
    Warning,
    /// The stage cannot work.
    Missing,
}

/// One finding of `doctor`.
#[derive(Debug, Clone)]
pub struct Diagnosis {
    /// What was looked at.
    pub subject: String,
    /// How it is.
    pub state: Severity,
    /// What was seen.
    pub seen: String,
    /// What to do about it; empty when there is nothing to do.
    pub remedy: String,
}

impl Diagnosis {
    /// All is well with `subject`.
    pub fn good(subject: &str, seen: impl Into<String>) -> Self {
        Self::with(subject, Severity::Good, seen, "")
    }

    /// `subject` could be better: do as `remedy` says.
    pub fn warning(subject: &str, seen: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self::with(subject, Severity::Warning, seen, remedy)
    }

    /// The stage cannot work without `subject`: do as `remedy` says.
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

pub(super) fn doctor(findings: Vec<Diagnosis>) -> ExitCode {
    let mut fit = true;
    for Diagnosis { subject, state, seen, remedy } in findings {
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
        Err(error) => return fail(error.as_ref(), Exit::Platform),
    };
    let (mut passed, mut failed) = (0, 0);
    for part in &app.components {
        component::verify(part.as_ref(), |check| {
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
    let now = CancellationToken::new();
    now.cancel();
    app.evaluations.shutdown(now).await;
    app.engine.close().await;
    println!("{passed} passed, {failed} failed");
    if failed == 0 { Exit::Success.into() } else { Exit::Failure.into() }
}
