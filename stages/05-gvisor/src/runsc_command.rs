//! Calls of the program `runsc`, each with a timeout.

use std::path::Path;
use std::time::Duration;

use stage_02_queue::{CommandError, command_output};

/// How long `runsc` has to report about itself or a sandbox.
const QUERY_TIMEOUT: Duration = Duration::from_secs(10);
/// Keeps gVisor's own process unprivileged.
pub(crate) const NO_DIRECTFS: &str = "--directfs=false";

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

// ANCHOR: arguments
/// Arguments for every call of the `runsc` at this path that starts a sandbox: those of its release.
///
/// Attack: gain control of gVisor's own process and open the host's files -> it runs as nobody, and
/// another process opens the image's files for it. Newer releases have a shortcut, on by default,
/// for which it runs as root. Older ones do not know the flag, and end when they see it.
/// Tests: `a_sandbox_without_isolation_of_its_own_is_refused`, and the first below.
///
/// # Errors
///
/// When it cannot be run.
pub async fn sandbox_arguments(program: &Path) -> Result<Vec<&'static str>, RunscCommandError> {
    match run_runsc(program, &["--version", NO_DIRECTFS]).await {
        Ok(_) => Ok(vec![NO_DIRECTFS]),
        Err(RunscCommandError::Failed { .. }) => Ok(Vec::new()),
        Err(error) => Err(error),
    }
}
// ANCHOR_END: arguments

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_flag_is_given_only_to_a_release_that_knows_it() {
        let dir = tempfile::tempdir().unwrap();
        let release = |name: &str, script: &str| {
            let path = dir.path().join(name);
            std::fs::write(&path, format!("#!/bin/sh\n{script}\n")).unwrap();
            let mode = std::os::unix::fs::PermissionsExt::from_mode(0o755);
            std::fs::set_permissions(&path, mode).unwrap();
            path
        };
        let newer = release("newer", "echo runsc version 1");
        let older = release("older", "case $* in *directfs*) exit 2 ;; esac");
        assert_eq!(sandbox_arguments(&newer).await.unwrap(), [NO_DIRECTFS]);
        assert!(sandbox_arguments(&older).await.unwrap().is_empty());
        sandbox_arguments(Path::new("/nowhere")).await.unwrap_err();
    }

    #[tokio::test]
    async fn another_program_is_not_runsc() {
        let error = runsc_version(Path::new("echo")).await.unwrap_err();
        assert!(matches!(error, RunscCommandError::NotRunsc { .. }), "{error}");
        let error = runsc_version(Path::new("false")).await.unwrap_err();
        assert!(matches!(error, RunscCommandError::Failed { .. }), "{error}");
    }
}
