//! Runs a short command with a timeout.

use std::path::{Path, PathBuf};
use std::process::{Output, Stdio};
use std::time::Duration;

/// Why a command has no output.
#[derive(Debug, thiserror::Error)]
pub enum CommandError {
    /// It could not be started, or its output could not be read.
    #[error("cannot run {}", program.display())]
    Spawn {
        /// The program.
        program: PathBuf,
        /// The system's error.
        source: std::io::Error,
    },
    /// It did not end in time, and was killed.
    #[error("{} did not end within {} s", program.display(), after.as_secs())]
    Timeout {
        /// The program.
        program: PathBuf,
        /// The timeout.
        after: Duration,
    },
}

/// Runs `program` to its end, with nothing on its standard input, and returns its exit status and
/// output. One that does not end within `timeout` is killed.
///
/// # Errors
///
/// When it cannot be started, or does not end in time. An exit status other than 0 is no error here.
pub async fn command_output(
    program: &Path,
    args: &[&str],
    timeout: Duration,
) -> Result<Output, CommandError> {
    let running = tokio::process::Command::new(program)
        .args(args)
        .stdin(Stdio::null())
        .kill_on_drop(true)
        .output();
    match tokio::time::timeout(timeout, running).await {
        Ok(Ok(output)) => Ok(output),
        Ok(Err(source)) => Err(CommandError::Spawn { program: program.to_owned(), source }),
        Err(_) => Err(CommandError::Timeout { program: program.to_owned(), after: timeout }),
    }
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use super::*;

    #[tokio::test]
    async fn a_command_has_output_or_an_error() {
        let timeout = Duration::from_secs(20);
        let run = |program: &'static str, args: &'static [&'static str], timeout| {
            command_output(Path::new(program), args, timeout)
        };
        let output = run("sh", &["-c", "cat; echo out; echo err >&2; exit 3"], timeout).await;
        let output = output.unwrap();
        assert_eq!(output.status.code(), Some(3));
        assert_eq!(
            (output.stdout.as_slice(), output.stderr.as_slice()),
            (&b"out\n"[..], &b"err\n"[..])
        );

        let error = run("/nowhere/program", &[], timeout).await.unwrap_err();
        assert!(matches!(error, CommandError::Spawn { .. }), "{error}");

        let started = Instant::now();
        let error = run("sleep", &["60"], Duration::from_millis(50)).await.unwrap_err();
        assert!(matches!(error, CommandError::Timeout { .. }), "{error}");
        assert!(started.elapsed() < Duration::from_secs(50), "it was not killed");
    }
}
