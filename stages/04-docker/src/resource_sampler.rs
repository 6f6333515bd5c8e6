//! Reads the counters of a sandbox again and again while its program runs.
//!
//! The rule it keeps: no program runs without counters. They are opened when the cgroup appears, and
//! read through the same descriptors until the end. A run whose counters cannot be opened when its
//! program starts, or be read for some time, ends as an error of the platform.
//!
//! Reading a file of a cgroup may block, so each reading is a blocking task. There is never more than
//! one of them for a sandbox.

use std::sync::Arc;
use std::time::{Duration, Instant};

use shared::Limits;
use tokio::task::JoinHandle;
use tokio::time::{Interval, MissedTickBehavior};

use crate::cgroup::{Cgroup, CgroupCounters, CgroupError, CgroupStats};
use crate::error_chain::error_chain;
use crate::outcome::{EngineFailure, Stop};

/// Between two readings. Short, because the cgroup of a sandbox that dies is removed some 30 ms
/// later; cheap, because a reading costs some 50 µs.
const SAMPLE_INTERVAL: Duration = Duration::from_millis(20);
/// How long one reading may take. A machine that is busy may be late with it.
const SAMPLE_TIMEOUT: Duration = Duration::from_secs(5);
/// Failed readings in a row before the run ends. The cgroup of a sandbox that has died is missing for
/// a moment before the sandbox's end is known, which is no error.
const MAX_FAILED_SAMPLES: u32 = 25;

/// What the peak may have beside memory of processes and the pages of files at the last reading: other such pages.
const PEAK_GRACE_BYTES: u64 = 16 << 20;
/// What a client reads when a run had no counters.
const UNREADABLE: &str = "the counters of the sandbox could not be read";

/// A reading that is in progress, and the counters that it has opened or was given.
struct Pending {
    reading: JoinHandle<Result<(Arc<CgroupCounters>, CgroupStats), CgroupError>>,
    deadline: tokio::time::Instant,
}

/// Samples the counters of one sandbox.
pub struct ResourceSampler<'a> {
    cgroup: Option<Cgroup>,
    /// Open from the first reading that succeeds.
    counters: Option<Arc<CgroupCounters>>,
    limits: &'a Limits,
    /// How much memory may be in use at a moment, if that is less than the limit of the cgroup.
    pub(crate) allowed_memory: Option<fn(&Limits, &CgroupStats) -> u64>,
    interval: Interval,
    pending: Option<Pending>,
    /// Whether the program may run: from then on a failed reading counts.
    required: bool,
    failed_samples: u32,
    /// When the program started; none before.
    pub started_at: Option<Instant>,
    /// The counters when the program started.
    pub before: CgroupStats,
    /// The counters of the last reading.
    pub after: CgroupStats,
    /// The maximum of processes and threads in any reading.
    pub pids_seen: Option<u64>,
}

impl<'a> ResourceSampler<'a> {
    /// A sampler for `cgroup`, or one without readings if the cgroup is unknown: for the engine's own
    /// first program alone.
    pub fn new(cgroup: Option<Cgroup>, limits: &'a Limits) -> Self {
        let mut interval = tokio::time::interval(SAMPLE_INTERVAL);
        interval.set_missed_tick_behavior(MissedTickBehavior::Delay);
        Self {
            cgroup,
            counters: None,
            limits,
            allowed_memory: None,
            interval,
            pending: None,
            required: false,
            failed_samples: 0,
            started_at: None,
            before: CgroupStats::default(),
            after: CgroupStats::default(),
            pids_seen: None,
        }
    }

    /// The program starts now: what was used before is not counted as the program's. A second call
    /// changes nothing.
    ///
    /// # Errors
    ///
    /// The reason to end the run: the counters cannot be read.
    pub async fn start(&mut self) -> Result<(), Stop> {
        if self.started_at.is_some() {
            return Ok(());
        }
        self.started_at = Some(Instant::now());
        self.set_baseline().await
    }

    /// What was used until now is not counted as the program's.
    ///
    /// # Errors
    ///
    /// The reason to end the run: the counters cannot be read.
    pub async fn set_baseline(&mut self) -> Result<(), Stop> {
        self.required = true;
        self.sample().await?;
        // The next reading is due after an interval, not at once.
        self.interval.reset();
        self.before = self.after;
        self.pids_seen = self.after.pids;
        Ok(())
    }

    /// Reads the counters now.
    ///
    /// # Errors
    ///
    /// The reason to end the run: the counters cannot be read, and the program may run or has run.
    async fn sample(&mut self) -> Result<(), Stop> {
        // A reading in progress may be older than this call: its result is dropped.
        self.pending = None;
        let Some(pending) = self.start_reading() else { return Ok(()) };
        match finish(pending).await {
            Ok(read) => self.record(read),
            // The sandbox has died, and its cgroup with it. The engine will know it soon.
            Err(error) if error.is_not_found() => self.failed_samples += 1,
            Err(error) if self.required => return Err(unreadable(&error)),
            Err(_) => {}
        }
        Ok(())
    }

    /// The last reading, after `stop`. Returns the stop reason that then holds: a program that has run
    /// without counters has no result, because its limits were not in force.
    pub async fn finish(&mut self, stop: Stop) -> Stop {
        let sampled = self.sample().await;
        let never_read = self.required && self.cgroup.is_some() && self.counters.is_none();
        match (stop, sampled) {
            (stop @ (Stop::Cancelled | Stop::EngineError(_)), _) => stop,
            (_, Err(unreadable)) => unreadable,
            (stop, Ok(())) if never_read && stop != Stop::SandboxDied => Stop::broken(UNREADABLE),
            (Stop::Reported(_), Ok(())) if self.was_memory_limit_exceeded() => Stop::MemoryLimit,
            (stop, Ok(())) => stop,
        }
    }

    /// Whether the peak shows what no reading did: a program that was too short for one has used more
    /// memory than it could be allowed with all the processes that it was seen to have.
    fn was_memory_limit_exceeded(&self) -> bool {
        let most = CgroupStats { pids: self.pids_seen, ..self.after };
        let allowed = self.allowed_memory.map(|allowed| allowed(self.limits, &most));
        // A program that reads a large library is not one that takes too much.
        let files = self.after.memory_files.unwrap_or(0);
        let peak = self.after.memory_peak.map(|peak| peak.saturating_sub(files));
        let is_above = |most| peak > Some(most + PEAK_GRACE_BYTES);
        self.started_at.is_some() && allowed.is_some_and(is_above)
    }

    /// Waits for the next reading. A reason to end the run: the program has used up its processor
    /// time or its memory, or the counters cannot be read any more.
    ///
    /// Cancel safe: a reading in progress is finished by the next call.
    pub async fn next(&mut self) -> Option<Stop> {
        if self.pending.is_none() {
            self.interval.tick().await;
            self.pending = self.start_reading();
        }
        let pending = self.pending.as_mut()?;
        let read = finish(pending).await;
        self.pending = None;
        match read {
            Ok(read) => self.record(read),
            Err(_) if !self.required => {}
            Err(error) => {
                self.failed_samples += 1;
                if self.failed_samples >= MAX_FAILED_SAMPLES {
                    return Some(unreadable(&error));
                }
            }
        }
        if self.is_cpu_limit_reached() {
            return Some(Stop::CpuTimeout);
        }
        self.is_memory_limit_reached().then_some(Stop::MemoryLimit)
    }

    fn start_reading(&self) -> Option<Pending> {
        let (cgroup, counters) = (self.cgroup.clone()?, self.counters.clone());
        let read = move || {
            let counters = counters.map_or_else(|| cgroup.counters().map(Arc::new), Ok)?;
            let stats = counters.read()?;
            Ok((counters, stats))
        };
        let deadline = tokio::time::Instant::now() + SAMPLE_TIMEOUT;
        Some(Pending { reading: tokio::task::spawn_blocking(read), deadline })
    }

    fn record(&mut self, (counters, stats): (Arc<CgroupCounters>, CgroupStats)) {
        self.failed_samples = 0;
        self.counters = Some(counters);
        self.after = stats.or_earlier(self.after);
        self.pids_seen = self.pids_seen.max(stats.pids);
    }

    fn is_cpu_limit_reached(&self) -> bool {
        let used = self.after.cpu.zip(self.before.cpu).map(|(now, then)| now.saturating_sub(then));
        let limit = Duration::from_secs_f64(self.limits.cpu_seconds);
        self.started_at.is_some() && used.is_some_and(|used| used >= limit)
    }

    fn is_memory_limit_reached(&self) -> bool {
        let allowed = self.allowed_memory.map(|allowed| allowed(self.limits, &self.after));
        self.started_at.is_some() && allowed.is_some_and(|most| self.after.memory_used > Some(most))
    }

    /// The stop reason if a deadline passed: the program's time-out, or `start_timeout` when the
    /// program had not started.
    pub fn timed_out(&self, start_timeout: Duration) -> Stop {
        if self.started_at.is_some() {
            return Stop::WallTimeout;
        }
        let seconds = start_timeout.as_secs();
        let what = format!("the sandbox did not start within {seconds} s");
        Stop::EngineError(EngineFailure::TimedOut(what))
    }
}

/// Waits for a reading until its deadline.
async fn finish(
    mut pending: impl std::borrow::BorrowMut<Pending>,
) -> Result<(Arc<CgroupCounters>, CgroupStats), CgroupError> {
    let Pending { reading, deadline } = pending.borrow_mut();
    match tokio::time::timeout_at(*deadline, reading).await {
        Ok(Ok(read)) => read,
        Ok(Err(_panicked)) => Err(CgroupError::Unfinished { after: Duration::ZERO }),
        Err(_elapsed) => Err(CgroupError::Unfinished { after: SAMPLE_TIMEOUT }),
    }
}

/// The client reads that the counters are missing; the log has the file and the cause.
fn unreadable(error: &CgroupError) -> Stop {
    tracing::warn!(error = error_chain(error), "the counters of a sandbox cannot be read");
    Stop::broken(UNREADABLE)
}

#[cfg(test)]
mod tests;
