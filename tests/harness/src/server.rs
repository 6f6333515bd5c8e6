//! A stage's binary as a process.
//!
//! Threads: two for each process, which read its standard output and standard error to their end.
//!
//! The process stays in the test's process group, so that Ctrl-C and the signal that nextest sends
//! to a test that takes too long reach it as well.

use std::ffi::{OsStr, OsString};
use std::io::{BufRead as _, BufReader, Read};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::channel;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

use crate::client::Client;
use crate::log::Log;

/// How long a stage may take until it listens: stage 05 verifies gVisor before that.
const START_TIMEOUT: Duration = Duration::from_mins(1);
/// How long a stage may take to exit after a signal: its own drain time is at most 10 s.
const STOP_TIMEOUT: Duration = Duration::from_secs(30);
/// How often an exit is polled for.
const POLL_INTERVAL: Duration = Duration::from_millis(10);
/// The drain time that a stage is started with, unless the test gives one.
const DRAIN_SECONDS: &str = "1";
/// How much of the log an error message shows.
const MESSAGE_LOG_BYTES: usize = 8 << 10;

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

/// Why a process was not stopped in order.
#[derive(Debug, thiserror::Error)]
pub enum StopError {
    /// It was killed, because it did not exit in time.
    #[error("{name} did not exit within {} s of the signal; {log}", STOP_TIMEOUT.as_secs())]
    Timeout {
        /// The binary's name.
        name: String,
        /// The end of its standard error.
        log: String,
    },
    /// It exited with an error.
    #[error("{name} ended with {status}; {log}")]
    Status {
        /// The binary's name.
        name: String,
        /// Its exit status.
        status: ExitStatus,
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
}

impl Launch {
    /// `binary` on a free port of the loopback interface.
    pub fn new(binary: impl Into<PathBuf>) -> Self {
        let (wrapper, arguments, variables) = Default::default();
        Self { binary: binary.into(), wrapper, arguments, variables }
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

    /// Starts it with a short drain time, and waits until it listens.
    ///
    /// # Panics
    ///
    /// With its standard error, when it does not listen.
    pub fn start(mut self) -> Server {
        let given = self.arguments.iter().any(|argument| argument == "--drain-seconds");
        if self.drains() && !given {
            self = self.args(["--drain-seconds", DRAIN_SECONDS]);
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
        command
            .args(program)
            .args(["--listen", "127.0.0.1:0"])
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
        let mut server = Server { name, child, log, url: String::new() };
        let Some(line) = first_line else {
            let (name, log) = server.abandon();
            return Err(StartError::Timeout { name, log });
        };
        let url = line.trim().strip_prefix("listening on ");
        let Some(url) = url.filter(|url| url.starts_with("http://")) else {
            let (name, log) = server.abandon();
            return Err(StartError::NotListening { name, line, log });
        };
        url.clone_into(&mut server.url);
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

/// A running stage.
///
/// Dropping it sends SIGTERM and waits for its exit, so that no test leaves a container behind; after
/// a timeout it kills the process and its children. When the test fails, it prints the standard error.
#[derive(Debug)]
pub struct Server {
    name: String,
    url: String,
    child: Child,
    log: Log,
}

impl Server {
    /// `http://127.0.0.1:PORT`, without a slash at the end.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// `127.0.0.1:PORT`.
    pub fn address(&self) -> &str {
        self.url.trim_start_matches("http://")
    }

    /// A new client, with connections of its own.
    pub fn client(&self) -> Client {
        Client::new(self.url())
    }

    /// The process id; of the wrapper, if there is one.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// The end of what the process wrote to standard error so far.
    pub fn stderr(&self) -> String {
        self.log.text()
    }

    /// Sends SIGINT, as Ctrl-C does.
    pub fn interrupt(&self) {
        self.signal(Signal::INT);
    }

    /// Sends SIGTERM, as a service manager does.
    pub fn terminate(&self) {
        self.signal(Signal::TERM);
    }

    /// Sends a signal to the process.
    ///
    /// # Panics
    ///
    /// When the process has exited.
    pub fn signal(&self, signal: Signal) {
        kill_process(pid(&self.child), signal).expect("the stage still runs");
    }

    /// Kills the process with SIGKILL, as the out-of-memory killer does: it cleans nothing up.
    pub fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// Sends SIGTERM and waits for the exit. None when a signal ended the process.
    ///
    /// # Panics
    ///
    /// When it does not exit in time.
    pub fn stop(mut self) -> Option<i32> {
        self.terminate();
        self.exit_code(STOP_TIMEOUT)
    }

    /// Waits for the process to exit. None when a signal ended it.
    ///
    /// # Panics
    ///
    /// When it does not exit within `timeout`.
    pub fn exit_code(&mut self, timeout: Duration) -> Option<i32> {
        let status = self.wait(timeout);
        status.unwrap_or_else(|| panic!("{} did not exit within {timeout:?}", self.name)).code()
    }

    /// Sends SIGTERM and waits for the exit; kills the process when that takes too long.
    ///
    /// # Errors
    ///
    /// [`StopError`] when it had to be killed, or `expected` is false for its exit status.
    pub fn try_stop(
        mut self,
        expected: impl FnOnce(ExitStatus) -> bool,
    ) -> Result<ExitStatus, StopError> {
        // It may have exited by itself, which its status shows.
        kill_process(pid(&self.child), Signal::TERM).ok();
        let Some(status) = self.wait(STOP_TIMEOUT) else {
            let (name, log) = self.abandon();
            return Err(StopError::Timeout { name, log });
        };
        if expected(status) {
            return Ok(status);
        }
        let (name, log) = self.abandon();
        Err(StopError::Status { name, status, log })
    }

    /// The exit status; None when the process still runs after `timeout`.
    fn wait(&mut self, timeout: Duration) -> Option<ExitStatus> {
        let started = Instant::now();
        loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                return Some(status);
            }
            if started.elapsed() > timeout {
                return None;
            }
            std::thread::sleep(POLL_INTERVAL);
        }
    }

    /// Kills what is left, and returns the name and the end of standard error for a message.
    fn abandon(mut self) -> (String, String) {
        self.kill_tree();
        // The reader of standard error gets what the process wrote last.
        std::thread::sleep(POLL_INTERVAL * 10);
        let log = self.log.text();
        let log = log.trim_end();
        let start = log.floor_char_boundary(log.len().saturating_sub(MESSAGE_LOG_BYTES));
        let log = if log.is_empty() { "(nothing)" } else { &log[start..] };
        (self.name.clone(), format!("its standard error ends with:\n{log}"))
    }

    /// Kills the process and its children. Does nothing when it has been waited for.
    fn kill_tree(&mut self) {
        if self.child.try_wait().is_ok_and(|status| status.is_some()) {
            return;
        }
        let children = children(self.child.id());
        // It may exit by itself in this moment.
        self.child.kill().ok();
        for child in children {
            kill_process(child, Signal::KILL).ok();
        }
        self.child.wait().ok();
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        if self.child.try_wait().is_ok_and(|status| status.is_none()) {
            // A stopped process (SIGSTOP) handles no signal before it continues.
            kill_process(pid(&self.child), Signal::CONT).ok();
            // Once: a second SIGTERM would stop it at once, without its drain.
            kill_process(pid(&self.child), Signal::TERM).ok();
            if self.wait(STOP_TIMEOUT).is_none() {
                eprintln!("{} did not exit on SIGTERM and was killed", self.name);
                self.kill_tree();
            }
        }
        if std::thread::panicking() {
            eprintln!("standard error of {}:\n{}", self.name, self.log.text());
        }
    }
}

fn pid(child: &Child) -> Pid {
    Pid::from_child(child)
}

/// The direct children of a process.
fn children(pid: u32) -> Vec<Pid> {
    let tasks = std::fs::read_dir(format!("/proc/{pid}/task")).into_iter().flatten().flatten();
    let lists = tasks.filter_map(|task| std::fs::read_to_string(task.path().join("children")).ok());
    let text: Vec<String> = lists.collect();
    let ids = text.iter().flat_map(|list| list.split_whitespace());
    ids.filter_map(|id| Pid::from_raw(id.parse().ok()?)).collect()
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
        assert_eq!(server.stderr(), expected);
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
