//! A stage's binary as a process.
//!
//! Threads: two for each process, which read its standard output and standard error to their end.
//!
//! The process stays in the test's process group, so that Ctrl-C and the signal that nextest sends
//! to a test that takes too long reach it as well.

use std::process::{Child, ExitStatus};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

use crate::client::Client;
use crate::log::Log;

/// How long a stage may take to exit after a signal: its own drain time is at most 10 s.
const STOP_TIMEOUT: Duration = Duration::from_secs(30);
/// How often an exit is polled for.
const POLL_INTERVAL: Duration = Duration::from_millis(10);
/// How much of the log an error message shows.
const MESSAGE_LOG_BYTES: usize = 8 << 10;

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
    kill_on_drop: bool,
}

impl Server {
    pub(crate) fn new(name: String, child: Child, log: Log, kill_on_drop: bool) -> Self {
        Self { name, url: String::new(), child, log, kill_on_drop }
    }

    pub(crate) fn set_url(&mut self, url: &str) {
        url.clone_into(&mut self.url);
    }

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
    pub(crate) fn abandon(mut self) -> (String, String) {
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
        if self.kill_on_drop {
            self.kill_tree();
        } else if self.child.try_wait().is_ok_and(|status| status.is_none()) {
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
