//! That gVisor is in force, seen from outside while a program runs.
//!
//! The rule it keeps: stage 5's proof, and one thing more. Docker showed there which process is the
//! container's first; here the control group shows every process that the sandbox has on the host,
//! and all of them have to be runsc. A program that ran on the host's own kernel would be one of them,
//! and would be an interpreter.

use std::path::Path;
use std::sync::Mutex;

use shared::component::CheckResult;
use shared::{Job, Limits, OutputBuffer, Stream, Submission};
use stage_04_docker::ContainerSnapshot;
use stage_05_gvisor::RUNSC;
use tokio::sync::oneshot;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::cgroup::Groups;
use super::run;
use super::sandbox::Sandbox;

/// Says what its kernel is, and then stays to be looked at.
const PROGRAM: &str = "
print(open('/proc/version').read().strip(), flush=True)
import time
time.sleep(60)";

// ANCHOR: prove
/// Runs a program in `sandbox`, looks at it from outside while it runs, and takes it away.
pub(super) async fn prove(mut sandbox: Sandbox, runsc: &Path) -> CheckResult {
    let limits = Limits { timeout_seconds: 20.0, ..sandbox.limits };
    let job = Job { id: Uuid::now_v7(), submission: Submission::new(PROGRAM, limits) };
    let (sender, spoken) = oneshot::channel();
    let sender = Mutex::new(Some(sender));
    let listener = move |stream, _, _: &[u8]| {
        let sender = sender.lock().ok().and_then(|mut sender| sender.take());
        if let Some(sender) = sender.filter(|_| stream == Stream::Stdout) {
            let _nobody_waits = sender.send(());
        }
    };
    let buffer = OutputBuffer::new(64 << 10, Box::new(listener));
    let cancel = CancellationToken::new();
    let names = sandbox.site().map(|site| (site.id.clone(), site.groups.clone()));
    let (id, groups) = names.ok_or("the sandbox is gone")?;
    let look = async {
        let seen = match spoken.await {
            Ok(()) => look(&groups, id, runsc, &buffer).await,
            Err(_) => Err("the program did not say anything".to_owned()),
        };
        cancel.cancel();
        seen
    };
    let running = async {
        let facts = run::run(&mut sandbox, &job, &buffer, &cancel).await;
        (!cancel.is_cancelled()).then_some(facts)
    };
    let finding = tokio::select! {
        seen = look => seen,
        Some(facts) = running => {
            let said = buffer.output(Stream::Stderr).text;
            Err(format!("a first program ended as {:?}: {said}", facts.stop))
        }
    };
    sandbox.end().await;
    finding
}
// ANCHOR_END: prove

async fn look(groups: &Groups, id: String, runsc: &Path, buffer: &OutputBuffer) -> CheckResult {
    let processes = groups.processes();
    let mut boot = None;
    for pid in &processes {
        let pid = pid.as_raw_nonzero().get();
        let exe = std::fs::read_link(format!("/proc/{pid}/exe"))
            .map_err(|error| format!("cannot see what process {pid} of the sandbox is: {error}"))?;
        if exe != runsc {
            return Err(format!("process {pid} of the sandbox is {}", exe.display()));
        }
        let line = std::fs::read_to_string(format!("/proc/{pid}/cmdline")).unwrap_or_default();
        if line.starts_with("runsc-sandbox\0") {
            boot = Some(pid);
        }
    }
    let Some(boot) = boot else {
        return Err(format!("none of {} processes is gVisor's kernel", processes.len()));
    };
    let kernel_inside = buffer.output(Stream::Stdout).text.trim().to_owned();
    let told = format!("all {} processes of its control group are runsc", processes.len());
    (RUNSC.prove)(ContainerSnapshot { id, pid: boot.into(), told, kernel_inside }).await
}
