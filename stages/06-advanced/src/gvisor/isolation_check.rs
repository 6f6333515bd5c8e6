//! Verifies from outside, while a program runs, that gVisor isolates it.
//!
//! Guarantee: what stage 5 verifies, and one thing more. There Docker reported which process is the
//! container's first; here the cgroup has every process of the sandbox on the host, and all of them
//! have to be runsc. A program that ran on the host's own kernel would be one of them, and would be
//! an interpreter.

use std::path::{Path, PathBuf};
use std::sync::Mutex;

use shared::component::SelfTestError;
use shared::{Job, Limits, OutputBuffer, Stream, Submission};
use stage_04_docker::{Cgroup, ContainerSnapshot, Stop};
use stage_05_gvisor::RUNSC;
use tokio::sync::oneshot;
use tokio_util::sync::CancellationToken;

use super::error::SandboxError;
use super::run;
use super::sandbox::{Sandbox, SandboxFactory};

/// How long the program that is inspected may run, in seconds.
const PROGRAM_TIMEOUT_SECONDS: f64 = 20.0;
const MAX_OUTPUT_BYTES: u64 = 64 << 10;

/// Why the isolation of a sandbox could not be verified.
#[derive(Debug, thiserror::Error)]
pub(super) enum IsolationError {
    /// There is no sandbox to inspect.
    #[error(transparent)]
    Sandbox(#[from] SandboxError),
    /// The program ended instead of waiting to be inspected.
    #[error("the inspected program ended ({stop}): {stderr}")]
    Ended {
        /// How.
        stop: Stop,
        /// What it wrote.
        stderr: String,
    },
    /// A process of the sandbox cannot be inspected.
    #[error("cannot see the executable of process {pid} of the sandbox")]
    Unreadable {
        /// The process.
        pid: i32,
        /// The system's error.
        source: std::io::Error,
    },
    /// A process of the sandbox is another program than runsc.
    #[error("process {pid} of the sandbox is {}", executable.display())]
    ForeignProcess {
        /// The process.
        pid: i32,
        /// What it is.
        executable: PathBuf,
    },
    /// gVisor's kernel is not among the processes.
    #[error("none of {processes} processes is gVisor's kernel")]
    NoKernel {
        /// How many there are.
        processes: usize,
    },
    /// What stage 5 verifies does not hold.
    #[error(transparent)]
    Runtime(#[from] stage_04_docker::IsolationError),
    /// The task that inspects the processes panicked.
    #[error("the inspection panicked")]
    Panicked(#[from] tokio::task::JoinError),
}

/// What came too late shows nothing of the isolation: the machine may be busy.
impl From<IsolationError> for SelfTestError {
    fn from(error: IsolationError) -> Self {
        match &error {
            IsolationError::Sandbox(SandboxError::Timeout | SandboxError::NoneReady { .. })
            | IsolationError::Ended { stop: Stop::WallTimeout | Stop::EngineError(_), .. } => {
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
    let paths = sandbox.process.paths.clone();
    let inspect = async {
        // When the sender is gone, the program has ended, and the other branch has the result.
        let Ok(()) = first_output.await else { return std::future::pending().await };
        let kernel_inside = buffer.output(Stream::Stdout).text.trim().to_owned();
        let (inspected, runsc) = (paths.clone(), factory.runsc.clone());
        let inspect = move || inspect_processes(&inspected.cgroup, &runsc);
        let (kernel, processes) = tokio::task::spawn_blocking(inspect).await??;
        let id = paths.id.clone();
        let evidence = format!("all {processes} processes of its cgroup are runsc");
        let snapshot = ContainerSnapshot { id, pid: kernel.into(), evidence, kernel_inside };
        Ok((RUNSC.verify)(snapshot).await?)
    };
    let never = CancellationToken::new();
    let running = run::run(sandbox, &job, &buffer, &never);
    tokio::select! {
        seen = inspect => seen,
        ended = running => {
            let stderr = buffer.output(Stream::Stderr).text;
            Err(IsolationError::Ended { stop: ended.stop, stderr })
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

/// Checks that every process in `cgroup` is `runsc`. Returns the one that is gVisor's kernel, and
/// how many there are. Blocks.
fn inspect_processes(cgroup: &Cgroup, runsc: &Path) -> Result<(i32, usize), IsolationError> {
    let processes = cgroup.processes();
    let mut kernel = None;
    for pid in &processes {
        let pid = pid.as_raw_nonzero().get();
        let executable = std::fs::read_link(format!("/proc/{pid}/exe"))
            .map_err(|source| IsolationError::Unreadable { pid, source })?;
        if executable != runsc {
            return Err(IsolationError::ForeignProcess { pid, executable });
        }
        let line = std::fs::read_to_string(format!("/proc/{pid}/cmdline")).unwrap_or_default();
        if line.starts_with("runsc-sandbox\0") {
            kernel = Some(pid);
        }
    }
    let count = processes.len();
    let kernel = kernel.ok_or(IsolationError::NoKernel { processes: count })?;
    Ok((kernel, count))
}
