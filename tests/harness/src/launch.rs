//! Starting a binary, until it listens.

use std::ffi::{OsStr, OsString};
use std::io::{BufRead as _, BufReader, Read};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::mpsc::channel;
use std::time::Duration;

use crate::log::Log;
use crate::server::Server;

/// How long a stage may take until it listens: stage 05 verifies gVisor before that.
const START_TIMEOUT: Duration = Duration::from_mins(1);
/// The drain time that a stage is started with, unless the test gives one.
const DEFAULT_DRAIN_SECONDS: &str = "1";

/// Why a binary was not started.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The operating system did not start it.
    #[error("cannot start {}", binary.display())]
    Spawn {
        /// The binary.
        binary: PathBuf,
        /// What the operating system reported.
        source: std::io::Error,
    },
    /// Its first line was another one than `listening on http://...`.
    #[error("{name} printed {line:?} instead of `listening on http://...`; {log}")]
    NotListening {
        /// The binary's name.
        name: String,
        /// Its first line; empty when it exited first.
        line: String,
        /// The end of its standard error.
        log: String,
    },
    /// It printed no line in time.
    #[error("{name} printed nothing within {} s; {log}", START_TIMEOUT.as_secs())]
    Timeout {
        /// The binary's name.
        name: String,
        /// The end of its standard error.
        log: String,
    },
}

/// The path of another binary of this workspace, beside the one of the running test.
///
/// # Panics
///
/// When it is not built.
pub fn binary(name: &str) -> PathBuf {
    let test = std::env::current_exe().expect("the test has a path");
    // target/PROFILE/deps/test-HASH
    let profile = test.parent().and_then(Path::parent).expect("a test is in target/PROFILE/deps");
    let path = profile.join(name);
    assert!(path.exists(), "{} is not built: cargo build -p {name}", path.display());
    path
}

/// How to start a binary.
#[derive(Debug, Clone)]
pub struct Launch {
    binary: PathBuf,
    wrapper: Vec<OsString>,
    arguments: Vec<OsString>,
    variables: Vec<(OsString, OsString)>,
    kill_on_drop: bool,
}

impl Launch {
    /// `binary` on a free port of the loopback interface, unless an argument is `--listen`.
    pub fn new(binary: impl Into<PathBuf>) -> Self {
        let (wrapper, arguments, variables) = Default::default();
        Self { binary: binary.into(), wrapper, arguments, variables, kill_on_drop: false }
    }

    /// Starts it by another program, which gets the command line of the binary after its own
    /// arguments. [`Server::pid`] is then the id of that program.
    #[must_use]
    pub fn with_wrapper(mut self, wrapper: Vec<OsString>) -> Self {
        self.wrapper = wrapper;
        self
    }

    /// One more command-line argument.
    #[must_use]
    pub fn arg(mut self, argument: impl Into<OsString>) -> Self {
        self.arguments.push(argument.into());
        self
    }

    /// More command-line arguments.
    #[must_use]
    pub fn args(mut self, arguments: impl IntoIterator<Item = impl Into<OsString>>) -> Self {
        self.arguments.extend(arguments.into_iter().map(Into::into));
        self
    }

    /// One more environment variable.
    #[must_use]
    pub fn env(mut self, name: impl Into<OsString>, value: impl Into<OsString>) -> Self {
        self.variables.push((name.into(), value.into()));
        self
    }

    /// Dropping the server kills the process at once. For a process with which everything ends that it
    /// started, such as one that is the parent of a PID namespace.
    #[must_use]
    pub fn kill_on_drop(mut self) -> Self {
        self.kill_on_drop = true;
        self
    }

    /// Starts it with a short drain time, and waits until it listens.
    ///
    /// # Panics
    ///
    /// With its standard error, when it does not listen.
    pub fn start(mut self) -> Server {
        let given = self.arguments.iter().any(|argument| argument == "--drain-seconds");
        if self.drains() && !given {
            self = self.args(["--drain-seconds", DEFAULT_DRAIN_SECONDS]);
        }
        self.try_start().unwrap_or_else(|error| panic!("{error}"))
    }

    /// Starts it as it is configured, and waits until it listens.
    ///
    /// # Errors
    ///
    /// [`StartError`], and then no process is left.
    pub fn try_start(self) -> Result<Server, StartError> {
        let name = self.name();
        let program = self.wrapper.iter().map(OsString::as_os_str);
        let mut program = program.chain([self.binary.as_os_str()]);
        let mut command = Command::new(program.next().unwrap_or_default());
        let is_given = self.arguments.iter().any(|argument| argument == "--listen");
        let listen: &[&str] = if is_given { &[] } else { &["--listen", "127.0.0.1:0"] };
        command
            .args(program)
            .args(listen)
            .args(&self.arguments)
            .envs(self.variables.iter().map(|(name, value)| (name, value)))
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        let spawned = command.spawn();
        let mut child =
            spawned.map_err(|source| StartError::Spawn { binary: self.binary.clone(), source })?;
        let log = Log::default();
        log.collect(child.stderr.take().expect("standard error is a pipe"));
        let first_line = first_line(child.stdout.take().expect("standard output is a pipe"));
        let mut server = Server::new(name, child, log, self.kill_on_drop);
        let Some(line) = first_line else {
            let (name, log) = server.abandon();
            return Err(StartError::Timeout { name, log });
        };
        let url = line.trim().strip_prefix("listening on ");
        let Some(url) = url.filter(|url| url.starts_with("http://")) else {
            let (name, log) = server.abandon();
            return Err(StartError::NotListening { name, line, log });
        };
        server.set_url(url);
        Ok(server)
    }

    fn name(&self) -> String {
        let name = self.binary.file_name().unwrap_or(OsStr::new("the binary"));
        name.to_string_lossy().into_owned()
    }

    /// Stage 01 has no drain time.
    fn drains(&self) -> bool {
        !self.name().starts_with("stage-01-")
    }
}

/// The first line of `stdout`, empty at its end; None after the timeout. The rest is read and
/// dropped, so that the process never blocks.
fn first_line(stdout: impl Read + Send + 'static) -> Option<String> {
    let (sender, receiver) = channel();
    std::thread::spawn(move || {
        let mut stdout = BufReader::new(stdout);
        let mut line = String::new();
        let read = stdout.read_line(&mut line);
        sender.send(if read.is_ok() { line } else { String::new() }).ok();
        std::io::copy(&mut stdout, &mut std::io::sink()).ok();
    });
    receiver.recv_timeout(START_TIMEOUT).ok()
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    /// A program that is started like a stage.
    fn script(body: &str) -> (PathBuf, Launch) {
        let name = format!("harness-{}", uuid::Uuid::now_v7());
        let path = std::env::temp_dir().join(name);
        std::fs::write(&path, format!("#!/bin/sh\n{body}\n")).unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o700)).unwrap();
        // By way of the shell, because a file that was just written may be "busy".
        let launch = Launch::new(&path).with_wrapper(vec!["/bin/sh".into()]);
        (path, launch)
    }

    #[test]
    fn a_server_is_started_and_stopped() {
        let (path, launch) = script(
            "trap 'exit 3' TERM; echo \"$V $*\" >&2; echo 'listening on http://127.0.0.1:1';\n\
             while :; do sleep 0.05; done",
        );
        let server = launch.arg("--flag").env("V", "value").start();
        assert_eq!((server.url(), server.address()), ("http://127.0.0.1:1", "127.0.0.1:1"));
        let expected = "value --listen 127.0.0.1:0 --flag --drain-seconds 1\n";
        // Standard error is read by another thread.
        let started = std::time::Instant::now();
        while server.stderr() != expected {
            assert!(started.elapsed().as_secs() < 5, "{:?}", server.stderr());
        }
        assert_eq!(server.stop(), Some(3));
        std::fs::remove_file(path).unwrap();
    }

    #[test]
    fn a_binary_that_does_not_listen_is_an_error_with_its_log() {
        for (body, kind) in [
            ("echo why >&2; echo hello; sleep 60", "\"hello\\n\" instead"),
            ("echo why >&2; echo listening on 1", "\"listening on 1\\n\" instead"),
            ("echo why >&2; exit 1", "printed \"\" instead"),
        ] {
            let (path, launch) = script(body);
            let error = launch.try_start().unwrap_err().to_string();
            assert!(error.contains(kind) && error.ends_with("why"), "{error}");
            std::fs::remove_file(path).unwrap();
        }
        let missing = Launch::new("/nowhere/stage").try_start().unwrap_err();
        assert_eq!(missing.to_string(), "cannot start /nowhere/stage");
    }
}
