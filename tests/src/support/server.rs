//! A stage's real binary, started on a free port and stopped in order: [`harness::Server`], with the
//! stages of this workspace as its binaries, and with errors in place of panics.
//!
//! A [`Server`] that is dropped stops the stage as well, but reports nothing. Only [`Server::stop`]
//! returns an error when the stage did not clean up and exit as it should.

use std::ffi::OsString;
use std::os::unix::process::ExitStatusExt as _;

use anyhow::Result;
use harness::Signal;
use tokio::task::spawn_blocking;

use crate::support::stages::Stage;

/// How to start a stage.
#[derive(Debug, Clone)]
pub struct Launch {
    stage: Stage,
    wrapper: Vec<OsString>,
    arguments: Vec<OsString>,
    variables: Vec<(OsString, OsString)>,
    kill_on_drop: bool,
}

impl Launch {
    /// `stage` with its defaults, on a free port of the loopback interface.
    pub fn new(stage: &Stage) -> Self {
        let (wrapper, arguments, variables) = Default::default();
        Self { stage: stage.clone(), wrapper, arguments, variables, kill_on_drop: false }
    }

    /// Starts it by another program, which gets the stage's command line after its own arguments.
    /// [`Server::pid`] is then the id of that program.
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

    /// One more variable in the server's environment.
    #[must_use]
    pub fn env(mut self, name: impl Into<OsString>, value: impl Into<OsString>) -> Self {
        self.variables.push((name.into(), value.into()));
        self
    }

    /// Dropping the server kills it at once, with everything that it started: for a jail.
    #[must_use]
    pub fn kill_on_drop(mut self) -> Self {
        self.kill_on_drop = true;
        self
    }

    /// Builds it, starts it, and waits until it listens.
    ///
    /// # Errors
    ///
    /// When it cannot be built or started, exits at once, or does not listen in time; the message
    /// has the end of its standard error.
    pub async fn start(self) -> Result<Server> {
        let Self { stage, wrapper, arguments, variables, kill_on_drop } = self;
        let number = stage.number;
        // Building may take a minute, and waiting for the first line blocks.
        spawn_blocking(move || {
            let launch = harness::Launch::new(stage.binary()?).with_wrapper(wrapper);
            let launch = variables
                .into_iter()
                .fold(launch.args(arguments), |launch, (name, value)| launch.env(name, value));
            let launch = if kill_on_drop { launch.kill_on_drop() } else { launch };
            Ok(Server { number, inner: launch.try_start()? })
        })
        .await?
    }
}

/// A stage that runs.
#[derive(Debug)]
pub struct Server {
    number: u16,
    inner: harness::Server,
}

impl Server {
    /// Where it listens: `http://127.0.0.1:PORT`.
    pub fn url(&self) -> &str {
        self.inner.url()
    }

    /// Its process id.
    pub fn pid(&self) -> u32 {
        self.inner.pid()
    }

    /// The end of what it wrote to standard error.
    pub fn stderr(&self) -> String {
        self.inner.stderr()
    }

    /// Sends SIGTERM and waits for the exit; kills the stage when it does not exit in time.
    ///
    /// # Errors
    ///
    /// When it had to be killed, or exited with another code than 0.
    pub async fn stop(self) -> Result<()> {
        let Self { number, inner } = self;
        spawn_blocking(move || {
            inner.try_stop(|status| {
                // Stage 1 does not handle signals, so SIGTERM kills it. Every other stage drains.
                let killed = status.signal() == Some(Signal::TERM.as_raw());
                status.success() || (number == 1 && killed)
            })
        })
        .await??;
        Ok(())
    }
}
