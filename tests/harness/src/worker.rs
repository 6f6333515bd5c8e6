//! A worker that takes its work from an API on another machine.

use std::fs::{self, File};
use std::path::PathBuf;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

use crate::eventually_some;

/// How long anything may take that should happen soon.
const EVENT_TIMEOUT: Duration = Duration::from_mins(1);
/// How long one that is not needed any more may take to end.
const END_TIMEOUT: Duration = Duration::from_secs(20);
const POLL_INTERVAL: Duration = Duration::from_millis(20);

/// A worker of a later stage as a process.
pub struct Worker {
    child: Child,
    log: PathBuf,
}

impl Worker {
    /// Starts it, with its log in that file.
    ///
    /// # Panics
    ///
    /// When it cannot be started.
    pub fn start(command: &mut Command, log: PathBuf) -> Self {
        let file = File::create(&log).unwrap();
        let child = command
            .stdin(Stdio::null())
            .stdout(file.try_clone().unwrap())
            .stderr(file)
            .spawn()
            .unwrap();
        Self { child, log }
    }

    /// What it has written so far.
    pub fn log(&self) -> String {
        fs::read_to_string(&self.log).unwrap()
    }

    /// Sends it a signal.
    pub fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.child), signal).unwrap();
    }

    /// Kills it, so that it cleans nothing up.
    pub fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// Waits for its exit.
    pub fn ended(&mut self) -> ExitStatus {
        let started = Instant::now();
        loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                return status;
            }
            assert!(started.elapsed() < EVENT_TIMEOUT, "it does not exit: {}", self.log());
            std::thread::sleep(POLL_INTERVAL);
        }
    }

    /// Waits until its log has a text.
    pub async fn has_logged(&self, text: &str) {
        eventually_some(
            &format!("{text:?} in {}", self.log.display()),
            EVENT_TIMEOUT,
            async || self.log().contains(text).then_some(()),
        )
        .await;
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        if matches!(self.child.try_wait(), Ok(Some(_))) {
            return;
        }
        // One that was stopped goes on, so that it ends its programs.
        kill_process(Pid::from_child(&self.child), Signal::CONT).ok();
        kill_process(Pid::from_child(&self.child), Signal::TERM).ok();
        let started = Instant::now();
        while started.elapsed() < END_TIMEOUT {
            if matches!(self.child.try_wait(), Ok(Some(_))) {
                return;
            }
            std::thread::sleep(POLL_INTERVAL);
        }
        self.child.kill().ok();
        self.child.wait().ok();
        if std::thread::panicking() {
            eprintln!("{}", self.log());
        }
    }
}
