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
use shared::{Capture, Job};
use tokio::time::MissedTickBehavior;
use tokio_util::sync::CancellationToken;

use crate::daemon::DaemonError;
use crate::delivery;
use crate::engine::DockerEngine;
use crate::outcome::{Facts, Remains, Stop};
use crate::reaper::Container;
use crate::report::Secret;
use crate::stdio::{Event, Stdio};
use crate::watch::{SAMPLING, Watch};

/// From the order to start a container to the first moment of its program.
const STARTS: Duration = Duration::from_secs(40);

/// Runs `job`; none when it was cancelled before there was a container.
///
/// Cancel safe: a dropped future leaves the container to the reaper.
pub(crate) async fn run(
    engine: &DockerEngine,
    job: &Job,
    capture: &Capture,
    cancel: CancellationToken,
) -> Result<Option<(Facts, Container)>, DaemonError> {
    let limits = &job.submission.limits;
    let mut container = tokio::select! {
        made = engine.reaper.create(engine.specification(limits)) => made?,
        () = cancel.cancelled() => return Ok(None),
    };
    container.counters = engine.layout.as_ref().map(|layout| layout.of(&container.id));
    let mut watch = Watch::new(container.counters.clone(), limits);
    let stop = match attend(engine, &container.id, &mut watch, job, capture, &cancel).await {
        Ok(stop) => stop,
        Err(fault) => Stop::Fault(fault.to_string()),
    };
    let wall = watch.began.map(|began| began.elapsed());
    watch.sample();
    let (stop, remains) = match stop {
        Stop::Vanished => match engine.daemon.ended(&container.id).await {
            Ok(state) => {
                let oom_killed = state.oom_killed == Some(true);
                (stop, Some(Remains { exit_code: state.exit_code, oom_killed }))
            }
            Err(fault) => (Stop::Fault(fault.to_string()), None),
        },
        stop => (stop, None),
    };
    let facts = Facts {
        stop,
        wall,
        before: watch.before,
        after: watch.after,
        pids_seen: watch.pids_seen,
        remains,
        init_is_mortal: engine.runtime.init_is_mortal,
        pids_are_the_programs: engine.runtime.pids_are_the_programs,
    };
    Ok(Some((facts, container)))
}

// ANCHOR: attend
/// Starts the container, feeds it, reads it and watches it until something ends it.
async fn attend(
    engine: &DockerEngine,
    id: &str,
    watch: &mut Watch<'_>,
    job: &Job,
    capture: &Capture,
    cancel: &CancellationToken,
) -> Result<Stop, DaemonError> {
    let secret = Secret::random();
    let attached = engine.daemon.attach(id).await?;
    let mut stdio = Stdio::new(attached.output, capture, &secret);
    let mut sending = pin!(delivery::send(attached.input, job, &secret).fuse());
    let mut starting = pin!(engine.daemon.start(id).fuse());
    let mut deadline = pin!(tokio::time::sleep(STARTS));
    let mut sampling = tokio::time::interval(SAMPLING);
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
                Event::Full => return Ok(Stop::OutputFull),
                // A container that does not start closes its streams before it says why.
                Event::Closed if !starting.is_terminated() => {
                    starting.as_mut().await?;
                    return Ok(Stop::Vanished);
                }
                Event::Closed => return Ok(Stop::Vanished),
                Event::Broken(fault) => {
                    return Ok(Stop::Fault(format!("lost the container's output: {fault}")));
                }
            },
            started = &mut starting, if !starting.is_terminated() => started?,
            // A program need not read what it is given; that is nobody's fault.
            _unread = &mut sending, if !sending.is_terminated() => {}
            () = &mut deadline => return Ok(watch.out_of_time(STARTS)),
            _ = sampling.tick() => if watch.sample() { return Ok(Stop::OutOfCpu) },
        }
    }
}
// ANCHOR_END: attend
