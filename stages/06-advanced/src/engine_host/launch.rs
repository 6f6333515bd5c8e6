//! How the two processes are started, signalled and ended.
//!
//! Order: the engine starts first, so that its errors are reported before there is a listener. A
//! signal waits until the API process has sent its first frame, because before that it has no handler
//! for one. When the API process has ended, so have all runs, and then the engine host exits with its
//! exit code.

use std::io;
use std::os::fd::{AsFd as _, OwnedFd};
use std::os::unix::net::UnixStream as StdUnixStream;
use std::process::{ExitCode, ExitStatus};
use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt as _;
use rustix::process::{Pid, Signal, getpid, kill_process};
use shared::Engine;
use shared::cli::{BuildError, Exit, Settings, Signals, eprint_line};
use tokio::process::{Child, Command};

use super::api_socket::ApiSocket;
use super::privileges::ApiUser;
use super::remote::RemoteEngine;
use super::warm::WarmSandboxes;
use super::{EngineHost, HostError};
use crate::{KeptSandboxes, Profiles};

/// Set for the API process alone, whose standard input is its end of the socket pair.
const ROLE_VARIABLE: &str = "CRUCIBLE_API_PROCESS";
/// How long the API process may take to exit at a second signal.
const STOP_TIMEOUT: Duration = Duration::from_secs(3);
/// How long the API process may take to exit after it has closed the engine.
const EXIT_TIMEOUT: Duration = Duration::from_secs(10);

/// The settings of the two processes.
#[derive(Debug, Clone, Default, clap::Args)]
pub struct EngineHostArgs {
    /// Serve and drive the sandboxes in one process, for a debugger: an error in the HTTP code then
    /// has the rights of what drives the sandboxes. Only here: no variable and no file can set it
    #[arg(long, global = true)]
    pub single_process: bool,
    /// User of the process that speaks HTTP, by name or number, if root starts it [default: the user
    /// crucible if there is one, otherwise 64999]
    #[arg(long, global = true, value_name = "USER", env = "CRUCIBLE_API_USER")]
    pub api_user: Option<String>,
}

/// Why there are not two processes.
#[derive(Debug, thiserror::Error)]
pub enum LaunchError {
    /// The API process could not be started.
    #[error("cannot start the API process")]
    Start(#[source] io::Error),
    /// The API process could not be waited for.
    #[error("cannot wait for the API process")]
    Wait(#[source] io::Error),
    /// Standard input is not the socket that the engine host gives the API process.
    #[error("standard input is no socket, but {ROLE_VARIABLE} is set")]
    NoSocket(#[source] io::Error),
}

impl shared::Hint for LaunchError {
    fn hint(&self) -> Option<&'static str> {
        matches!(self, Self::NoSocket(_)).then_some("unset it: the engine host sets it")
    }
}

fn is_api_process() -> bool {
    std::env::var_os(ROLE_VARIABLE).is_some()
}

// ANCHOR: before_serve
/// Makes this process one of the two: the engine host, which has nothing left to do when this
/// returns, or the API process, which has given up its rights. With `--single-process` it is both.
/// `start` starts the engine, which runs programs of `profiles` in sandboxes of which `warm` wait, and opens those
/// that are `kept`.
///
/// # Errors
///
/// When the engine or the API process does not start, or the rights could not be given up.
pub fn before_serve(
    args: &EngineHostArgs,
    settings: &Settings,
    profiles: Profiles,
    (warm, kept): (WarmSandboxes, KeptSandboxes),
    start: impl Future<Output = Result<Arc<dyn Engine>, BuildError>>,
) -> Result<Option<ExitCode>, BuildError> {
    if args.single_process {
        return Ok(None);
    }
    let user = ApiUser::find(args.api_user.as_deref())?;
    if is_api_process() {
        rustix::thread::set_name(c"crucible-api").ok(); // for ps; it would be "exe"
        user.become_user()?;
        return Ok(None);
    }
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let exit = runtime.block_on(host(settings, profiles, (warm, kept), start));
    // A blocking task that hangs must not keep the process from ending.
    runtime.shutdown_timeout(Duration::from_secs(1));
    Ok(Some(exit?.into()))
}
// ANCHOR_END: before_serve

/// The engine of the engine host, in the API process. None in a process that drives its own.
///
/// When the host is gone the process gets one SIGTERM, its own: it shuts down in order, and reports
/// every run as lost. (The kernel's signal at the end of a parent comes once for each thread of the
/// parent; a second one would stop the process before it has reported anything.)
///
/// # Errors
///
/// When the engine host is gone.
pub async fn remote_engine() -> Result<Option<Arc<RemoteEngine>>, BuildError> {
    if !is_api_process() {
        return Ok(None);
    }
    let socket = std::io::stdin().as_fd().try_clone_to_owned().map_err(LaunchError::NoSocket)?;
    let socket = ApiSocket::accept(StdUnixStream::from(socket)).map_err(LaunchError::NoSocket)?;
    let engine = RemoteEngine::connect(socket).await?;
    let host_gone = engine.host_gone();
    tokio::spawn(async move {
        host_gone.cancelled().await;
        if let Err(error) = kill_process(getpid(), Signal::TERM) {
            tracing::error!(%error, "cannot shut down");
        }
    });
    Ok(Some(Arc::new(engine)))
}

/// The engine host, from the start of its engine to the end of the API process.
async fn host(
    settings: &Settings,
    profiles: Profiles,
    (warm, kept): (WarmSandboxes, KeptSandboxes),
    start: impl Future<Output = Result<Arc<dyn Engine>, BuildError>>,
) -> Result<Exit, BuildError> {
    let mut signals = Signals::listen()?;
    let engine = start.await?;
    if signals.next().now_or_never().is_some() {
        engine.close().await;
        return Ok(Exit::SUCCESS);
    }
    let (socket, mut api_process) = match start_api_process() {
        Ok(started) => started,
        Err(error) => {
            engine.close().await;
            return Err(LaunchError::Start(error).into());
        }
    };
    let workers = settings.workers.into();
    let host = EngineHost::new(engine, settings.bounds(), profiles, workers);
    let host = host.counting(warm).keeping(kept.engine());
    let served = tokio::select! {
        served = host.serve(socket) => served,
        exit = forward_signals(&host, &mut signals, &mut api_process) => return Ok(exit),
    };
    end(served, &mut api_process).await
}

fn start_api_process() -> io::Result<(ApiSocket, Child)> {
    // Neither end is inherited by a child, but for the one that becomes a standard input.
    let (socket, theirs) = StdUnixStream::pair()?;
    let socket = ApiSocket::offer(socket)?;
    let mut arguments = std::env::args_os();
    let mut command = Command::new("/proc/self/exe");
    if let Some(name) = arguments.next() {
        command.arg0(name);
    }
    let api_process = command
        .args(arguments)
        .env(ROLE_VARIABLE, "1")
        .stdin(OwnedFd::from(theirs))
        .process_group(0) // a signal from the terminal comes through the engine host, once
        .kill_on_drop(true)
        .spawn()?;
    Ok((socket, api_process))
}

/// Forwards each signal to the API process, which shuts down in order at the first and exits at the
/// second. Returns at a signal after the API process has ended: the engine is not waited for then.
///
/// Attack: a compromised API process ignores signals, to stay → it is killed soon after the second.
/// Test: `an_api_process_that_ignores_signals_is_killed`.
async fn forward_signals(
    host: &EngineHost,
    signals: &mut Signals,
    api_process: &mut Child,
) -> Exit {
    host.connected().cancelled().await;
    for number in 1_u64.. {
        signals.next().await;
        let id = match api_process.try_wait() {
            Ok(None) => api_process.id().and_then(|id| Pid::from_raw(id.try_into().ok()?)),
            Ok(Some(_)) | Err(_) => None,
        };
        let Some(id) = id else { return Exit::INTERRUPTED };
        // It was not waited for, so that the id is its own.
        if let Err(error) = kill_process(id, Signal::TERM) {
            tracing::warn!(%error, "a signal was not forwarded");
        }
        if number > 1 && tokio::time::timeout(STOP_TIMEOUT, api_process.wait()).await.is_err() {
            tracing::error!("the API process ignores signals, and is killed");
            api_process.start_kill().ok(); // an error means that it has exited
        }
    }
    Exit::INTERRUPTED
}

/// Waits for the exit of the API process, for a moment; one that broke the protocol is killed.
async fn end(served: Result<(), HostError>, api_process: &mut Child) -> Result<Exit, BuildError> {
    if let Err(error) = served {
        api_process.kill().await.map_err(LaunchError::Wait)?;
        return Err(error.into());
    }
    if let Ok(status) = tokio::time::timeout(EXIT_TIMEOUT, api_process.wait()).await {
        return Ok(exit_of(status.map_err(LaunchError::Wait)?));
    }
    eprint_line("error: the API process did not exit, and was killed");
    api_process.kill().await.map_err(LaunchError::Wait)?;
    Ok(Exit::FAILURE)
}

fn exit_of(status: ExitStatus) -> Exit {
    if let Some(Ok(code)) = status.code().map(u8::try_from) {
        return Exit(code);
    }
    eprint_line(&format!("error: the API process was ended: {status}"));
    Exit::FAILURE
}
