//! What differs under gVisor's runtime.
//!
//! The cgroup of a container contains gVisor's own kernel too. Measured with the releases of December
//! 2022 and July 2024 and the `ptrace` platform: an idle sandbox has 43 to 59 threads on the host, and
//! each process inside adds six to ten (8 processes 114 to 127, 32 processes 301 to 363, 63 processes
//! 514 to 656: the more of them wait in the host's kernel at the same time, the more); threads inside
//! add almost none. With too few, the whole sandbox dies, with exit code 2 and no output. So the host's
//! limit is what a program within its own limit needs. A fork bomb exceeds the host's limit and dies of
//! it: the counters show that it is not `sys.exit(2)`, and init reports nothing.
//!
//! Memory is the same: gVisor copies what processes share in large pieces, so that a worker of
//! `multiprocessing` costs 8 MB (30 workers: 265 MB in all, where the kernel of the host needs 65 MB;
//! 238 MB of it is memory of the processes inside, 15 MB gVisor's own, 12 MB tables of the host's
//! kernel). That is not the program's: the limit of the cgroup is what a program with all its
//! processes may need, and every 20 ms what is in use is compared with what the processes that there
//! are may need. The number of processes is told from the threads on the host. So a program with one
//! process is ended 24 MB above its own limit, which is what gVisor needs, if its use is seen; one
//! that is faster than that is ended by the kernel.

use std::path::{Path, PathBuf};

use bollard::models::SystemInfo;
use shared::Limits;
use stage_04_docker::{BoxError, CgroupStats, Runtime};

use crate::isolation_check;
use crate::runsc_command::{RunscCommandError, runsc_version};

/// The name of the runtime in Docker's configuration.
pub(crate) const NAME: &str = "runsc";
/// Threads of an idle sandbox, with some to spare.
const IDLE_THREADS: u64 = 64;
/// Threads for each process inside, with some to spare.
const THREADS_PER_PROCESS: u64 = 10;

/// Threads of an idle sandbox, and for each process inside, at the least.
const LEAST_IDLE_THREADS: u64 = 43;
const LEAST_THREADS_PER_PROCESS: u64 = 6;
/// What an idle sandbox uses, with init and an interpreter in it.
const KERNEL_BYTES: u64 = 24 << 20;
/// What each process inside costs beside its own memory.
const BYTES_PER_PROCESS: u64 = 8 << 20;

// ANCHOR: runtime
/// gVisor, as a runtime of the container engine.
pub const RUNSC: Runtime = Runtime {
    engine: "gvisor",
    name: NAME,
    version: |info| Box::pin(async move { version(&info).await.map_err(BoxError::from) }),
    host_memory_limit,
    allowed_memory: Some(allowed_memory),
    host_pids_limit,
    // The host counts threads of gVisor's kernel, several for each process inside.
    counts_guest_pids: false,
    // Linux protects the first process of a container from its children, and gVisor does not: there
    // init has a user of its own. Root inside is a user of gVisor's kernel alone.
    root_init: true,
    // runsc sends no real-time signal, and no program may send init any.
    end_signal: "SIGUSR1",
    verify: |container| Box::pin(isolation_check::verify(container)),
};

/// Host threads allowed for a program limited to `pids` processes.
pub fn host_pids_limit(pids: u64) -> u64 {
    IDLE_THREADS + THREADS_PER_PROCESS * pids
}
// ANCHOR_END: runtime

// ANCHOR: memory
/// The most memory that a sandbox can use: the limit on its cgroup.
fn host_memory_limit(limits: &Limits) -> u64 {
    limits.memory_bytes + KERNEL_BYTES + BYTES_PER_PROCESS * limits.pids
}

/// What a sandbox may use with as many processes as it has now.
fn allowed_memory(limits: &Limits, stats: &CgroupStats) -> u64 {
    let threads = stats.pids.unwrap_or(0).saturating_sub(LEAST_IDLE_THREADS);
    let processes = (threads / LEAST_THREADS_PER_PROCESS).min(limits.pids);
    limits.memory_bytes + KERNEL_BYTES + BYTES_PER_PROCESS * processes
}
// ANCHOR_END: memory

/// The version of the runsc that Docker uses.
pub(crate) async fn version(info: &SystemInfo) -> Result<String, RunscCommandError> {
    runsc_version(&path(info).ok_or(RunscCommandError::NoPath)?).await
}

/// The path of runsc in Docker's configuration.
fn path(info: &SystemInfo) -> Option<PathBuf> {
    let path = info.runtimes.as_ref()?.get(NAME)?.path.as_deref()?;
    Some(Path::new(path).to_owned())
}

#[cfg(test)]
mod tests {
    use stage_04_docker::PROBE_LIMITS;

    use super::*;

    #[test]
    fn more_processes_may_use_more_memory_and_never_more_than_the_hosts_limit() {
        let limits = Limits { memory_bytes: 64 << 20, pids: 10, ..PROBE_LIMITS };
        let allowed = |threads| {
            let stats = CgroupStats { pids: Some(threads), ..CgroupStats::default() };
            allowed_memory(&limits, &stats) >> 20
        };
        assert_eq!([allowed(0), allowed(43), allowed(49), allowed(55)], [88, 88, 96, 104]);
        assert_eq!(allowed(10_000), host_memory_limit(&limits) >> 20);
    }
}
