//! The memory limit of a sandbox: the program's own, and what gVisor needs for each of its processes.
//!
//! The cgroup counts gVisor's kernel, and up to 8 MB for each process inside, because gVisor copies
//! memory that processes share in large pieces. Neither is the program's. So the limit of the cgroup
//! is the program's and an allowance for each process that the sandbox has on the host. It rises
//! while a program starts processes, always ahead of them.
//!
//! Guarantee: the kernel enforces the limit, and counts what it ends. The limit is never lowered
//! while a program runs, and never exceeds what the program's own limit of processes allows.
//!
//! What it does not protect: a program with one process can use 56 MiB less what gVisor's kernel
//! uses, some 20 MB, above its own limit. (To pause a sandbox at its limit in place of ending it was
//! tried, with `memory.oom_control` of cgroup version 1: then the system calls of gVisor's kernel
//! fail for want of memory, and it ends as if it were broken.)

use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::FileExt as _;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use shared::Limits;
use stage_04_docker::{Cgroup, Controller, Stop};
use tokio::time::{Interval, MissedTickBehavior};

use crate::sandboxes::MemoryOverhead;

/// For each process of a sandbox on the host. Measured: 4.2 MB for a child that sleeps, 8 MB for a
/// worker of `multiprocessing`.
const BYTES_PER_PROCESS: u64 = 8 << 20;
/// Processes of a sandbox on the host with no program: gVisor's own, the supervisor and the
/// interpreter.
const IDLE_PROCESSES: u64 = 6;
/// How many processes the limit is ahead of the sandbox, beside what the allowance is above the
/// measured use: 36 MB in all at first, and more with each process. To start one takes gVisor some
/// 5 ms, and a look at the sandbox comes every 10 ms, so that a look may be late.
const PROCESSES_AHEAD: u64 = 1;
const CHECK_INTERVAL: Duration = Duration::from_millis(10);
/// Failed looks in a row before the run ends.
const MAX_FAILED_CHECKS: u32 = 50;
/// The longest file with one number.
const MAX_NUMBER_BYTES: usize = 32;

/// The limit of the cgroup for a program within `limits`, with so many processes on the host.
fn allowed(limits: &Limits, processes: u64) -> u64 {
    let processes = processes.clamp(IDLE_PROCESSES, IDLE_PROCESSES + limits.pids);
    limits.memory_bytes + (processes + PROCESSES_AHEAD) * BYTES_PER_PROCESS
}

/// The limit of a sandbox that waits for a program within `limits`.
pub(super) fn initial_limit(limits: &Limits) -> u64 {
    allowed(limits, IDLE_PROCESSES)
}

/// The most that the limit is raised to.
pub(super) fn highest_limit(limits: &Limits) -> u64 {
    allowed(limits, u64::MAX)
}

/// The same, for a sandbox that stays: what it may use above its limit, with so many processes that count.
pub(super) fn overhead(max_processes: u64) -> MemoryOverhead {
    MemoryOverhead {
        base_bytes: (IDLE_PROCESSES + PROCESSES_AHEAD) * BYTES_PER_PROCESS,
        process_bytes: BYTES_PER_PROCESS,
        max_processes,
    }
}

/// The files of one sandbox's limit.
struct LimitFiles {
    limits: Limits,
    /// The list of processes. Opened anew for each look: version 1 reads the same list again through
    /// an open file.
    processes: PathBuf,
    limit: File,
    /// The limit with swap, of cgroup version 1 with swap accounting. Version 2 has a limit of swap
    /// alone, which stays 0.
    with_swap: Option<File>,
}

impl LimitFiles {
    fn open(cgroup: &Cgroup, limits: &Limits) -> io::Result<Self> {
        let dir = cgroup.dir(Controller::Memory);
        let open = |file: &str| OpenOptions::new().read(true).write(true).open(dir.join(file));
        let limit = open("memory.max").or_else(|_| open("memory.limit_in_bytes"))?;
        let processes = dir.join("cgroup.procs");
        let with_swap = open("memory.memsw.limit_in_bytes").ok();
        Ok(Self { limits: *limits, processes, limit, with_swap })
    }

    /// Raises the limit to what the sandbox's processes allow. Returns the limit. Blocks.
    fn raise(&self) -> io::Result<u64> {
        let processes = std::fs::read_to_string(&self.processes)?.lines().count();
        let allowed = allowed(&self.limits, u64::try_from(processes).unwrap_or(u64::MAX));
        let now = read(&self.limit)?.trim().parse().map_err(io::Error::other)?;
        if allowed <= now {
            return Ok(now);
        }
        let set = |file: &File| file.write_all_at(allowed.to_string().as_bytes(), 0);
        // The limit with swap is never below the limit on memory alone.
        self.with_swap.as_ref().map_or(Ok(()), set)?;
        set(&self.limit)?;
        Ok(allowed)
    }
}

fn read(file: &File) -> io::Result<String> {
    let mut buffer = vec![0; MAX_NUMBER_BYTES];
    let length = file.read_at(&mut buffer, 0)?;
    buffer.truncate(length);
    String::from_utf8(buffer).map_err(io::Error::other)
}

/// Raises the limit of one sandbox while its program runs.
pub(super) struct MemoryWatch {
    /// None watches nothing, for tests without a sandbox.
    files: Option<Arc<LimitFiles>>,
    interval: Interval,
    failed_checks: u32,
}

impl MemoryWatch {
    /// Watches nothing.
    pub(super) fn none() -> Self {
        let mut interval = tokio::time::interval(CHECK_INTERVAL);
        interval.set_missed_tick_behavior(MissedTickBehavior::Delay);
        Self { files: None, interval, failed_checks: 0 }
    }

    /// The same, with a look at the sandbox each `interval`.
    pub(super) async fn open_each(
        cgroup: &Cgroup,
        limits: &Limits,
        interval: Duration,
    ) -> io::Result<Self> {
        let watch = Self::open(cgroup, limits).await?;
        let mut interval = tokio::time::interval(interval);
        interval.set_missed_tick_behavior(MissedTickBehavior::Delay);
        Ok(Self { interval, ..watch })
    }

    /// Opens the files of a sandbox's limit, for a program within `limits`.
    pub(super) async fn open(cgroup: &Cgroup, limits: &Limits) -> io::Result<Self> {
        let (cgroup, limits) = (cgroup.clone(), *limits);
        let open = move || LimitFiles::open(&cgroup, &limits);
        let files = tokio::task::spawn_blocking(open).await.map_err(io::Error::other)??;
        Ok(Self { files: Some(Arc::new(files)), ..Self::none() })
    }

    /// Raises the limit as the sandbox gets processes. Returns when that cannot be done any more,
    /// with the reason to end the run.
    ///
    /// Cancel safe.
    pub(super) async fn watch(&mut self) -> Stop {
        let Some(files) = self.files.clone() else { return std::future::pending().await };
        loop {
            self.interval.tick().await;
            let files = Arc::clone(&files);
            match tokio::task::spawn_blocking(move || files.raise()).await {
                Ok(Ok(_)) => self.failed_checks = 0,
                // The sandbox may have ended, and its cgroup with it; the run will know it soon.
                failed => {
                    self.failed_checks += 1;
                    if self.failed_checks == MAX_FAILED_CHECKS {
                        tracing::error!(?failed, "the memory limit of a sandbox is not watched");
                        let reason = "the memory limit of the sandbox could not be watched";
                        return Stop::broken(reason);
                    }
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use stage_04_docker::PROBE_LIMITS;

    use super::*;

    #[test]
    fn the_limit_rises_with_the_processes_and_no_further() {
        let dir = tempfile::tempdir().unwrap();
        let file = |name: &str, text: &str| {
            std::fs::write(dir.path().join(name), text).unwrap();
            OpenOptions::new().read(true).write(true).open(dir.path().join(name)).unwrap()
        };
        let limits = Limits { memory_bytes: 256 << 20, pids: 10, ..PROBE_LIMITS };
        let start = initial_limit(&limits);
        let processes = |count: usize| drop(file("procs", &"1\n".repeat(count)));
        processes(6);
        let files = LimitFiles {
            limits,
            processes: dir.path().join("procs"),
            limit: file("max", &start.to_string()),
            with_swap: None,
        };
        assert_eq!(files.raise().unwrap(), start);
        processes(9);
        assert_eq!(files.raise().unwrap(), start + 3 * BYTES_PER_PROCESS);
        processes(1000);
        let highest = start + 10 * BYTES_PER_PROCESS;
        assert_eq!(files.raise().unwrap(), highest, "as many as the program may have");
        processes(1);
        assert_eq!(files.raise().unwrap(), highest, "it is never lowered");
        assert_eq!(read(&files.limit).unwrap(), highest.to_string());
    }
}
