//! Calls of the program `runsc`, each with a timeout.

use std::path::Path;
use std::time::Duration;

use stage_02_queue::{CommandError, command_output};

/// How long `runsc` has to report about itself or a sandbox.
const QUERY_TIMEOUT: Duration = Duration::from_secs(10);

/// Why a call of `runsc` has no result.
#[derive(Debug, thiserror::Error)]
pub enum RunscCommandError {
    /// Docker's configuration has no path of the runtime.
    #[error("Docker does not report the path of runsc")]
    NoPath,
    /// It could not be run.
    #[error(transparent)]
    Command(#[from] CommandError),
    /// It ended with an error.
    #[error("{command} failed: {stderr}")]
    Failed {
        /// The program and its arguments.
        command: String,
        /// Its standard error.
        stderr: String,
    },
    /// The program is not `runsc`.
    #[error("{program} is not runsc: its version is {output:?}")]
    NotRunsc {
        /// The program.
        program: String,
        /// Its output.
        output: String,
    },
}

/// Runs `program` with these arguments, and returns its standard output.
///
/// # Errors
///
/// When it cannot be run, does not end in time, or fails.
pub async fn run_runsc(program: &Path, args: &[&str]) -> Result<String, RunscCommandError> {
    let output = command_output(program, args, QUERY_TIMEOUT).await?;
    if output.status.success() {
        return Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned());
    }
    Err(RunscCommandError::Failed {
        command: format!("{} {}", program.display(), args.join(" ")),
        stderr: String::from_utf8_lossy(&output.stderr).trim().to_owned(),
    })
}

/// The version of the `runsc` at this path.
///
/// # Errors
///
/// When it cannot be run, or is another program.
pub async fn runsc_version(program: &Path) -> Result<String, RunscCommandError> {
    let output = run_runsc(program, &["--version"]).await?;
    let first_line = output.lines().next().unwrap_or_default();
    match first_line.strip_prefix("runsc version ") {
        Some(version) => Ok(version.to_owned()),
        None => Err(RunscCommandError::NotRunsc { program: program.display().to_string(), output }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn another_program_is_not_runsc() {
        let error = runsc_version(Path::new("echo")).await.unwrap_err();
        assert!(matches!(error, RunscCommandError::NotRunsc { .. }), "{error}");
        let error = runsc_version(Path::new("false")).await.unwrap_err();
        assert!(matches!(error, RunscCommandError::Failed { .. }), "{error}");
    }
}
