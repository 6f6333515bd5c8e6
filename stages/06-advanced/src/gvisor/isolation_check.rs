//! Verifies from outside, while a program runs, that gVisor isolates it.
//!
//! Guarantee: what stage 5 verifies, and that the live sandbox is wholly what was ordered
//! (`live_check`). There Docker reported which process is the container's first; here the cgroup has
//! every process of the sandbox on the host, and all of them have to be runsc. A program that ran on
//! the host's own kernel would be one of them, and would be an interpreter.

use std::sync::Mutex;

use shared::component::SelfTestError;
use shared::{Job, Limits, OutputBuffer, Stream, Submission};
use stage_04_docker::{BoxError, ContainerSnapshot, Stop, error_chain};
use stage_05_gvisor::RUNSC;
use tokio::sync::oneshot;
use tokio_util::sync::CancellationToken;

use super::error::{SandboxError, Text};
use super::instance_dir::SandboxPaths;
use super::live_check::{self, LiveSandbox, OrderedSandbox};
use super::sandbox::{Sandbox, SandboxFactory};
use super::{memory, oci_spec, run};

/// How long the program that is inspected may run, in seconds.
const PROGRAM_TIMEOUT_SECONDS: f64 = 20.0;
const MAX_OUTPUT_BYTES: u64 = 64 << 10;

/// Why the isolation of a sandbox could not be verified. `Display` is what a client may read; what
/// was seen of the host is in the sources, for the log and for `doctor`.
#[derive(Debug, thiserror::Error)]
pub(super) enum IsolationError {
    /// There is no sandbox to inspect.
    #[error(transparent)]
    Sandbox(#[from] SandboxError),
    /// The program ended instead of waiting to be inspected.
    #[error("the inspected program ended")]
    Ended {
        /// How.
        stop: Stop,
        /// That, and what it wrote.
        #[source]
        seen: Text,
    },
    /// The live sandbox is not what was ordered, or not gVisor's.
    #[error("a sandbox differs from what was ordered")]
    Differs(#[source] Text),
    /// The task that inspects the sandbox panicked.
    #[error("the inspection panicked")]
    Panicked(#[from] tokio::task::JoinError),
}

/// What came too late shows nothing of the isolation: the machine may be busy.
impl From<IsolationError> for SelfTestError {
    fn from(error: IsolationError) -> Self {
        match &error {
            IsolationError::Sandbox(SandboxError::Timeout | SandboxError::NoneReady { .. }) => {
                Self::TimedOut(error.to_string())
            }
            IsolationError::Ended { stop, .. } if stop.is_late() => {
                Self::TimedOut(error.to_string())
            }
            _ => Self::Broken(error.to_string()),
        }
    }
}

// ANCHOR: verify
/// Runs a program in a sandbox of `factory`, inspects the sandbox from outside while the program
/// runs, and removes it. Returns what was seen.
pub(super) async fn verify(
    factory: &SandboxFactory,
    limits: &Limits,
) -> Result<String, IsolationError> {
    let mut sandbox = factory.start(limits).await?;
    let verified = verify_sandbox(&mut sandbox, factory).await;
    sandbox.remove().await;
    verified
}

async fn verify_sandbox(
    sandbox: &mut Sandbox,
    factory: &SandboxFactory,
) -> Result<String, IsolationError> {
    let limits = Limits { timeout_seconds: PROGRAM_TIMEOUT_SECONDS, ..sandbox.limits };
    let submission = Submission::new(factory.profile.isolation_program, limits);
    let job = Job::first(submission);
    let (buffer, first_output) = observed_buffer();
    let (paths, user) = (sandbox.process.paths.clone(), sandbox.process.user);
    let inspect = async {
        // When the sender is gone, the program has ended, and the other branch has the result.
        let Ok(()) = first_output.await else { return std::future::pending().await };
        let kernel_inside = buffer.output(Stream::Stdout).text.trim().to_owned();
        let inspected = paths.clone();
        let inspect = {
            let factory = factory.clone();
            move || inspect(&factory, &inspected, &limits)
        };
        let mut live = tokio::task::spawn_blocking(inspect).await?;
        live.check_users(&factory.runsc, &factory.dir.state(), &paths.id, user).await;
        let (id, evidence) = (paths.id.clone(), String::new());
        match live.kernel {
            None => live.differences.push("no process is gVisor's kernel".to_owned()),
            Some(kernel) => {
                let snapshot =
                    ContainerSnapshot { id, pid: kernel.into(), evidence, kernel_inside };
                if let Err(error) = (RUNSC.verify)(snapshot).await {
                    live.differences.push(error_chain(&error));
                }
            }
        }
        if !live.differences.is_empty() {
            return Err(IsolationError::Differs(Text(live.differences.join("; "))));
        }
        Ok(format!(
            "from outside: all {} processes of a sandbox are runsc, without a network, with a \
             user of its own for the program, and with the specification and the limits that were ordered",
            live.processes
        ))
    };
    let never = CancellationToken::new();
    let running = run::run(sandbox, &job, &buffer, &never);
    tokio::select! {
        seen = inspect => seen,
        ended = running => {
            let stderr = buffer.output(Stream::Stderr).text;
            let seen = Text(format!("{}: {stderr}", ended.stop));
            Err(IsolationError::Ended { stop: ended.stop, seen })
        }
    }
}
// ANCHOR_END: verify

/// A buffer, and what fires with the first output on standard output.
fn observed_buffer() -> (OutputBuffer, oneshot::Receiver<()>) {
    let (sender, receiver) = oneshot::channel();
    let sender = Mutex::new(Some(sender));
    let listener = move |stream, _, _: &[u8]| {
        if stream != Stream::Stdout {
            return;
        }
        if let Some(sender) = sender.lock().ok().and_then(|mut sender| sender.take()) {
            sender.send(()).ok(); // the receiver may have been dropped
        }
    };
    (OutputBuffer::new(MAX_OUTPUT_BYTES, Box::new(listener)), receiver)
}

/// Compares a live sandbox of `factory` with what was ordered. Blocks.
fn inspect(factory: &SandboxFactory, paths: &SandboxPaths, limits: &Limits) -> LiveSandbox {
    let spec = factory.specification(paths, limits).map_err(BoxError::from);
    let spec = spec.and_then(|spec| Ok(serde_json::to_value(spec)?));
    let state = factory.dir.state();
    live_check::inspect(&OrderedSandbox {
        paths,
        cgroup: oci_spec::cgroup_limits(limits),
        highest_memory_bytes: memory::highest_limit(limits),
        runsc: &factory.runsc,
        platform: factory.platform,
        arguments: &factory.arguments,
        state: &state,
        // Nothing equals it, should there be no specification.
        spec: spec.unwrap_or_default(),
    })
}
