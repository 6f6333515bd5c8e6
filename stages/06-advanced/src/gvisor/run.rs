//! One evaluation in one sandbox: from its delivery to the moment at which its end is known.
//!
//! Guarantee: every wait has a deadline, and nothing is waited for that the result does not need.
//! When the supervisor reports the program's end, all of its output has arrived before; the
//! counters are read, and that is the result. Removing the sandbox is no part of it.

use std::pin::pin;
use std::time::{Duration, Instant};

use shared::{Job, OutputBuffer};
use stage_04_docker::{
    COLLECT_TIMEOUT, ContainerExit, InitMessage, Nonce, ResourceSampler, RunObservation, Stop,
};
use tokio_util::sync::CancellationToken;

use super::connection::{Connection, ConnectionError, Event};
use super::memory::MemoryWatch;
use super::output::{LoaderHandshake, ProgramOutput};
use super::sandbox::Sandbox;
use crate::protocol::frame::Exit;

/// From the delivery of a program to its start.
const PROGRAM_START_TIMEOUT: Duration = Duration::from_secs(20);
/// How long runsc has to end after its sandbox did.
const STOP_TIMEOUT: Duration = Duration::from_secs(2);
/// How much longer than its program a sandbox lives at most, should this process hang and not end
/// it.
const LIFETIME_GRACE: Duration = Duration::from_secs(2);

// ANCHOR: run
/// Runs `job` in `sandbox`.
///
/// Cancel safe: the caller then drops the sandbox, which removes it.
pub(super) async fn run(
    sandbox: &mut Sandbox,
    job: &Job,
    buffer: &OutputBuffer,
    cancel: &CancellationToken,
) -> RunObservation {
    let cgroup = sandbox.process.paths.cgroup.clone();
    let mut sampler = ResourceSampler::new(Some(cgroup), &job.submission.limits);
    let stop = match prepare(sandbox, job, &mut sampler).await {
        Ok(mut memory) => {
            let connection = &mut sandbox.connection;
            supervise(connection, &mut sampler, &mut memory, job, buffer, cancel).await
        }
        Err(stop) => stop,
    };
    let wall = sampler.started_at.map(|started_at| started_at.elapsed());
    let stop = sampler.finish(stop).await;
    let container_exit = match stop {
        Stop::SandboxDied => {
            let status = sandbox.process.exit_status(STOP_TIMEOUT).await;
            let exit_code = status.and_then(|status| status.code()).map(i64::from);
            Some(ContainerExit { exit_code, oom_killed: false })
        }
        _ => None,
    };
    RunObservation {
        stop,
        wall,
        before: sampler.before,
        after: sampler.after,
        pids_seen: sampler.pids_seen,
        container_exit,
        counts_guest_pids: false,
    }
}
// ANCHOR_END: run

/// Delivers the program, and begins to watch what it uses.
async fn prepare(
    sandbox: &mut Sandbox,
    job: &Job,
    sampler: &mut ResourceSampler<'_>,
) -> Result<MemoryWatch, Stop> {
    let cgroup = &sandbox.process.paths.cgroup;
    let memory = MemoryWatch::open(cgroup, &job.submission.limits).await;
    let memory = memory.map_err(|error| {
        tracing::error!(id = %job.id, %error, "the memory limit cannot be watched");
        Stop::broken("the memory limit of the sandbox could not be watched")
    })?;
    let delivered = deliver(sandbox, job).await;
    delivered.map_err(|error| Stop::broken(error.to_string()))?;
    // What the interpreter has used until now does not count as the program's. It is read while the
    // interpreter wakes up, which takes longer.
    sampler.set_baseline().await?;
    Ok(memory)
}

/// Why a program could not be delivered.
#[derive(Debug, thiserror::Error)]
enum DeliverError {
    #[error("cannot encode the program")]
    Encode(#[from] std::io::Error),
    #[error(transparent)]
    Connection(#[from] ConnectionError),
}

/// Hands the sandbox the program, its files and its input, and how long it may live.
async fn deliver(sandbox: &mut Sandbox, job: &Job) -> Result<(), DeliverError> {
    let timeout = Duration::from_secs_f64(job.submission.limits.timeout_seconds);
    let lifetime = PROGRAM_START_TIMEOUT + timeout + LIFETIME_GRACE + COLLECT_TIMEOUT;
    let lifetime = lifetime.as_secs();
    let mut payload = Vec::new();
    // The loader's messages need no signature here: they are known by their place, before the
    // program's first instruction.
    let main_file = &sandbox.profile.language.main_file;
    stage_04_docker::write_payload(&mut payload, job, main_file, &Nonce::random()).await?;
    Ok(sandbox.connection.deliver(payload, u32::try_from(lifetime).unwrap_or(u32::MAX))?)
}

// ANCHOR: supervise
/// Takes the program's output and samples its usage until something ends it.
pub(super) async fn supervise(
    connection: &mut Connection,
    sampler: &mut ResourceSampler<'_>,
    memory: &mut MemoryWatch,
    job: &Job,
    buffer: &OutputBuffer,
    cancel: &CancellationToken,
) -> Stop {
    let mut output = ProgramOutput::new(buffer);
    let mut deadline = pin!(tokio::time::sleep(PROGRAM_START_TIMEOUT));
    let stop = loop {
        tokio::select! {
            () = cancel.cancelled() => return Stop::Cancelled,
            event = connection.next() => match event {
                Ok(Event::Output { stream, bytes }) => output.receive(stream, &bytes),
                Ok(Event::Exited(exit)) => break Stop::Reported(init_message(exit)),
                // Not legal while an execution runs: `next` has refused them.
                Ok(_) => {}
                Err(ConnectionError::Closed | ConnectionError::Io(_)) => break Stop::SandboxDied,
                Err(error) => break Stop::broken(error.to_string()),
            },
            () = &mut deadline => return sampler.timed_out(PROGRAM_START_TIMEOUT),
            stop = memory.watch() => return stop,
            stop = sampler.next() => if let Some(stop) = stop {
                return stop;
            },
        }
        if output.handshake == LoaderHandshake::Started && sampler.started_at.is_none() {
            sampler.started_at = Some(Instant::now());
            let timeout = Duration::from_secs_f64(job.submission.limits.timeout_seconds);
            deadline.as_mut().reset(tokio::time::Instant::now() + timeout);
        }
        if output.is_over_limit() {
            return Stop::OutputLimit;
        }
    };
    output.stop_reason(stop)
}
// ANCHOR_END: supervise

/// The supervisor's report in the terms of stage 4, which decides the outcome.
fn init_message(exit: Exit) -> InitMessage {
    match exit {
        Exit::Code(code) => InitMessage::Exited(code.into()),
        Exit::Signal(signal) => InitMessage::Signaled(signal.into()),
    }
}
