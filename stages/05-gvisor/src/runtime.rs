//! What is different about gVisor's runtime.
//!
//! The control group of a container holds gVisor's own kernel too. Measured with the release of
//! December 2022 and its `ptrace` platform: an idle sandbox has 43 to 51 threads on the host, and
//! each process inside adds six (8 processes 102, 16 processes 152, 32 processes 251, 63 processes
//! 435); threads inside add next to none. With too few the whole sandbox dies, with exit code 2 and
//! no output. So the host's limit is what a program needs that stays within its own, and a fork bomb
//! ends by dying at the host's: told from `sys.exit(2)` by the counters, since init says nothing.

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use bollard::models::SystemInfo;
use shared::BoxFuture;
use stage_04_docker::Runtime;

use crate::proof;

/// The name of the runtime in Docker's configuration.
pub(crate) const NAME: &str = "runsc";
/// Threads of an idle sandbox, with some to spare.
const IDLE: u64 = 64;
/// Threads for each process inside, with some to spare.
const PER_PROCESS: u64 = 7;
/// How long `runsc` has for a question about itself.
const QUESTION: Duration = Duration::from_secs(10);

// ANCHOR: runtime
/// gVisor, as a runtime of the container engine.
pub const RUNSC: Runtime = Runtime {
    engine: "gvisor",
    name: NAME,
    version: |info| Box::pin(version(info)),
    pids: host_pids,
    // They are threads of gVisor's kernel, several for each process inside.
    counts_guest_pids: false,
    // Linux protects the first process of a container from its children; gVisor does not.
    init_killable: true,
    prove: |witness| -> BoxFuture<'static, Result<String, String>> {
        Box::pin(proof::prove(witness))
    },
};

/// The threads of the host that a program may have that may have `pids` processes.
pub fn host_pids(pids: u64) -> u64 {
    IDLE + PER_PROCESS * pids
}
// ANCHOR_END: runtime

/// Where Docker finds runsc.
pub(crate) fn path(info: &SystemInfo) -> Option<PathBuf> {
    let path = info.runtimes.as_ref()?.get(NAME)?.path.as_deref()?;
    Some(Path::new(path).to_owned())
}

/// The first line of what runsc says about its version.
pub(crate) async fn version(info: SystemInfo) -> Result<String, String> {
    let path = path(&info).ok_or("Docker does not say where runsc is")?;
    let said = ask(&path, &["--version"]).await?;
    let version = said.lines().next().and_then(|line| line.strip_prefix("runsc version "));
    version.map(str::to_owned).ok_or_else(|| format!("{} is no runsc: {said}", path.display()))
}

/// Runs a command that should answer at once, and kills it when it does not.
pub(crate) async fn ask(program: &Path, arguments: &[&str]) -> Result<String, String> {
    let asked = tokio::process::Command::new(program)
        .args(arguments)
        .stdin(Stdio::null())
        .kill_on_drop(true)
        .output();
    let what = || format!("{} {}", program.display(), arguments.join(" "));
    let answer = tokio::time::timeout(QUESTION, asked).await;
    let answer = answer.map_err(|_| format!("{}: no answer within 10 s", what()))?;
    let answer = answer.map_err(|error| format!("cannot run {}: {error}", what()))?;
    if answer.status.success() {
        Ok(String::from_utf8_lossy(&answer.stdout).trim().to_owned())
    } else {
        Err(format!("{} failed: {}", what(), String::from_utf8_lossy(&answer.stderr).trim()))
    }
}
