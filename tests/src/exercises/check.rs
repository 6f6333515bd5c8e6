//! Runs the check of an exercise.
//!
//! A check exits with 0 when the answer passes and with 1 when it does not yet, and then its standard
//! output says why. Everything else is an error of the check itself.

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context as _, Result, bail};

use super::catalog::Exercise;
use crate::support::stages;

/// After this time a check is ended, and has failed.
const CHECK_TIMEOUT: Duration = Duration::from_mins(2);

/// What a check says of an answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Judgement {
    /// It does what the task asks for.
    Passed,
    /// It does not, for this reason.
    NotYet(String),
}

/// Checks `answer`. Blocks. The binaries of the exercise's stages are built first.
///
/// # Errors
///
/// When a stage does not build, or the check itself fails.
pub fn check(exercise: &Exercise, answer: &Path) -> Result<Judgement> {
    let mut command = Command::new("timeout");
    command.arg("--kill-after=5").arg(CHECK_TIMEOUT.as_secs().to_string());
    command.arg("python3").arg(exercise.dir.join("check.py")).arg(answer);
    command.env("PYTHONPATH", exercise.dir.parent().unwrap_or(&exercise.dir));
    command.env("PYTHONDONTWRITEBYTECODE", "1");
    for stage in &exercise.stages {
        let stage = stages::find(*stage)?;
        command.env(format!("CRUCIBLE_STAGE_{:02}", stage.number), stage.binary()?);
    }
    let output = command.output().context("cannot run python3")?;
    let said = String::from_utf8_lossy(&output.stdout).trim().to_owned();
    match output.status.code() {
        Some(0) => Ok(Judgement::Passed),
        Some(1) if !said.is_empty() => Ok(Judgement::NotYet(said)),
        _ => bail!(
            "the check of {} failed itself ({}):\n{}",
            exercise.id,
            output.status,
            String::from_utf8_lossy(&output.stderr)
        ),
    }
}
