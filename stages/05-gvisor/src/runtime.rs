//! What differs under gVisor's runtime.
//!
//! The cgroup of a container contains gVisor's own kernel too. Measured with the release of December
//! 2022 and its `ptrace` platform: an idle sandbox has 43 to 51 threads on the host, and each process
//! inside adds six (8 processes 102, 16 processes 152, 32 processes 251, 63 processes 435); threads
//! inside add almost none. With too few, the whole sandbox dies, with exit code 2 and no output. So
//! the host's limit is what a program within its own limit needs. A fork bomb exceeds the host's
//! limit and dies of it: the counters show that it is not `sys.exit(2)`, and init reports nothing.

use std::path::{Path, PathBuf};

use bollard::models::SystemInfo;
use stage_04_docker::{BoxError, Runtime};

use crate::isolation_check;
use crate::runsc_command::{RunscCommandError, runsc_version};

/// The name of the runtime in Docker's configuration.
pub(crate) const NAME: &str = "runsc";
/// Threads of an idle sandbox, with some to spare.
const IDLE_THREADS: u64 = 64;
/// Threads for each process inside, with some to spare.
const THREADS_PER_PROCESS: u64 = 7;

// ANCHOR: runtime
/// gVisor, as a runtime of the container engine.
pub const RUNSC: Runtime = Runtime {
    engine: "gvisor",
    name: NAME,
    version: |info| Box::pin(async move { version(&info).await.map_err(BoxError::from) }),
    host_pids_limit,
    // The host counts threads of gVisor's kernel, several for each process inside.
    counts_guest_pids: false,
    // Linux protects the first process of a container from its children, and gVisor does not: there
    // init has a user of its own. Root inside is a user of gVisor's kernel alone.
    root_init: true,
    verify: |container| Box::pin(isolation_check::verify(container)),
};

/// Host threads allowed for a program limited to `pids` processes.
pub fn host_pids_limit(pids: u64) -> u64 {
    IDLE_THREADS + THREADS_PER_PROCESS * pids
}
// ANCHOR_END: runtime

/// The version of the runsc that Docker uses.
pub(crate) async fn version(info: &SystemInfo) -> Result<String, RunscCommandError> {
    runsc_version(&path(info).ok_or(RunscCommandError::NoPath)?).await
}

/// The path of runsc in Docker's configuration.
fn path(info: &SystemInfo) -> Option<PathBuf> {
    let path = info.runtimes.as_ref()?.get(NAME)?.path.as_deref()?;
    Some(Path::new(path).to_owned())
}
