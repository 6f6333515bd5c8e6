//! One evaluation in one container, from its creation to the moment that its end is known.
//!
//! ```text
//! create ─ attach ─┬─ start ───────────────┐
//!                  ├─ send program, input ─┤      the counters, every 20 ms
//!                  └─ read ─────── begin ──┴─ … ── end ─ read them once more ─ verdict
//! ```
//!
//! The rule it keeps: it waits for nothing without a deadline, and for nothing that it need not wait
//! for. It does not wait for the container to end: init has reported how the program ended, all other
//! processes in the container are dead, and the counters have been read. The reaper removes it. Where
//! files are taken, init sends them after that report; a program at a limit is ended by init then.

use std::pin::pin;
use std::time::Duration;

use futures_util::FutureExt as _;
use futures_util::future::FusedFuture as _;
use shared::{Job, OutputBuffer};
use tokio_util::sync::CancellationToken;

use crate::artifacts::LeftFiles;
use crate::daemon::{Attached, DaemonError};
use crate::error_chain::error_chain;
use crate::init_message::Nonce;
use crate::launcher::Launcher;
use crate::outcome::{ContainerExit, EngineFailure, RunObservation, Stop};
use crate::payload;
use crate::reaper::Container;
use crate::resource_sampler::ResourceSampler;
use crate::stdio::{Event, Stdio};

/// From the call that starts a container to the first moment of its program.
const START_TIMEOUT: Duration = Duration::from_secs(40);

/// Until init is asked again to end a program. Attack: a program floods init with that signal, so that
/// the kernel drops the host's → it comes again.
const END_SIGNAL_INTERVAL: Duration = Duration::from_millis(300);
const MAX_END_SIGNALS: u32 = 16;

/// A run that has ended.
pub(crate) struct Ran {
    /// What decides its outcome.
    pub(crate) observation: RunObservation,
    /// Its container.
    pub(crate) container: Container,
    /// What became of the files that the program has left, where they are taken.
    pub(crate) files: Option<LeftFiles>,
}

/// Runs `job`; none when it was cancelled before there was a container.
///
/// Cancel safe: when the future is dropped, the reaper removes the container.
pub(crate) async fn run(
    launcher: &Launcher,
    job: &Job,
    buffer: &OutputBuffer,
    cancel: CancellationToken,
) -> Result<Option<Ran>, DaemonError> {
    let (limits, profile) = (&job.submission.limits, launcher.profile_of(job)?);
    let container = tokio::select! {
        created = launcher.create(profile, limits) => created?,
        () = cancel.cancelled() => return Ok(None),
    };
    let sandbox = container.id.as_str();
    tracing::debug!(id = %job.id, sandbox, "container created");
    let mut sampler = ResourceSampler::new(container.cgroup.clone(), limits);
    sampler.allowed_memory = launcher.runtime.allowed_memory;
    let attached = attach(launcher, sandbox, &mut sampler, job, buffer, &cancel).await;
    let (stop, stdio) = match attached {
        Ok((stop, stdio)) => (stop, Some(stdio)),
        Err(error) => (failed(job, &error), None),
    };
    let wall = sampler.started_at.map(|started_at| started_at.elapsed());
    let mut stop = sampler.finish(stop).await;
    let mut container_exit = None;
    if stop == Stop::SandboxDied {
        let is_explained =
            sampler.after.oom_kills > Some(0) || sampler.after.pids_refused > Some(0);
        match launcher.daemon.ended(sandbox, is_explained).await {
            Ok(state) => {
                let oom_killed = state.oom_killed == Some(true);
                container_exit = Some(ContainerExit { exit_code: state.exit_code, oom_killed });
            }
            Err(error) => stop = failed(job, &error),
        }
    }
    tracing::debug!(id = %job.id, sandbox, %stop, "program ended");
    let stdio = stdio.filter(|_| profile.keeps_output_files && wall.is_some());
    let files = match stdio {
        Some(stdio) => take_files(launcher, sandbox, stdio, &stop, &cancel).await,
        None => None,
    };
    let observation = RunObservation {
        stop,
        wall,
        before: sampler.before,
        after: sampler.after,
        pids_seen: sampler.pids_seen,
        container_exit,
        counts_guest_pids: launcher.runtime.counts_guest_pids,
    };
    Ok(Some(Ran { observation, container, files }))
}

/// Takes the files of a program, after everything that its outcome needs is known. One that still runs
/// is ended first.
async fn take_files(
    launcher: &Launcher,
    id: &str,
    mut stdio: Stdio<'_>,
    stop: &Stop,
    cancel: &CancellationToken,
) -> Option<LeftFiles> {
    let taking = async {
        for _ in 0..MAX_END_SIGNALS {
            if stdio.has_ended() {
                break;
            }
            launcher.daemon.signal(id, launcher.runtime.end_signal).await?;
            tokio::time::timeout(END_SIGNAL_INTERVAL, stdio.end()).await.ok(); // else once more
        }
        Ok::<_, DaemonError>(stdio.files().await)
    };
    LeftFiles::take(stop, cancel, taking).await
}

/// The client reads what failed, and the log has the cause as well.
fn failed(job: &Job, error: &DaemonError) -> Stop {
    tracing::warn!(id = %job.id, error = error_chain(error), "a call to Docker failed");
    match error {
        DaemonError::Timeout { .. } => {
            Stop::EngineError(EngineFailure::TimedOut(error.to_string()))
        }
        _ => Stop::broken(error.to_string()),
    }
}

/// Attaches to the container and supervises it. Returns its streams as well: files may follow.
async fn attach<'a>(
    launcher: &Launcher,
    id: &str,
    sampler: &mut ResourceSampler<'_>,
    job: &Job,
    buffer: &'a OutputBuffer,
    cancel: &CancellationToken,
) -> Result<(Stop, Stdio<'a>), DaemonError> {
    let (nonce, profile) = (Nonce::random(), launcher.profile_of(job)?);
    let Attached { output, input } = launcher.daemon.attach(id).await?;
    let mut stdio = Stdio::new(output, buffer, &nonce, profile.keeps_output_files);
    let payload = payload::write_payload(input, job, &profile.main_file, &nonce);
    let stop = supervise(launcher, id, sampler, job, &mut stdio, payload, cancel).await?;
    Ok((stop, stdio))
}

// ANCHOR: supervise
/// Starts the container, writes to it, reads from it and samples its counters until something ends
/// the program.
async fn supervise(
    launcher: &Launcher,
    id: &str,
    sampler: &mut ResourceSampler<'_>,
    job: &Job,
    stdio: &mut Stdio<'_>,
    payload: impl Future<Output = std::io::Result<()>>,
    cancel: &CancellationToken,
) -> Result<Stop, DaemonError> {
    let mut sending = pin!(payload.fuse());
    let mut starting = pin!(launcher.daemon.start(id).fuse());
    let mut deadline = pin!(tokio::time::sleep(START_TIMEOUT));
    loop {
        tokio::select! {
            () = cancel.cancelled() => return Ok(Stop::Cancelled),
            event = stdio.next() => match event {
                Event::Started => {
                    if let Err(unreadable) = sampler.start().await {
                        return Ok(unreadable);
                    }
                    let time = Duration::from_secs_f64(job.submission.limits.timeout_seconds);
                    deadline.as_mut().reset(tokio::time::Instant::now() + time);
                }
                Event::Ended(message) => {
                    log_early(job, stdio);
                    return Ok(Stop::Reported(message));
                }
                Event::OutputLimit => return Ok(Stop::OutputLimit),
                Event::Files => {} // before the end of the other stream
                // A container that cannot start closes its streams before the call returns an error.
                Event::Closed if !starting.is_terminated() => {
                    starting.as_mut().await?;
                    return Ok(Stop::SandboxDied);
                }
                Event::Closed => {
                    log_early(job, stdio);
                    return Ok(Stop::SandboxDied);
                }
                Event::ConnectionLost(error) => {
                    tracing::warn!(id = %job.id, error, "the connection to a container was lost");
                    return Ok(Stop::broken("the container's output was lost"));
                }
            },
            started = &mut starting, if !starting.is_terminated() => started?,
            // A program need not read its input: that the container does not take it is no error.
            _ = &mut sending, if !sending.is_terminated() => {}
            () = &mut deadline => return Ok(sampler.timed_out(START_TIMEOUT)),
            stop = sampler.next() => if let Some(stop) = stop {
                return Ok(stop);
            },
        }
    }
}
// ANCHOR_END: supervise

/// What init or the runtime has written before the program: nothing, unless it failed.
fn log_early(job: &Job, stdio: &Stdio<'_>) {
    let early = shared::harmless(&stdio.early());
    if !early.is_empty() {
        tracing::warn!(id = %job.id, early, "a sandbox wrote before its program started");
    }
}

#[cfg(test)]
mod tests;
