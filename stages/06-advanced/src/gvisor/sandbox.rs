//! One sandbox: started, waiting for a program, used once.
//!
//! ```text
//! host                                                sandbox
//! socket  ── Start, Lifetime, Stdin, Window ──▶  supervisor (PID 1, root inside)
//!         ◀── Hello, Started, Stdout, Stderr, Exited ──   │  ▲
//!                                                   stdin ▼  │ stdout, stderr
//!                                              interpreter (PID 2, a user of its own)
//! ```
//!
//! Guarantee: the end of a program is reported on a socket that no process of its user has, in
//! frames that no process of its user can write. What the program writes is output, whatever it
//! looks like, from the line on that reports its start: that line comes before the program's first
//! instruction.

use std::os::fd::OwnedFd;
use std::path::PathBuf;
use std::process::Stdio;
use std::sync::Arc;
use std::time::Duration;

use ::oci_spec::OciSpecError;
use ::oci_spec::runtime::Spec;
use shared::Limits;
use stage_04_docker::{CgroupLimits, UserLease};
use tokio::net::UnixStream;
use tokio::process::Command;

use super::connection::{Connection, ConnectionError, Event};
use super::error::{SandboxError, Text};
use super::instance_dir::{InstanceDir, SandboxPaths};
use super::oci_spec;
use super::options::RunscPlatform;
use super::process::SandboxProcess;
use super::profile::SandboxProfile;
use crate::protocol::frame::{self, OutputStream};

/// How long a sandbox may take to start, on a machine that is busy.
pub(super) const START_TIMEOUT: Duration = Duration::from_secs(30);
/// What the interpreter writes once it waits for its program.
const READY: &[u8] = b"ready\n";
/// How much of another text is reported.
const MAX_NOT_READY_BYTES: usize = 2000;

/// Creates sandboxes of one profile.
#[derive(Clone)]
pub(super) struct SandboxFactory {
    pub(super) runsc: PathBuf,
    /// Arguments that this release needs, by [`stage_05_gvisor::sandbox_arguments`].
    pub(super) arguments: Vec<&'static str>,
    pub(super) platform: RunscPlatform,
    pub(super) profile: Arc<SandboxProfile>,
    pub(super) dir: Arc<InstanceDir>,
}

/// A sandbox. It is killed and removed when this is dropped.
pub(super) struct Sandbox {
    pub(super) connection: Connection,
    pub(super) process: SandboxProcess,
    /// The limits that it was created with.
    pub(super) limits: Limits,
    /// What it was prepared for.
    pub(super) profile: Arc<SandboxProfile>,
    dir: Arc<InstanceDir>,
}

impl SandboxFactory {
    // ANCHOR: start
    /// Starts a sandbox and waits until the interpreter in it is ready.
    ///
    /// Cancel safe: when the future is dropped, what it has started is removed.
    pub(super) async fn start(&self, limits: &Limits) -> Result<Sandbox, SandboxError> {
        let (socket, guest) = socket_pair().map_err(SandboxError::Files)?;
        let mut connection = Connection::new(socket);
        let user = self.dir.users.lease().ok_or(SandboxError::NoUser)?;
        connection.start(self.command(user.id));
        let mut process = self.spawn(guest, *limits, user).await?;
        let ready = tokio::time::timeout(START_TIMEOUT, wait_until_ready(&mut connection)).await;
        match ready.unwrap_or(Err(SandboxError::Timeout)) {
            Ok(()) => Ok(Sandbox {
                connection,
                process,
                limits: *limits,
                profile: Arc::clone(&self.profile),
                dir: Arc::clone(&self.dir),
            }),
            Err(SandboxError::Protocol(ConnectionError::Closed)) => {
                Err(SandboxError::Ended(Text(process.stderr().await)))
            }
            Err(error) => Err(error),
        }
    }
    // ANCHOR_END: start

    /// What the supervisor executes. Attack: find keys in the environment -> it is empty but for a
    /// home directory. Attack: share something that is counted or stored for a user -> no other
    /// sandbox has this user while this one exists, and it owns no file.
    fn command(&self, user: u32) -> frame::Command {
        let mut env = vec![("HOME".to_owned(), "/tmp".to_owned())];
        env.extend(self.profile.variables.iter().cloned());
        frame::Command { user, argv: self.profile.warm_argv.clone(), env }
    }

    /// `runsc`, its platform and the arguments that its release needs.
    pub(super) fn runsc_command(&self) -> Command {
        let mut command = Command::new(&self.runsc);
        command.arg(format!("--platform={}", self.platform.as_str())).args(&self.arguments);
        command
    }

    /// Creates a sandbox's files and its cgroup, and starts runsc.
    async fn spawn(
        &self,
        guest: OwnedFd,
        limits: Limits,
        user: UserLease,
    ) -> Result<SandboxProcess, SandboxError> {
        let (command, factory, dir) = (self.runsc_command(), self.clone(), Arc::clone(&self.dir));
        let start = move |paths: &SandboxPaths| {
            let spec = factory.specification(paths, &limits)?;
            create(paths, &spec, &oci_spec::cgroup_limits(&limits))?;
            Ok(run_command(command, &dir, paths, guest))
        };
        spawn(&self.dir, user, start).await
    }

    /// The specification of a sandbox.
    pub(super) fn specification(
        &self,
        paths: &SandboxPaths,
        limits: &Limits,
    ) -> Result<Spec, OciSpecError> {
        let rootfs = self.dir.rootfs(&self.profile);
        oci_spec::specification(&rootfs, &paths.cgroup.path(), limits, &self.profile)
    }
}

/// Starts the runsc of a sandbox, on one blocking thread: `start` creates its files and its cgroup, and returns the
/// command.
pub(super) async fn spawn(
    dir: &Arc<InstanceDir>,
    user: UserLease,
    start: impl FnOnce(&SandboxPaths) -> Result<Command, SandboxError> + Send + 'static,
) -> Result<SandboxProcess, SandboxError> {
    let dir = Arc::clone(dir);
    // While this exists the engine does not finish to close, so that nothing is left behind.
    let in_use = dir.in_use().ok_or(SandboxError::Closing)?;
    let blocking = move || {
        let paths = Arc::new(dir.sandbox_paths());
        let spawned = start(&paths).and_then(|mut command| {
            let child = command.spawn().map_err(SandboxError::Runsc)?;
            let owned = SandboxProcess::own(child, Arc::clone(&paths), user, &dir);
            owned.map_err(SandboxError::Runsc)
        });
        if spawned.is_err() {
            paths.remove_files();
        }
        drop(in_use);
        spawned
    };
    tokio::task::spawn_blocking(blocking)
        .await
        .map_err(|panicked| SandboxError::Files(std::io::Error::other(panicked)))?
}

/// Creates the bundle and the cgroup of a sandbox. Blocks.
pub(super) fn create(
    paths: &SandboxPaths,
    spec: &Spec,
    limits: &CgroupLimits,
) -> Result<(), SandboxError> {
    let spec = serde_json::to_vec(spec).map_err(|error| SandboxError::Files(error.into()))?;
    std::fs::create_dir(&paths.bundle).map_err(SandboxError::Files)?;
    std::fs::write(paths.bundle.join("config.json"), spec).map_err(SandboxError::Files)?;
    paths.cgroup.create()?;
    Ok(paths.cgroup.set_limits(limits)?)
}

// ANCHOR: spawn
pub(super) fn run_command(
    mut command: Command,
    dir: &InstanceDir,
    paths: &SandboxPaths,
    guest: OwnedFd,
) -> Command {
    command
        .arg(format!("--root={}", dir.state().display()))
        // Attack: reach another machine -> there is no network but a loopback of its own.
        .arg("--network=none")
        .arg("run")
        .arg(format!("--bundle={}", paths.bundle.display()))
        .arg(&paths.id)
        // Attack: read keys out of the environment of gVisor's own process -> it is empty.
        .env_clear()
        .current_dir(&paths.bundle)
        // A Ctrl-C in the server's terminal does not reach runsc: what runs gets its time to end.
        .process_group(0)
        .stdin(Stdio::from(guest))
        .stdout(Stdio::null())
        .stderr(Stdio::piped());
    command
}
// ANCHOR_END: spawn

impl Sandbox {
    /// Whether it still waits for its program, and has not died meanwhile.
    pub(super) fn is_ready(&self) -> bool {
        self.process.is_running() && self.connection.is_idle()
    }

    /// Kills the sandbox and removes it before this returns.
    pub(super) async fn remove(self) {
        self.process.remove().await;
    }

    /// Removes the sandbox after this has returned, which is once not too many others are being
    /// removed.
    pub(super) async fn remove_in_background(self) {
        let permit = self.dir.removal_permit().await;
        let dir = Arc::clone(&self.dir);
        drop(dir.spawn(async move {
            self.process.remove().await;
            drop(permit);
        }));
    }
}

/// The host's end of a socket, and the sandbox's.
pub(super) fn socket_pair() -> std::io::Result<(UnixStream, OwnedFd)> {
    let (host, guest) = std::os::unix::net::UnixStream::pair()?;
    host.set_nonblocking(true)?;
    Ok((UnixStream::from_std(host)?, guest.into()))
}

/// Waits until the interpreter has written its line. Everything else is why it does not start.
pub(super) async fn wait_until_ready(connection: &mut Connection) -> Result<(), SandboxError> {
    let mut line = Vec::new();
    loop {
        match connection.next().await.map_err(SandboxError::Protocol)? {
            Event::Started => {}
            Event::StartFailed { errno } => {
                let errno = i32::try_from(errno).unwrap_or(0);
                let error = std::io::Error::from_raw_os_error(errno);
                return Err(SandboxError::Interpreter(error));
            }
            Event::Output { stream: OutputStream::Stderr, bytes }
                if line.len() < MAX_NOT_READY_BYTES =>
            {
                line.extend(bytes);
                if line == READY {
                    return Ok(());
                }
                if !READY.starts_with(&line) && line.ends_with(b"\n") {
                    return Err(not_ready(&line));
                }
            }
            _ => return Err(not_ready(&line)),
        }
    }
}

fn not_ready(written: &[u8]) -> SandboxError {
    SandboxError::NotReady(Text(String::from_utf8_lossy(written).trim().to_owned()))
}
