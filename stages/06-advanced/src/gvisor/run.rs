//! One evaluation in one sandbox: from its delivery to the moment at which its end is known.
//!
//! Guarantee: every wait has a deadline, and nothing is waited for that the result does not need. When
//! the supervisor reports the program's end, all of its output has arrived before; the counters are
//! read, and that is the result. Removing the sandbox is no part of it.

use std::pin::pin;
use std::time::{Duration, Instant};

use shared::{Job, OutputBuffer};
use stage_04_docker::{
    CgroupPaths, ContainerExit, Controller, InitMessage, Nonce, ResourceSampler, RunObservation,
    SAMPLE_INTERVAL, Stop,
};
use tokio::time::MissedTickBehavior;
use tokio_util::sync::CancellationToken;

use super::connection::{Connection, ConnectionError, Event};
use super::output::{LoaderHandshake, ProgramOutput};
use super::sandbox::Sandbox;
use crate::protocol::frame::Exit;

/// From the delivery of a program to its start.
const PROGRAM_START_TIMEOUT: Duration = Duration::from_secs(20);
/// How long runsc has to end after its sandbox did.
const STOP_TIMEOUT: Duration = Duration::from_secs(2);
/// How much longer than its program a sandbox lives at most, should this process hang and not end it.
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
    let counters = counters(sandbox);
    let mut sampler = ResourceSampler::new(Some(counters), &job.submission.limits);
    // What the interpreter has used until now does not count as the program's.
    sampler.begin();
    sampler.began = None;
    let stop = match deliver(&mut sandbox.connection, job).await {
        Ok(()) => supervise(&mut sandbox.connection, &mut sampler, job, buffer, cancel).await,
        Err(error) => Stop::Fault(error.to_string()),
    };
    let wall = sampler.began.map(|began| began.elapsed());
    sampler.sample();
    let remains = match stop {
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
        remains,
        init_killable: false, // the supervisor runs as another user
        counts_guest_pids: false,
    }
}
// ANCHOR_END: run

fn counters(sandbox: &Sandbox) -> CgroupPaths {
    let dir = |controller| sandbox.process.paths.cgroup.dir(controller);
    let (cpuacct, memory) = (dir(Controller::CpuAcct), dir(Controller::Memory));
    if cpuacct == memory {
        CgroupPaths::V2(memory)
    } else {
        CgroupPaths::V1 { cpuacct, memory, pids: dir(Controller::Pids) }
    }
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
async fn deliver(connection: &mut Connection, job: &Job) -> Result<(), DeliverError> {
    let timeout = Duration::from_secs_f64(job.submission.limits.timeout_seconds);
    let lifetime = (PROGRAM_START_TIMEOUT + timeout + LIFETIME_GRACE).as_secs();
    let mut payload = Vec::new();
    // The loader's messages need no signature here: they are known by their place, before the
    // program's first instruction.
    stage_04_docker::write_payload(&mut payload, job, &Nonce::random()).await?;
    Ok(connection.deliver(payload, u32::try_from(lifetime).unwrap_or(u32::MAX))?)
}

// ANCHOR: supervise
/// Takes the program's output and samples its usage until something ends it.
pub(super) async fn supervise(
    connection: &mut Connection,
    sampler: &mut ResourceSampler<'_>,
    job: &Job,
    buffer: &OutputBuffer,
    cancel: &CancellationToken,
) -> Stop {
    let delivered = Instant::now();
    let mut output = ProgramOutput::new(buffer);
    let mut deadline = pin!(tokio::time::sleep(PROGRAM_START_TIMEOUT));
    let mut sampling = tokio::time::interval(SAMPLE_INTERVAL);
    sampling.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let stop = loop {
        tokio::select! {
            () = cancel.cancelled() => return Stop::Cancelled,
            event = connection.next() => match event {
                Ok(Event::Output { stream, bytes }) => output.receive(stream, &bytes),
                Ok(Event::Exited(exit)) => break Stop::Reported(init_message(exit)),
                // Not legal while an execution runs: `next` has refused them.
                Ok(Event::Started | Event::StartFailed { .. }) => {}
                Err(ConnectionError::Closed | ConnectionError::Io(_)) => break Stop::SandboxDied,
                Err(error) => break Stop::Fault(error.to_string()),
            },
            () = &mut deadline => return sampler.out_of_time(PROGRAM_START_TIMEOUT),
            _ = sampling.tick() => if sampler.sample() { return Stop::CpuTimeout },
        }
        if output.limit_reached {
            return Stop::OutputLimit;
        }
        if output.handshake == LoaderHandshake::Started && sampler.began.is_none() {
            sampler.began = Some(Instant::now());
            let timeout = Duration::from_secs_f64(job.submission.limits.timeout_seconds);
            deadline.as_mut().reset(tokio::time::Instant::now() + timeout);
        }
    };
    if output.handshake == LoaderHandshake::Started {
        sampler.began = sampler.began.or(Some(delivered));
    }
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
