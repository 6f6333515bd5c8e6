//! An engine that runs programs as processes on the host, and ends what it started.
//!
//! | what a program does | what this engine does | test |
//! |---|---|---|
//! | starts children and never ends | kills the whole process group | `the_whole_group_is_killed` |
//! | prints without end | reads into a bounded buffer, then kills | `endless_output_is_bounded` |
//! | uses up processor time or memory, also in children | counts all its processes every 25 ms (`process_tree`), then kills them | `limits_are_for_all_processes` |
//! | writes a large file, opens many | `prlimit` sets hard limits before Python starts | `the_engine_verifies_itself` |
//! | leaves a child that keeps its output open | reads on for `PIPE_DRAIN_TIMEOUT` and no longer | `a_child_that_holds_the_output_does_not_hang_us` |
//!
//! What it does not protect: anything on the host. A program that calls `setsid` leaves the process
//! group and lives on until the stage ends or starts again (`orphans`); the number of processes and
//! the total of bytes on disk are not limited at all. Memory may pass its limit between two samples, and
//! files in memory are not counted. `RLIMIT_DATA` and `RLIMIT_AS` are no substitute: they count what is
//! reserved, such as 8 MB for the stack of each thread, for each process by itself. The kernel's process limit (`RLIMIT_NPROC`) counts a user's processes over the whole
//! machine and does not bind root, so it is of no use here.

mod doctor;
mod limits;
mod orphans;
mod process_group;
mod process_tree;
mod self_test;
mod signal_name;
mod verdict;
mod work_dir;

use std::path::{Path, PathBuf};
use std::pin::pin;
use std::process::Stdio;
use std::time::{Duration, Instant};

use futures_util::FutureExt as _;
use futures_util::future::FusedFuture as _;
use shared::profile::PYTHON;
use shared::{BoxFuture, Engine, Hint, Job, OutputBuffer, SandboxInfo, Stream, Verdict};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::process::{Child, Command};
use tokio_util::sync::CancellationToken;

use crate::InstanceId;
use crate::command::{CommandError, command_output};
pub use doctor::{HostArgs, diagnose};
use limits::LimitWatch;
use process_group::ProcessGroup;
use process_tree::EVALUATION_ENV;
pub use signal_name::signal_name;
use verdict::{StopReason, verdict};
use work_dir::WorkDir;

/// How long the output of a program is read after its end: a child that has left the process group
/// may keep the pipe open without end.
const PIPE_DRAIN_TIMEOUT: Duration = Duration::from_millis(300);
/// `RLIMIT_CPU` above the limit of the evaluation, in seconds.
const CPU_LIMIT_GRACE_SECONDS: f64 = 2.0;
/// How long python3 has to report where its interpreter is.
const PYTHON_TIMEOUT: Duration = Duration::from_secs(10);

/// Why the engine could not start.
#[derive(Debug, thiserror::Error)]
pub enum SubprocessError {
    /// No Python 3 could be run.
    #[error("cannot run python3 ({reason})")]
    NoPython {
        /// How the attempt failed.
        reason: String,
    },
    /// The directory for the programs' files could not be created.
    #[error("cannot create {} for the programs' files", path.display())]
    Scratch {
        /// The directory.
        path: PathBuf,
        /// The error of the system.
        source: std::io::Error,
    },
}

impl Hint for SubprocessError {
    fn hint(&self) -> Option<&'static str> {
        match self {
            Self::NoPython { .. } => Some("install it, or put it on PATH"),
            Self::Scratch { .. } => None,
        }
    }
}

/// Runs each program as a process group on the host, in a directory of its own.
pub struct SubprocessEngine {
    python: PathBuf,
    scratch: PathBuf,
    instance: InstanceId,
}

impl SubprocessEngine {
    /// An engine on this machine's Python. Removes what a killed instance has left behind.
    ///
    /// # Errors
    ///
    /// When there is no Python 3, or no place for the programs' files.
    pub async fn new() -> Result<Self, SubprocessError> {
        let python = real_python().await?;
        let instance = InstanceId::this_process();
        let scratch = orphans::scratch(&instance, &std::env::temp_dir());
        let path = scratch.clone();
        let created = blocking(move || {
            orphans::reap(&std::env::temp_dir());
            std::fs::create_dir_all(&path)
        });
        let not_created = |source| SubprocessError::Scratch { path: scratch.clone(), source };
        created.await.map_err(not_created)?;
        Ok(Self { python, scratch, instance })
    }

    async fn run(&self, job: &Job, output: &OutputBuffer, cancel: CancellationToken) -> Verdict {
        let cannot_start = |error| Verdict::engine_error(format!("cannot start python3: {error}"));
        let directory = match WorkDir::create(&self.scratch, job).await {
            Ok(directory) => directory,
            Err(error) => return cannot_start(error),
        };
        let (mut child, group) = match self.spawn(job, directory.path()) {
            Ok(started) => started,
            Err(error) => return cannot_start(error),
        };
        let watch = LimitWatch::of(&group, job);
        let (stop, wall) = supervise(&mut child, &group, &watch, job, output, cancel).await;
        // Until `wait`, the leader is at least a zombie, so its number is not reused yet.
        let cpu = watch.end(stop).await;
        let verdict = match child.wait().await {
            Ok(status) => verdict(stop, status, wall, cpu, &job.submission.limits),
            Err(error) => Verdict::engine_error(format!("cannot wait for python3: {error}")),
        };
        directory.remove().await;
        verdict
    }

    // ANCHOR: spawn
    fn spawn(&self, job: &Job, directory: &Path) -> std::io::Result<(Child, ProcessGroup)> {
        let limits = &job.submission.limits;
        let child = Command::new("prlimit")
            // For each process by itself, in case that this server is stopped and counts nothing.
            .arg(format!("--cpu={}", limits.cpu_seconds.ceil() + CPU_LIMIT_GRACE_SECONDS))
            .arg(format!("--fsize={}", limits.disk_bytes))
            .arg(format!("--nofile={}", limits.open_files))
            .arg("--core=0") // a core dump could have any content and size
            .args(["--", "env", "--default-signal"]) // `nohup` and shells leave signals ignored
            .arg(&self.python)
            .arg("-u") // unbuffered: each `print` is read when it happens
            .arg(&*PYTHON.main_file)
            .current_dir(directory)
            .env(orphans::INSTANCE_ENV, self.instance.to_string())
            .env(EVALUATION_ENV, job.id.to_string())
            .process_group(0) // so that it and its children can be killed together
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn()?;
        let group = ProcessGroup::of(&child)?;
        Ok((child, group))
    }
    // ANCHOR_END: spawn
}

// ANCHOR: supervise
/// Writes the input and reads the output of the program until something ends it, then kills its
/// whole group.
async fn supervise(
    child: &mut Child,
    group: &ProcessGroup,
    watch: &LimitWatch,
    job: &Job,
    output: &OutputBuffer,
    cancel: CancellationToken,
) -> (StopReason, Duration) {
    let started = Instant::now();
    let full = CancellationToken::new();
    let pipes = futures_util::future::join3(
        write(child.stdin.take(), &job.submission.stdin),
        read(child.stdout.take(), Stream::Stdout, output, &full),
        read(child.stderr.take(), Stream::Stderr, output, &full),
    );
    let mut pipes = pin!(pipes.fuse());
    let timeout = Duration::from_secs_f64(job.submission.limits.timeout_seconds);
    let mut deadline = pin!(tokio::time::sleep(timeout));
    let mut stop = loop {
        tokio::select! {
            () = cancel.cancelled() => break StopReason::Cancelled,
            () = full.cancelled() => break StopReason::OutputLimit,
            () = &mut deadline => break StopReason::TimedOut,
            () = group.leader_ended() => break StopReason::Exited,
            limit = watch.limit_reached(&job.submission.limits) => break limit,
            _ = &mut pipes => {} // the program closed its output, and may run on without it
        }
    };
    let wall = started.elapsed();
    group.kill();
    if !pipes.is_terminated() {
        // After the timeout a child still keeps a pipe open: the rest is not read.
        tokio::time::timeout(PIPE_DRAIN_TIMEOUT, pipes).await.ok();
    }
    if full.is_cancelled() && stop == StopReason::Exited {
        stop = StopReason::OutputLimit;
    }
    (stop, wall)
}
// ANCHOR_END: supervise

async fn write(stdin: Option<impl AsyncWrite + Unpin>, bytes: &[u8]) {
    if let Some(mut stdin) = stdin {
        // An error means that the program has closed its input: it need not read it.
        stdin.write_all(bytes).await.ok();
    }
}

async fn read(
    pipe: Option<impl AsyncRead + Unpin>,
    stream: Stream,
    output: &OutputBuffer,
    full: &CancellationToken,
) {
    let Some(mut pipe) = pipe else { return };
    let mut chunk = vec![0; 16 << 10];
    // An error of the pipe is its end.
    while let Ok(length @ 1..) = pipe.read(&mut chunk).await {
        if output.push(stream, &chunk[..length]).is_err() {
            return full.cancel();
        }
    }
}

/// The path of the real interpreter: `python3` on PATH may be the shim of a version manager, which
/// takes longer than the program it starts.
async fn real_python() -> Result<PathBuf, SubprocessError> {
    let no_python = |reason: String| SubprocessError::NoPython { reason };
    let args = ["-I", "-c", "import sys; print(sys.executable)"];
    let output = command_output(Path::new("python3"), &args, PYTHON_TIMEOUT).await;
    let output = output.map_err(|error| match error {
        CommandError::Spawn { source, .. } => no_python(source.to_string()),
        CommandError::Timeout { .. } => no_python(error.to_string()),
    })?;
    let path = String::from_utf8_lossy(&output.stdout).trim().to_owned();
    if output.status.success() && Path::new(&path).is_file() {
        Ok(path.into())
    } else {
        Err(no_python(String::from_utf8_lossy(&output.stderr).trim().to_owned()))
    }
}

/// Runs operations on files that may block, away from the threads of the runtime.
async fn blocking<T: Send + 'static>(
    operation: impl FnOnce() -> std::io::Result<T> + Send + 'static,
) -> std::io::Result<T> {
    tokio::task::spawn_blocking(operation).await.map_err(std::io::Error::other)?
}

impl Engine for SubprocessEngine {
    fn sandbox(&self) -> SandboxInfo {
        SandboxInfo { engine: "subprocess".to_owned(), ..SandboxInfo::default() }
    }

    fn evaluate<'a>(
        &'a self,
        job: &'a Job,
        output: &'a OutputBuffer,
        cancel: CancellationToken,
    ) -> BoxFuture<'a, Verdict> {
        Box::pin(self.run(job, output, cancel))
    }

    fn close(&self) -> BoxFuture<'_, ()> {
        let (instance, scratch) = (self.instance.clone(), self.scratch.clone());
        Box::pin(async move {
            let removed = blocking(move || {
                orphans::kill_labelled(|other| *other == instance);
                std::fs::remove_dir_all(&scratch)
            });
            // The directory of each program is removed already; an error here leaves an empty one.
            removed.await.ok();
        })
    }
}
