//! One sandbox that stays: started, waited for, and watched until its end. Nothing here reads its socket.

use std::os::fd::OwnedFd;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use oci_spec::OciSpecError;
use oci_spec::runtime::Spec;
use shared::BoxFuture;
use stage_04_docker::CgroupCounters;
use tokio::net::UnixStream;
use tokio::time::MissedTickBehavior;

use super::super::error::{SandboxError, Text};
use super::super::instance_dir::SandboxPaths;
use super::super::memory::MemoryWatch;
use super::super::process::SandboxProcess;
use super::super::sandbox::{
    START_TIMEOUT, SandboxFactory, create, run_command, socket_pair, spawn,
};
use super::spec;
use crate::sandboxes::{EndReason, OpenSandbox, Opened, SandboxLimits, wait_for_frame};

/// How often the limit of memory is compared with the number of processes.
const MEMORY_INTERVAL: Duration = Duration::from_millis(100);
/// How often the kernel's count of killed processes is read.
const OOM_INTERVAL: Duration = Duration::from_millis(500);

/// Creates sandboxes of one environment.
#[derive(Clone)]
pub(super) struct KeptFactory {
    /// What those of evaluations are made with, and the overlay; its profile is not used.
    pub(super) base: SandboxFactory,
    /// The root file system.
    pub(super) root: PathBuf,
}

/// A sandbox. It is killed and removed when this is dropped.
pub(super) struct KeptSandbox {
    /// The host's end of its socket, of which nothing was read.
    pub(super) socket: UnixStream,
    pub(super) process: SandboxProcess,
    pub(super) limits: SandboxLimits,
    counters: CgroupCounters,
    memory: MemoryWatch,
}

impl KeptFactory {
    // ANCHOR: start
    /// Starts a sandbox, and waits until its supervisor has sent its first frame, which stays in the socket.
    ///
    /// Cancel safe: when the future is dropped, what it has started is removed.
    pub(super) async fn start(&self, limits: &SandboxLimits) -> Result<KeptSandbox, SandboxError> {
        let (socket, guest) = socket_pair().map_err(SandboxError::Files)?;
        let mut process = self.spawn(guest, *limits).await?;
        match tokio::time::timeout(START_TIMEOUT, wait_for_frame(&socket)).await {
            Ok(Ok(true)) => {}
            Ok(Ok(false)) => return Err(SandboxError::Ended(Text(process.stderr().await))),
            Ok(Err(error)) => return Err(SandboxError::Files(error)),
            Err(_) => return Err(SandboxError::Timeout),
        }
        let cgroup = &process.paths.cgroup;
        let counters = cgroup.counters()?;
        let numbers = spec::memory_limits(limits);
        let memory = MemoryWatch::open_each(cgroup, &numbers, MEMORY_INTERVAL).await;
        let memory = memory.map_err(SandboxError::Files)?;
        Ok(KeptSandbox { socket, process, limits: *limits, counters, memory })
    }
    // ANCHOR_END: start

    /// Creates a sandbox's files and its cgroup, and starts runsc.
    async fn spawn(
        &self,
        guest: OwnedFd,
        limits: SandboxLimits,
    ) -> Result<SandboxProcess, SandboxError> {
        let dir = Arc::clone(&self.base.dir);
        let user = dir.users.lease().ok_or(SandboxError::NoUser)?;
        let (command, factory) = (self.base.runsc_command(), self.clone());
        let start = move |paths: &SandboxPaths| {
            let spec = factory.specification(paths, &limits)?;
            create(paths, &spec, &spec::cgroup_limits(&limits))?;
            Ok(run_command(command, &dir, paths, guest))
        };
        spawn(&self.base.dir, user, start).await
    }

    /// The specification of a sandbox.
    pub(super) fn specification(
        &self,
        paths: &SandboxPaths,
        limits: &SandboxLimits,
    ) -> Result<Spec, OciSpecError> {
        spec::specification(&self.root, &paths.cgroup.path(), limits)
    }
}

impl KeptSandbox {
    /// Whether it still waits to be opened, and has not died meanwhile.
    pub(super) fn is_ready(&self) -> bool {
        self.process.is_running()
    }

    pub(super) fn into_opened(self) -> Opened {
        let Self { socket, process, counters, memory, .. } = self;
        let sandbox = Box::new(Watched { process, counters: Arc::new(counters), memory });
        Opened { socket, sandbox }
    }
}

/// A sandbox whose socket was handed on.
struct Watched {
    process: SandboxProcess,
    counters: Arc<CgroupCounters>,
    memory: MemoryWatch,
}

/// Whether the kernel has killed a process of the sandbox for want of memory.
async fn was_out_of_memory(counters: &Arc<CgroupCounters>) -> bool {
    let counters = Arc::clone(counters);
    let read = tokio::task::spawn_blocking(move || counters.read()).await;
    // One that cannot be read is no evidence.
    matches!(read, Ok(Ok(stats)) if stats.oom_kills.is_some_and(|kills| kills > 0))
}

impl OpenSandbox for Watched {
    // ANCHOR: ended
    fn ended(&mut self) -> BoxFuture<'_, EndReason> {
        Box::pin(async {
            let Self { process, counters, memory } = self;
            let mut interval = tokio::time::interval(OOM_INTERVAL);
            interval.set_missed_tick_behavior(MissedTickBehavior::Delay);
            let out_of_memory = async {
                loop {
                    interval.tick().await;
                    // The kernel may choose another process than gVisor's kernel, which then goes on with a part of it
                    // missing.
                    if was_out_of_memory(counters).await {
                        return;
                    }
                }
            };
            tokio::select! {
                () = process.ended() => {}
                () = out_of_memory => return EndReason::MemoryExceeded,
                stop = memory.watch() => tracing::error!(?stop, "a sandbox is ended"),
            }
            if was_out_of_memory(counters).await {
                EndReason::MemoryExceeded
            } else {
                EndReason::SandboxEnded
            }
        })
    }
    // ANCHOR_END: ended

    fn remove(self: Box<Self>) -> BoxFuture<'static, ()> {
        Box::pin(self.process.remove())
    }
}
