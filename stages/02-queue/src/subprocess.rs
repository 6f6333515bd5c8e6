//! An engine that runs programs as processes on the host, and ends what it started.
//!
//! | what a program does | what this engine does | test |
//! |---|---|---|
//! | starts children and never ends | kills the whole process group | `the_whole_group_is_killed` |
//! | prints for ever | reads into a bounded buffer, then kills | `endless_output_is_bounded` |
//! | burns processor time, memory, files | `prlimit` sets hard limits before Python starts | `limits_are_named` |
//! | leaves a child that holds its output open | reads on for [`DRAIN`] and no longer | `a_child_that_holds_the_output_does_not_hang_us` |
//!
//! What it does not protect: anything on the host. A program that calls `setsid` leaves the process
//! group and lives on until the stage ends or starts again (`reap_leftovers`); the number of
//! processes and the total of bytes on disk are not limited at all; `RLIMIT_DATA` counts neither
//! shared memory nor files. A process limit of the kernel's (`RLIMIT_NPROC`) counts a user's
//! processes over the whole machine and does not bind root, so it is of no use here.

mod group;
mod leftovers;
mod suite;
mod verdict;

use std::path::{Path, PathBuf};
use std::pin::pin;
use std::process::Stdio;
use std::time::{Duration, Instant};

use futures_util::FutureExt as _;
use futures_util::future::FusedFuture as _;
use shared::cli::Diagnosis;
use shared::submission::MAIN_FILE;
use shared::{BoxFuture, Engine, Job, OutputBuffer, SandboxInfo, Stream, Verdict};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::process::{Child, Command};
use tokio_util::sync::CancellationToken;

use crate::InstanceId;
use crate::command::{CommandError, command_output};
use group::Group;
pub use verdict::signal_name;
use verdict::{Ended, verdict};

/// After the program has ended, its output is read for so long and no longer: a child that has left
/// the group may hold the pipe open for ever.
const DRAIN: Duration = Duration::from_millis(300);
/// How long python3 has to report where its interpreter is.
const PYTHON_TIMEOUT: Duration = Duration::from_secs(10);

/// Why the engine could not start.
#[derive(Debug, thiserror::Error)]
pub enum SubprocessError {
    /// No Python 3 could be run.
    #[error("cannot run python3 ({reason})\n  hint: install it, or put it on PATH")]
    NoPython {
        /// What was tried and how it failed.
        reason: String,
    },
    /// The directory for the programs' files could not be made.
    #[error("cannot make {path} for the programs' files")]
    Scratch {
        /// The directory.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
}

/// Runs each program as a process group on the host, in a directory of its own.
pub struct SubprocessEngine {
    python: PathBuf,
    scratch: PathBuf,
    owner: InstanceId,
}

impl SubprocessEngine {
    /// An engine on this machine's Python. Takes away what a killed one has left behind.
    ///
    /// # Errors
    ///
    /// When there is no Python 3, or no place for the programs' files.
    pub async fn new() -> Result<Self, SubprocessError> {
        let python = real_python().await?;
        let owner = InstanceId::this_process();
        leftovers::reap_leftovers(&std::env::temp_dir());
        let scratch = leftovers::scratch(&owner, &std::env::temp_dir());
        std::fs::create_dir_all(&scratch)
            .map_err(|source| SubprocessError::Scratch { path: scratch.clone(), source })?;
        Ok(Self { python, scratch, owner })
    }

    async fn run(&self, job: &Job, buffer: &OutputBuffer, cancel: CancellationToken) -> Verdict {
        let directory = Directory(self.scratch.join(job.id.to_string()));
        let started = directory.fill(job).and_then(|()| self.spawn(job, &directory.0));
        let (mut child, group) = match started {
            Ok(started) => started,
            Err(error) => return Verdict::engine_error(format!("cannot start python3: {error}")),
        };
        let (ended, wall) = watch(&mut child, &group, job, buffer, cancel).await;
        // Until `wait`, the leader is at least a zombie, so its number cannot be another's yet.
        let cpu = group.cpu_time();
        match child.wait().await {
            Ok(status) => verdict(ended, status, wall, cpu, &job.submission.limits),
            Err(error) => Verdict::engine_error(format!("cannot wait for python3: {error}")),
        }
    }

    // ANCHOR: spawn
    fn spawn(&self, job: &Job, directory: &Path) -> std::io::Result<(Child, Group)> {
        let limits = &job.submission.limits;
        let cpu = limits.cpu_seconds.ceil();
        let child = Command::new("prlimit")
            .arg(format!("--cpu={cpu}:{}", cpu + 1.0)) // SIGXCPU, and a second later SIGKILL
            .arg(format!("--data={}", limits.memory_bytes))
            .arg(format!("--fsize={}", limits.disk_bytes))
            .arg(format!("--nofile={}", limits.open_files))
            .arg("--core=0") // a core dump would be a file of the program's choosing
            .arg("--")
            .arg(&self.python)
            .arg("-u") // each `print` is seen when it happens
            .arg(MAIN_FILE)
            .current_dir(directory)
            .env(leftovers::LABEL, self.owner.to_string())
            .process_group(0) // so that it and its children can be killed together
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn()?;
        let group = Group::of(&child)?;
        Ok((child, group))
    }
    // ANCHOR_END: spawn
}

// ANCHOR: watch
/// Feeds and reads the program until something ends it, then ends all of its group.
async fn watch(
    child: &mut Child,
    group: &Group,
    job: &Job,
    buffer: &OutputBuffer,
    cancel: CancellationToken,
) -> (Ended, Duration) {
    let started = Instant::now();
    let full = CancellationToken::new();
    let pipes = futures_util::future::join3(
        write(child.stdin.take(), &job.submission.stdin),
        read(child.stdout.take(), Stream::Stdout, buffer, &full),
        read(child.stderr.take(), Stream::Stderr, buffer, &full),
    );
    let mut pipes = pin!(pipes.fuse());
    let timeout = Duration::from_secs_f64(job.submission.limits.timeout_seconds);
    let mut deadline = pin!(tokio::time::sleep(timeout));
    let mut ended = loop {
        tokio::select! {
            () = cancel.cancelled() => break Ended::Cancelled,
            () = full.cancelled() => break Ended::OutputFull,
            () = &mut deadline => break Ended::OutOfTime,
            () = group.leader_ended() => break Ended::ByItself,
            _ = &mut pipes => {} // it closed its output, and may go on without
        }
    };
    let wall = started.elapsed();
    group.kill();
    if !pipes.is_terminated() {
        let _held_open = tokio::time::timeout(DRAIN, pipes).await;
    }
    if full.is_cancelled() && matches!(ended, Ended::ByItself) {
        ended = Ended::OutputFull;
    }
    (ended, wall)
}
// ANCHOR_END: watch

async fn write(stdin: Option<impl AsyncWrite + Unpin>, bytes: &[u8]) {
    if let Some(mut stdin) = stdin {
        // A program need not read what it is given.
        let _unread = stdin.write_all(bytes).await;
    }
}

async fn read(
    pipe: Option<impl AsyncRead + Unpin>,
    stream: Stream,
    buffer: &OutputBuffer,
    full: &CancellationToken,
) {
    let Some(mut pipe) = pipe else { return };
    let mut chunk = vec![0; 16 << 10];
    // An error on our end of a pipe is the end of it.
    while let Ok(length @ 1..) = pipe.read(&mut chunk).await {
        if buffer.push(stream, &chunk[..length]).is_err() {
            return full.cancel();
        }
    }
}

/// The interpreter itself: on PATH there may be a version manager's shim, which costs more than the
/// program it starts.
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

/// A directory for one program, gone when the evaluation is over.
struct Directory(PathBuf);

impl Directory {
    fn fill(&self, job: &Job) -> std::io::Result<()> {
        std::fs::create_dir(&self.0)?;
        std::fs::write(self.0.join(MAIN_FILE), &job.submission.code)?;
        for file in &job.submission.files {
            let path = self.0.join(&file.path);
            if let Some(parent) = path.parent() {
                std::fs::create_dir_all(parent)?;
            }
            std::fs::write(path, &file.bytes)?;
        }
        Ok(())
    }
}

impl Drop for Directory {
    fn drop(&mut self) {
        if let Err(error) = std::fs::remove_dir_all(&self.0) {
            tracing::warn!(path = %self.0.display(), %error, "could not remove a program's files");
        }
    }
}

impl Engine for SubprocessEngine {
    fn sandbox(&self) -> SandboxInfo {
        SandboxInfo { engine: "subprocess".to_owned(), ..SandboxInfo::default() }
    }

    fn evaluate<'a>(
        &'a self,
        job: &'a Job,
        buffer: &'a OutputBuffer,
        cancel: CancellationToken,
    ) -> BoxFuture<'a, Verdict> {
        Box::pin(self.run(job, buffer, cancel))
    }

    fn close(&self) -> BoxFuture<'_, ()> {
        Box::pin(async {
            leftovers::kill_labelled(|owner| *owner == self.owner);
            // Each program's own directory is gone already; a fault here leaves an empty one.
            let _empty = std::fs::remove_dir_all(&self.scratch);
        })
    }
}

/// What `doctor` says about this machine.
pub async fn diagnose() -> Vec<Diagnosis> {
    let python = match real_python().await {
        Ok(path) => Diagnosis::good("python3", path.display().to_string()),
        Err(error) => {
            Diagnosis::missing("python3", error.to_string(), "install it: apt-get install python3")
        }
    };
    let prlimit = match Command::new("prlimit").arg("--version").output().await {
        Ok(answer) => {
            Diagnosis::good("prlimit", String::from_utf8_lossy(&answer.stdout).trim().to_owned())
        }
        Err(error) => Diagnosis::missing(
            "prlimit",
            error.to_string(),
            "it sets the limits; install it: apt-get install util-linux",
        ),
    };
    vec![python, prlimit]
}
