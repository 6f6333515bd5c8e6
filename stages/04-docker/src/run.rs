//! One evaluation in one container, from its creation to the moment that its end is known.
//!
//! ```text
//! create ─ attach ─┬─ start ───────────────┐
//!                  ├─ send program, input ─┤      the counters, every 20 ms
//!                  └─ read ─────── begin ──┴─ … ── end ─ read them once more ─ verdict
//! ```
//!
//! The rule it keeps: it waits for nothing without a deadline, and for nothing that it need not wait
//! for. The container is not waited for at all: init has said how the program ended, everything in
//! the container but init is dead, and its counters have been read; taking it away is the reaper's.

use std::pin::pin;
use std::time::Duration;

use futures_util::FutureExt as _;
use futures_util::future::FusedFuture as _;
use shared::{Job, OutputBuffer};
use tokio::time::MissedTickBehavior;
use tokio_util::sync::CancellationToken;

use crate::daemon::DaemonError;
use crate::delivery;
use crate::engine::DockerEngine;
use crate::outcome::{ContainerExit, RunObservation, Stop};
use crate::reaper::Container;
use crate::report::Nonce;
use crate::stdio::{Event, Stdio};
use crate::watch::{ResourceSampler, SAMPLE_INTERVAL};

/// From the order to start a container to the first moment of its program.
const STARTS: Duration = Duration::from_secs(40);

/// Runs `job`; none when it was cancelled before there was a container.
///
/// Cancel safe: a dropped future leaves the container to the reaper.
pub(crate) async fn run(
    engine: &DockerEngine,
    job: &Job,
    buffer: &OutputBuffer,
    cancel: CancellationToken,
) -> Result<Option<(RunObservation, Container)>, DaemonError> {
    let limits = &job.submission.limits;
    let mut container = tokio::select! {
        made = engine.reaper.create(engine.specification(limits)) => made?,
        () = cancel.cancelled() => return Ok(None),
    };
    container.counters = engine.layout.as_ref().map(|layout| layout.of(&container.id));
    let mut watch = ResourceSampler::new(container.counters.clone(), limits);
    let stop = match attend(engine, &container.id, &mut watch, job, buffer, &cancel).await {
        Ok(stop) => stop,
        Err(error) => Stop::Fault(error.to_string()),
    };
    let wall = watch.began.map(|began| began.elapsed());
    watch.sample();
    let (stop, remains) = match stop {
        Stop::SandboxDied => match engine.daemon.ended(&container.id).await {
            Ok(state) => {
                let oom_killed = state.oom_killed == Some(true);
                (stop, Some(ContainerExit { exit_code: state.exit_code, oom_killed }))
            }
            Err(error) => (Stop::Fault(error.to_string()), None),
        },
        stop => (stop, None),
    };
    let facts = RunObservation {
        stop,
        wall,
        before: watch.before,
        after: watch.after,
        pids_seen: watch.pids_seen,
        remains,
        init_killable: engine.runtime.init_killable,
        counts_guest_pids: engine.runtime.counts_guest_pids,
    };
    Ok(Some((facts, container)))
}

// ANCHOR: attend
/// Starts the container, feeds it, reads it and watches it until something ends it.
async fn attend(
    engine: &DockerEngine,
    id: &str,
    watch: &mut ResourceSampler<'_>,
    job: &Job,
    buffer: &OutputBuffer,
    cancel: &CancellationToken,
) -> Result<Stop, DaemonError> {
    let secret = Nonce::random();
    let attached = engine.daemon.attach(id).await?;
    let mut stdio = Stdio::new(attached.output, buffer, &secret);
    let mut sending = pin!(delivery::write_payload(attached.input, job, &secret).fuse());
    let mut starting = pin!(engine.daemon.start(id).fuse());
    let mut deadline = pin!(tokio::time::sleep(STARTS));
    let mut sampling = tokio::time::interval(SAMPLE_INTERVAL);
    sampling.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            () = cancel.cancelled() => return Ok(Stop::Cancelled),
            event = stdio.next() => match event {
                Event::Began => {
                    watch.begin();
                    let time = Duration::from_secs_f64(job.submission.limits.timeout_seconds);
                    deadline.as_mut().reset(tokio::time::Instant::now() + time);
                }
                Event::Ended(report) => return Ok(Stop::Reported(report)),
                Event::Full => return Ok(Stop::OutputLimit),
                // A container that does not start closes its streams before it says why.
                Event::Closed if !starting.is_terminated() => {
                    starting.as_mut().await?;
                    return Ok(Stop::SandboxDied);
                }
                Event::Closed => return Ok(Stop::SandboxDied),
                Event::Broken(error) => {
                    return Ok(Stop::Fault(format!("lost the container's output: {error}")));
                }
            },
            started = &mut starting, if !starting.is_terminated() => started?,
            // A program need not read what it is given; that is nobody's fault.
            _unread = &mut sending, if !sending.is_terminated() => {}
            () = &mut deadline => return Ok(watch.out_of_time(STARTS)),
            _ = sampling.tick() => if watch.sample() { return Ok(Stop::CpuTimeout) },
        }
    }
}
// ANCHOR_END: attend
