//! A container that stays, for a later stage that executes in it many times: its first process is a program of that
//! stage, whose standard input and output are the way in and out.
//!
//! The isolation is that of a program's container (`spec`), but for what a sandbox that stays has more: scratch space
//! that executes, a home, and a program of the host's that is mounted read-only. The root file system is read-only here:
//! Docker limits a container's writable layer with few of its storage drivers, and one without a limit fills the host's
//! disk.
//!
//! What it does not protect: on the host's own kernel a container that stays is exposed to the kernel for hours
//! instead of seconds. Its processes are those of one user, so that a program can trace the first one: the frames of
//! that are an attacker's.

mod spec;

use std::path::Path;
use std::time::Duration;

use bollard::container::LogOutput;
use bollard::errors::Error;
use futures_util::StreamExt as _;
use futures_util::stream::BoxStream;
use shared::Limits;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::UnixStream;
use tokio::net::unix::{OwnedReadHalf, OwnedWriteHalf};
use tokio::sync::oneshot;
use tokio::time::MissedTickBehavior;
use tokio_util::task::AbortOnDropHandle;
use uuid::Uuid;

use crate::daemon::{Attached, Daemon, DaemonError};
use crate::engine::DockerEngine;
use crate::launcher::host_name;
use crate::reaper::Container;
use crate::spec_check;
pub use spec::KEPT_HOME;

/// How much is read at once from the other stage.
const CHUNK_BYTES: usize = 64 << 10;
/// Processes that the runtime's own memory is counted for beside the limit, at most; it is not raised later.
pub const KEPT_COUNTED_PROCESSES: u64 = 16;
/// How often the kernel's count of killed processes is read.
const OOM_INTERVAL: Duration = Duration::from_millis(500);
/// How much of what the first process writes to standard error is logged.
const MAX_ERROR_BYTES: usize = 2000;

/// A container to start.
#[derive(Debug, Clone, Copy)]
pub struct KeptOrder<'a> {
    /// The image, by its name in Docker.
    pub image: &'a str,
    /// The first process: a file of the host, and its path inside.
    pub program: (&'a Path, &'a str),
    /// Memory of all processes and of the scratch space, in bytes.
    pub memory_bytes: u64,
    /// Processors.
    pub cpus: u64,
    /// Processes and threads.
    pub pids: u64,
    /// The size of each directory that can be written to, in bytes.
    pub disk_bytes: u64,
}

/// Why a container was not started.
#[derive(Debug, thiserror::Error)]
pub enum KeptError {
    /// Docker refused.
    #[error(transparent)]
    Docker(#[from] DaemonError),
    /// There is no socket.
    #[error("cannot create a socket")]
    Socket(#[source] std::io::Error),
    /// Docker reports another container than was ordered.
    #[error("the container differs from what was ordered: {0}")]
    Differs(String),
}

/// How a container that stays has ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum KeptEnd {
    /// A process was killed for want of memory.
    OutOfMemory,
    /// Its first process has ended.
    Ended,
}

/// A container that stays. It is removed when this is dropped.
pub struct KeptContainer {
    container: Container,
    daemon: Daemon,
    /// Fires when its output has ended.
    closed: oneshot::Receiver<()>,
    _copying: [AbortOnDropHandle<()>; 2],
}

impl KeptOrder<'_> {
    fn limits(&self) -> Limits {
        let Self { memory_bytes, pids, disk_bytes, .. } = *self;
        let (timeout_seconds, cpu_seconds) = (0.0, 0.0);
        let (output_bytes, open_files) = (0, spec::MAX_OPEN_FILES);
        Limits {
            timeout_seconds,
            cpu_seconds,
            memory_bytes,
            pids,
            output_bytes,
            disk_bytes,
            open_files,
        }
    }
}

impl DockerEngine {
    /// Whether the first process of a container that stays is root inside, which is no user of the host.
    pub fn keeps_root(&self) -> bool {
        self.launcher.users.is_none()
    }

    /// The limit that the host sets for a container that stays, with these limits of its own: the runtime may need some
    /// memory beside it.
    pub fn kept_memory_limit(&self, memory_bytes: u64, pids: u64) -> u64 {
        let (program, disk_bytes) = ((Path::new(""), ""), 0);
        let order = KeptOrder { image: "", program, memory_bytes, cpus: 1, pids, disk_bytes };
        let pids = pids.min(KEPT_COUNTED_PROCESSES);
        (self.launcher.runtime.host_memory_limit)(&Limits { pids, ..order.limits() })
    }

    // ANCHOR: start_kept
    /// Starts a container that stays. The socket is its standard input and output.
    ///
    /// Cancel safe: the reaper removes a container whose future was dropped.
    ///
    /// # Errors
    ///
    /// When Docker does not start it, or it is another one than was ordered.
    pub async fn start_kept(
        &self,
        order: &KeptOrder<'_>,
    ) -> Result<(UnixStream, KeptContainer), KeptError> {
        let launcher = &self.launcher;
        let daemon = launcher.daemon.clone();
        let lease = match &launcher.users {
            Some(users) => Some(users.lease().ok_or(DaemonError::NoUser)?),
            None => None,
        };
        let limits = order.limits();
        let user = lease.as_ref().map(|lease| lease.id);
        let inputs = spec::Inputs {
            order,
            runtime: launcher.runtime.name,
            seccomp: &launcher.seccomp,
            user,
            memory_bytes: self.kept_memory_limit(limits.memory_bytes, limits.pids),
            pids: (launcher.runtime.host_pids_limit)(limits.pids),
            labels: launcher.reaper.labels(user),
            hostname: host_name(Uuid::new_v4()),
        };
        let mut container = launcher.reaper.create(spec::specification(inputs), lease).await?;
        container.cgroup = launcher.layout.as_ref().map(|layout| layout.cgroup(&container.id));
        let Attached { output, input } = daemon.attach(&container.id).await?;
        daemon.start(&container.id).await?;
        let live = daemon.inspect(&container.id).await?;
        if let Some(found) = spec_check::kept_difference(&container.ordered, &live, order.program) {
            return Err(KeptError::Differs(found));
        }
        let (socket, ours) = UnixStream::pair().map_err(KeptError::Socket)?;
        let (reader, writer) = ours.into_split();
        let (sender, closed) = oneshot::channel();
        let id = container.id.clone();
        let reading = tokio::spawn(async move {
            copy_output(output, writer, &id).await;
            sender.send(()).ok(); // nothing waits for it any more
        });
        let copying = [reading, tokio::spawn(copy_input(reader, input))];
        let copying = copying.map(AbortOnDropHandle::new);
        Ok((socket, KeptContainer { container, daemon, closed, _copying: copying }))
    }
    // ANCHOR_END: start_kept
}

/// Copies to the container until the other stage closes the socket, which closes its standard input.
async fn copy_input(
    mut reader: OwnedReadHalf,
    mut input: std::pin::Pin<Box<dyn tokio::io::AsyncWrite + Send>>,
) {
    let mut buffer = vec![0; CHUNK_BYTES];
    while let Ok(length @ 1..) = reader.read(&mut buffer).await {
        let written = input.write_all(&buffer[..length]).await;
        if written.is_err() || input.flush().await.is_err() {
            return; // the container has ended: the other direction sees that too
        }
    }
    input.shutdown().await.ok(); // likewise
}

/// Copies from the container until its end.
async fn copy_output(
    mut output: BoxStream<'static, Result<LogOutput, Error>>,
    mut writer: OwnedWriteHalf,
    id: &str,
) {
    let mut left = MAX_ERROR_BYTES;
    while let Some(Ok(chunk)) = output.next().await {
        let frames = match chunk {
            LogOutput::StdOut { message } => message,
            LogOutput::StdErr { message } if left > 0 => {
                left = left.saturating_sub(message.len());
                let text = String::from_utf8_lossy(&message);
                tracing::debug!(sandbox = id, text = text.trim(), "the first process writes");
                continue;
            }
            _ => continue,
        };
        if writer.write_all(&frames).await.is_err() {
            return; // the other stage has closed the socket
        }
    }
}

impl KeptContainer {
    /// Waits for its end, or until a process was killed for want of memory: the kernel may choose any of them. Cancel safe.
    pub async fn ended(&mut self) -> KeptEnd {
        let mut interval = tokio::time::interval(OOM_INTERVAL);
        interval.set_missed_tick_behavior(MissedTickBehavior::Delay);
        while !self.closed.is_terminated() {
            tokio::select! {
                // Or the task has panicked.
                _ = &mut self.closed => break,
                _ = interval.tick() => if self.was_out_of_memory().await {
                    return KeptEnd::OutOfMemory;
                },
            }
        }
        // Its cgroup may be gone by now.
        let was_counted = self.was_out_of_memory().await;
        let state = self.daemon.ended(&self.container.id, was_counted).await.unwrap_or_default();
        if was_counted || state.oom_killed == Some(true) {
            KeptEnd::OutOfMemory
        } else {
            KeptEnd::Ended
        }
    }

    async fn was_out_of_memory(&self) -> bool {
        let cgroup = self.container.cgroup.clone();
        let counted = tokio::task::spawn_blocking(move || cgroup?.counters().ok()?.read().ok());
        let kills = counted.await.ok().flatten().and_then(|stats| stats.oom_kills);
        kills.is_some_and(|kills| kills > 0)
    }

    /// Kills and removes it before this returns.
    pub async fn remove(self) {
        self.container.remove().await;
    }
}
