//! A stage's real binary, started on a free port and stopped in order: [`harness::Server`], with the
//! stages of this workspace as its binaries, and with errors in place of panics.
//!
//! A [`Server`] that is dropped stops the stage as well, but reports nothing. Only [`Server::stop`]
//! returns an error when the stage did not clean up and exit as it should.

use std::ffi::OsString;
use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::process::ExitStatusExt as _;
use std::path::PathBuf;
use std::sync::Arc;

use anyhow::{Context as _, Result};
use harness::Signal;
use tempfile::TempDir;
use tokio::task::spawn_blocking;

use crate::support::stages::Stage;

/// The first stage that stores anything on disk.
pub const FIRST_DURABLE: u16 = 9;
/// The environment variable that names the data directory of such a stage.
pub const DATA_DIR_ENV: &str = "CRUCIBLE_DATA_DIR";

/// A data directory for a server, removed with its last use. Each server gets its own, so that no run
/// finds what another one has stored.
#[derive(Debug, Clone)]
pub struct ServerData(Arc<TempDir>);

impl ServerData {
    /// A new one. The server's unprivileged process has to be able to enter its parent.
    ///
    /// # Errors
    ///
    /// When it cannot be created.
    pub fn new() -> Result<Self> {
        let parent = tempfile::Builder::new().prefix("crucible-ladder-data-").tempdir()?;
        fs::set_permissions(parent.path(), Permissions::from_mode(0o755))
            .with_context(|| format!("cannot open {}", parent.path().display()))?;
        Ok(Self(Arc::new(parent)))
    }

    /// The path of the directory, which the stage creates.
    pub fn path(&self) -> PathBuf {
        self.0.path().join("data")
    }
}

/// How to start a stage.
#[derive(Debug, Clone)]
pub struct Launch {
    stage: Stage,
    wrapper: Vec<OsString>,
    arguments: Vec<OsString>,
    variables: Vec<(OsString, OsString)>,
    kill_on_drop: bool,
    data: Option<ServerData>,
}

impl Launch {
    /// `stage` with its defaults, on a free port of the loopback interface.
    pub fn new(stage: &Stage) -> Self {
        let (wrapper, arguments, variables) = Default::default();
        Self {
            stage: stage.clone(),
            wrapper,
            arguments,
            variables,
            kill_on_drop: false,
            data: None,
        }
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

    /// Starts it on this data directory, instead of an empty one.
    #[must_use]
    pub fn on_data(mut self, data: &ServerData) -> Self {
        self.data = Some(data.clone());
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
        let Self { stage, wrapper, arguments, mut variables, kill_on_drop, data } = self;
        let number = stage.number;
        let data = match data {
            None if number >= FIRST_DURABLE => Some(ServerData::new()?),
            given => given,
        };
        if let Some(data) = &data {
            variables.push((DATA_DIR_ENV.into(), data.path().into()));
        }
        // Building may take a minute, and waiting for the first line blocks.
        spawn_blocking(move || {
            let launch = harness::Launch::new(stage.binary()?).with_wrapper(wrapper);
            let launch = variables
                .into_iter()
                .fold(launch.args(arguments), |launch, (name, value)| launch.env(name, value));
            let launch = if kill_on_drop { launch.kill_on_drop() } else { launch };
            Ok(Server { number, inner: launch.try_start()?, data })
        })
        .await?
    }
}

/// A stage that runs.
#[derive(Debug)]
pub struct Server {
    number: u16,
    // Fields are dropped in their order: first the server, then what it has stored.
    inner: harness::Server,
    data: Option<ServerData>,
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
        let Self { number, inner, data } = self;
        spawn_blocking(move || {
            inner.try_stop(|status| {
                // Stage 1 does not handle signals, so SIGTERM kills it. Every other stage drains.
                let killed = status.signal() == Some(Signal::TERM.as_raw());
                status.success() || (number == 1 && killed)
            })
        })
        .await??;
        drop(data);
        Ok(())
    }

    /// The directory of what it stores on disk, if it does.
    pub fn data_dir(&self) -> Option<PathBuf> {
        self.data.as_ref().map(ServerData::path)
    }
}
