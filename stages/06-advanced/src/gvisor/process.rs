//! The processes of one sandbox, and the task that owns them.
//!
//! One task for each sandbox owns `runsc`, the cgroup and the bundle directory. It waits for the
//! end of `runsc`, and for the end of the sandbox's use, which is when the handle is dropped or the
//! engine is closed. Then it kills everything in the cgroup, reaps `runsc` and removes what is
//! left.
//!
//! ```text
//! SandboxProcess (handle) ── drop, remove() ──▶ own() ──▶ remove() on a blocking thread
//!        ▲                                       │
//!        └──────────── exit status ◀─────────────┘
//! ```

use std::io;
use std::process::ExitStatus;
use std::sync::Arc;
use std::time::{Duration, Instant};

use stage_04_docker::{CgroupError, KillOutcome, UserLease, error_chain};
use tokio::io::AsyncReadExt as _;
use tokio::process::{Child, ChildStderr};
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio_util::sync::{CancellationToken, DropGuard};

use super::instance_dir::{InstanceDir, SandboxPaths};
use super::rootfs::ignore_not_found;

/// How long runsc has to clean up after a sandbox whose processes are gone, before it is killed
/// too.
const CLEANUP_TIMEOUT: Duration = Duration::from_secs(2);
/// How long the removal of a sandbox may take, before it is left to the next start.
pub(super) const REMOVE_TIMEOUT: Duration = Duration::from_secs(15);
/// The pauses between two attempts to kill what is left: at first, and once that was not quick.
const KILL_INTERVALS: (Duration, Duration) = (Duration::from_millis(4), Duration::from_millis(50));
/// How much of what runsc writes about a failure is reported.
const MAX_STDERR_BYTES: u64 = 2000;
/// How long runsc may take to write it.
const STDERR_TIMEOUT: Duration = Duration::from_millis(500);

/// A handle to the processes of one sandbox. They are killed and removed when it is dropped.
pub(super) struct SandboxProcess {
    pub(super) paths: Arc<SandboxPaths>,
    /// The program's user, inside.
    pub(super) user: u32,
    /// runsc's own; nothing of a program goes there.
    stderr: ChildStderr,
    /// How runsc ended; none while it runs.
    exit: watch::Receiver<Option<ExitStatus>>,
    /// The owning task.
    owner: JoinHandle<()>,
    /// Makes the owning task remove the sandbox.
    end_on_drop: DropGuard,
}

impl SandboxProcess {
    /// Hands `child` to a task of `dir`, which removes the sandbox when the handle is dropped or
    /// the engine is closed.
    pub(super) fn own(
        mut child: Child,
        paths: Arc<SandboxPaths>,
        user: UserLease,
        dir: &InstanceDir,
    ) -> io::Result<Self> {
        let stderr = child.stderr.take();
        let end = dir.closing.child_token();
        let (exited, exit) = watch::channel(None);
        let user_id = user.id;
        let owner = dir.spawn(own(child, Arc::clone(&paths), user, end.clone(), exited));
        let end_on_drop = end.drop_guard();
        let stderr = stderr.ok_or(io::ErrorKind::BrokenPipe)?;
        Ok(Self { paths, user: user_id, stderr, exit, owner, end_on_drop })
    }

    /// Whether runsc still runs.
    pub(super) fn is_running(&self) -> bool {
        self.exit.borrow().is_none()
    }

    /// How runsc ended, if it ends within `timeout`.
    pub(super) async fn exit_status(&mut self, timeout: Duration) -> Option<ExitStatus> {
        let exited = self.exit.wait_for(Option::is_some);
        tokio::time::timeout(timeout, exited).await.ok()?.ok().and_then(|status| *status)
    }

    /// Waits until runsc has ended. Cancel safe.
    pub(super) async fn ended(&mut self) {
        self.exit.wait_for(Option::is_some).await.ok(); // or its task has ended too
    }

    /// What runsc wrote about a failure.
    pub(super) async fn stderr(&mut self) -> String {
        let mut bytes = Vec::new();
        let mut stderr = (&mut self.stderr).take(MAX_STDERR_BYTES);
        // A time-out and an error leave what was read before.
        tokio::time::timeout(STDERR_TIMEOUT, stderr.read_to_end(&mut bytes)).await.ok();
        String::from_utf8_lossy(&bytes).trim().to_owned()
    }

    /// Kills the sandbox and removes it before this returns.
    pub(super) async fn remove(self) {
        drop(self.end_on_drop);
        self.owner.await.ok(); // it has logged what went wrong
    }
}

async fn own(
    mut child: Child,
    paths: Arc<SandboxPaths>,
    user: UserLease,
    end: CancellationToken,
    exited: watch::Sender<Option<ExitStatus>>,
) {
    tokio::select! {
        status = child.wait() => {
            exited.send_replace(status.ok());
        }
        () = end.cancelled() => {}
    }
    end.cancelled().await;
    let id = paths.id.clone();
    let removed = tokio::task::spawn_blocking(move || remove(&paths, child)).await;
    // A user is free again only when nothing of it runs any more.
    match removed {
        Ok(Ok(())) => {
            drop(user);
            tracing::debug!(id, "sandbox removed");
        }
        Ok(Err(error)) => {
            let error = error_chain(&error);
            user.retire();
            tracing::warn!(id, error, "a sandbox is left to the next start");
        }
        Err(error) => {
            user.retire();
            tracing::error!(id, %error, "the removal of a sandbox panicked");
        }
    }
}

/// Why a sandbox could not be removed.
#[derive(Debug, thiserror::Error)]
enum RemoveError {
    #[error("it did not end within {} s", REMOVE_TIMEOUT.as_secs())]
    Timeout,
    #[error("runsc cannot be killed")]
    Runsc(#[source] io::Error),
    #[error(transparent)]
    Cgroup(#[from] CgroupError),
    #[error("its bundle cannot be removed")]
    Bundle(#[source] io::Error),
}

/// Kills all processes of a sandbox, reaps runsc, and removes what is left. Blocks.
fn remove(paths: &SandboxPaths, mut child: Child) -> Result<(), RemoveError> {
    let started = Instant::now();
    let pause = || {
        let is_quick = started.elapsed() < Duration::from_millis(100);
        std::thread::sleep(if is_quick { KILL_INTERVALS.0 } else { KILL_INTERVALS.1 });
        if started.elapsed() < REMOVE_TIMEOUT { Ok(()) } else { Err(RemoveError::Timeout) }
    };
    loop {
        // When the sandbox's processes are gone, runsc itself cleans up and ends. One that has no
        // sandbox, or hangs, is killed too.
        paths.cgroup.kill();
        if started.elapsed() > CLEANUP_TIMEOUT {
            child.start_kill().map_err(RemoveError::Runsc)?;
        }
        if child.try_wait().map_err(RemoveError::Runsc)?.is_some() {
            break;
        }
        pause()?;
    }
    while paths.cgroup.kill() != KillOutcome::Empty {
        pause()?;
    }
    // A process that has just ended may be in its cgroup for another moment, however long its end has taken.
    let ended = Instant::now();
    while let Err(error) = paths.cgroup.remove() {
        if ended.elapsed() > CLEANUP_TIMEOUT {
            return Err(error.into());
        }
        pause()?;
    }
    std::fs::remove_dir_all(&paths.bundle).or_else(ignore_not_found).map_err(RemoveError::Bundle)
}
