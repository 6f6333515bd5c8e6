//! One evaluation in one sandbox: from its delivery to the moment that its end is known.
//!
//! The rule it keeps: it waits for nothing without a deadline, and for nothing that it need not wait
//! for. When the supervisor has said how the program ended, all that the program wrote is in the pipes
//! already; it is read, the counters are read, and that is the answer. Taking the sandbox away is no
//! part of it.

use std::pin::pin;
use std::time::{Duration, Instant};

use futures_util::FutureExt as _;
use futures_util::future::FusedFuture as _;
use shared::{Job, OutputBuffer};
use stage_04_docker::{
    ContainerExit, InitMessage, Nonce, ResourceSampler, RunObservation, SAMPLE_INTERVAL, Stop,
};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::time::MissedTickBehavior;
use tokio_util::sync::CancellationToken;

use super::output::{Head, Output};
use super::sandbox::Sandbox;

/// From the delivery of a program to its first moment.
const BEGINS: Duration = Duration::from_secs(20);
/// How long runsc has to end after its sandbox did.
const ENDS: Duration = Duration::from_secs(2);
/// How much longer than that a sandbox lives at most, when we hang and do not end it.
const GRACE: Duration = Duration::from_secs(2);
/// The longest line that the supervisor says.
const LINE: usize = 32;

// ANCHOR: run
/// Runs `job` in `sandbox`.
///
/// Cancel safe: whoever drops the sandbox as well takes it away.
pub(super) async fn run(
    sandbox: &mut Sandbox,
    job: &Job,
    buffer: &OutputBuffer,
    cancel: &CancellationToken,
) -> RunObservation {
    let counters = sandbox.site().map(|site| site.groups.counters());
    let mut watch = ResourceSampler::new(counters, &job.submission.limits);
    // What the interpreter has used to come up is not the program's.
    watch.begin();
    watch.began = None;
    let stop = match letter(job).await {
        Ok(letter) => attend(sandbox, &mut watch, &letter, job, buffer, cancel).await,
        Err(error) => Stop::Fault(error.to_string()),
    };
    let wall = watch.began.map(|began| began.elapsed());
    watch.sample();
    let remains = match stop {
        Stop::SandboxDied => {
            let status = sandbox.ended(ENDS).await;
            let exit_code = status.and_then(|status| status.code()).map(i64::from);
            Some(ContainerExit { exit_code, oom_killed: false })
        }
        _ => None,
    };
    RunObservation {
        stop,
        wall,
        before: watch.before,
        after: watch.after,
        pids_seen: watch.pids_seen,
        remains,
        init_killable: false, // the supervisor is another user's
        counts_guest_pids: false,
    }
}
// ANCHOR_END: run

/// The program, its files and its input, behind the seconds that it may live and their length.
async fn letter(job: &Job) -> std::io::Result<Vec<u8>> {
    let time = Duration::from_secs_f64(job.submission.limits.timeout_seconds);
    let mut letter = (BEGINS + time + GRACE).as_secs().to_be_bytes().to_vec();
    letter.extend([0; 8]);
    // The loader wants a secret to sign with. Nothing here depends on it: what is the loader's is
    // known by its place, before the program.
    stage_04_docker::write_payload(&mut letter, job, &Nonce::random()).await?;
    let length = (letter.len() as u64 - 16).to_be_bytes();
    letter[8..16].copy_from_slice(&length);
    Ok(letter)
}

// ANCHOR: attend
/// Delivers the program, reads it and watches it until something ends it.
async fn attend(
    sandbox: &mut Sandbox,
    watch: &mut ResourceSampler<'_>,
    letter: &[u8],
    job: &Job,
    buffer: &OutputBuffer,
    cancel: &CancellationToken,
) -> Stop {
    let delivered = Instant::now();
    let Sandbox { control, stdout, stderr, .. } = sandbox;
    let (mut said, mut tell) = control.split();
    let mut line = Vec::with_capacity(LINE);
    let mut sending = pin!(tell.write_all(letter).fuse());
    let mut output = Output::new(buffer);
    let (mut out, mut err) = (vec![0; 64 << 10], vec![0; 16 << 10]);
    let mut deadline = pin!(tokio::time::sleep(BEGINS));
    let mut sampling = tokio::time::interval(SAMPLE_INTERVAL);
    sampling.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let stop = loop {
        tokio::select! {
            () = cancel.cancelled() => return Stop::Cancelled,
            read = said.read_buf(&mut line) => match read {
                Ok(1..) if line.ends_with(b"\n") => break Stop::Reported(report(&line)),
                Ok(1..) if line.len() < LINE => {}
                _ => break Stop::SandboxDied,
            },
            read = stdout.read(&mut out), if output.stdout_is_open => output.stdout(&out, &read),
            read = stderr.read(&mut err), if output.stderr_is_open => output.stderr(&err, &read),
            _gone = &mut sending, if !sending.is_terminated() => {}
            () = &mut deadline => return watch.out_of_time(BEGINS),
            _ = sampling.tick() => if watch.sample() { return Stop::CpuTimeout },
        }
        if output.is_full {
            return Stop::OutputLimit;
        }
        if output.head == Head::Began && watch.began.is_none() {
            watch.began = Some(Instant::now());
            let time = Duration::from_secs_f64(job.submission.limits.timeout_seconds);
            deadline.as_mut().reset(tokio::time::Instant::now() + time);
        }
    };
    output.drain(stdout, stderr);
    if output.head == Head::Began {
        watch.began = watch.began.or(Some(delivered));
    }
    output.verdict(stop)
}
// ANCHOR_END: attend

/// What the supervisor has said.
fn report(line: &[u8]) -> InitMessage {
    InitMessage::parse(String::from_utf8_lossy(line).trim_end())
}
