//! Why a sandbox did not start. `Display` is what a client may read: no path of the host and no
//! text from a sandbox is in it. Those are in the sources, for the log and for `doctor`.

use std::error::Error;
use std::fmt;
use std::io;

use stage_04_docker::CgroupError;

use super::connection::ConnectionError;
use super::sandbox::START_TIMEOUT;

/// Why a sandbox did not start.
#[derive(Debug, thiserror::Error)]
pub(super) enum SandboxError {
    /// The engine is being closed.
    #[error("the engine is being closed")]
    Closing,
    /// A directory, a file or a socket could not be created.
    #[error("cannot create the sandbox's files")]
    Files(#[source] io::Error),
    /// Its cgroup could not be created, or does not accept a limit.
    #[error("cannot create the sandbox's cgroup")]
    Cgroup(#[from] CgroupError),
    /// Its OCI specification could not be built.
    #[error("cannot build the sandbox's specification")]
    Specification(#[from] oci_spec::OciSpecError),
    /// `runsc` could not be started.
    #[error("cannot run runsc")]
    Runsc(#[source] io::Error),
    /// `runsc` or the supervisor ended before the program's interpreter was ready.
    #[error("the sandbox ended before it was ready")]
    Ended(#[source] Text),
    /// The supervisor could not start the interpreter.
    #[error("the supervisor cannot start the interpreter")]
    Interpreter(#[source] io::Error),
    /// The interpreter wrote something else than that it is ready.
    #[error("the interpreter did not report that it is ready")]
    NotReady(#[source] Text),
    /// The supervisor broke its protocol.
    #[error("the sandbox broke the protocol")]
    Protocol(#[source] ConnectionError),
    /// It was not ready in time.
    #[error("the sandbox was not ready within {} s", START_TIMEOUT.as_secs())]
    Timeout,
    /// No sandbox of the pool became ready in time.
    #[error(
        "no sandbox became ready within {} s: {}", START_TIMEOUT.as_secs(),
        last_failure.as_deref().unwrap_or("all of them are in use")
    )]
    NoneReady {
        /// Why the last start failed, when no start has succeeded since.
        last_failure: Option<String>,
    },
}

/// Text of `runsc` or of a sandbox, as the source of an error.
#[derive(Debug)]
pub(super) struct Text(pub(super) String);

impl fmt::Display for Text {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(if self.0.is_empty() { "no output" } else { &self.0 })
    }
}

impl Error for Text {}

#[cfg(test)]
mod tests {
    use super::super::isolation_check::IsolationError;
    use super::*;

    /// A client reads no path and no number of the host, whatever is in the sources.
    #[test]
    fn what_a_client_reads_is_the_platforms_own_text() {
        let path = "/var/lib/crucible/runsc-7ecd7d45.4026531836.15195";
        let io = || io::Error::other(format!("cannot write {path}"));
        let text = || Text(format!("\u{1b}]0;title\u{7} {path}"));
        let cgroup = CgroupError::Create { path: path.into(), source: io() };
        let errors = [
            SandboxError::Closing,
            SandboxError::Files(io()),
            SandboxError::Cgroup(cgroup),
            SandboxError::Runsc(io()),
            SandboxError::Ended(text()),
            SandboxError::Interpreter(io()),
            SandboxError::NotReady(text()),
            SandboxError::Protocol(ConnectionError::Io(io())),
            SandboxError::Timeout,
        ];
        let last_failures = errors.iter().map(ToString::to_string).collect::<Vec<_>>();
        let none_ready = last_failures.iter().map(|failure| {
            let error = SandboxError::NoneReady { last_failure: Some(failure.clone()) };
            error.to_string()
        });
        let ended =
            IsolationError::Ended { stop: stage_04_docker::Stop::SandboxDied, seen: text() };
        let isolation = [ended, IsolationError::Differs(text())];
        let isolation = isolation.iter().map(ToString::to_string);
        for shown in last_failures.iter().cloned().chain(none_ready).chain(isolation) {
            assert!(!shown.contains(['/', '\u{1b}']) && !shown.contains("15195"), "{shown}");
        }
    }
}
