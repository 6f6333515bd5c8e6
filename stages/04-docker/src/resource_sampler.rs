//! Reads the counters of a sandbox again and again while its program runs.
//!
//! Reading a file of a cgroup may block, so each reading is a blocking task. There is never more than
//! one of them for a sandbox.

use std::time::{Duration, Instant};

use shared::Limits;
use tokio::task::JoinHandle;
use tokio::time::{Interval, MissedTickBehavior};

use crate::cgroup::{Cgroup, CgroupStats};
use crate::outcome::Stop;

/// Between two readings. Short, because the cgroup of a sandbox that dies is removed some 30 ms
/// later; cheap, because a reading costs some 50 µs.
const SAMPLE_INTERVAL: Duration = Duration::from_millis(20);
/// How long one reading may take before the result of the one before is used.
const SAMPLE_TIMEOUT: Duration = Duration::from_secs(1);

/// Samples the counters of one sandbox.
#[derive(Debug)]
pub struct ResourceSampler<'a> {
    cgroup: Option<Cgroup>,
    limits: &'a Limits,
    interval: Interval,
    /// The reading that is in progress.
    pending: Option<JoinHandle<Option<CgroupStats>>>,
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
    /// A sampler for `cgroup`, or one without readings if the cgroup is unknown.
    pub fn new(cgroup: Option<Cgroup>, limits: &'a Limits) -> Self {
        let mut interval = tokio::time::interval(SAMPLE_INTERVAL);
        interval.set_missed_tick_behavior(MissedTickBehavior::Delay);
        Self {
            cgroup,
            limits,
            interval,
            pending: None,
            started_at: None,
            before: CgroupStats::default(),
            after: CgroupStats::default(),
            pids_seen: None,
        }
    }

    /// The program starts now: what was used before is not counted as the program's.
    pub async fn start(&mut self) {
        self.started_at = Some(Instant::now());
        self.set_baseline().await;
    }

    /// What was used until now is not counted as the program's.
    pub async fn set_baseline(&mut self) {
        self.sample().await;
        // The next reading is due after an interval, not at once.
        self.interval.reset();
        self.before = self.after;
        self.pids_seen = self.after.pids;
    }

    /// Reads the counters now.
    pub async fn sample(&mut self) {
        // A reading in progress may be older than this call: its result is dropped.
        self.pending = None;
        if let Some(mut reading) = self.read() {
            let finished = tokio::time::timeout(SAMPLE_TIMEOUT, &mut reading).await;
            if let Ok(Ok(Some(stats))) = finished {
                self.record(stats);
            }
        }
    }

    /// Waits for the next reading. True when the program has used up its processor time.
    ///
    /// Cancel safe: a reading in progress is finished by the next call.
    pub async fn next(&mut self) -> bool {
        if self.pending.is_none() {
            self.interval.tick().await;
            self.pending = self.read();
        }
        if let Some(reading) = &mut self.pending {
            let finished = reading.await;
            self.pending = None;
            if let Ok(Some(stats)) = finished {
                self.record(stats);
            }
        }
        self.is_cpu_limit_reached()
    }

    fn read(&self) -> Option<JoinHandle<Option<CgroupStats>>> {
        let cgroup = self.cgroup.clone()?;
        Some(tokio::task::spawn_blocking(move || cgroup.stats()))
    }

    fn record(&mut self, stats: CgroupStats) {
        self.after = stats.or_earlier(self.after);
        self.pids_seen = self.pids_seen.max(stats.pids);
    }

    fn is_cpu_limit_reached(&self) -> bool {
        let used = self.after.cpu.zip(self.before.cpu).map(|(now, then)| now.saturating_sub(then));
        let limit = Duration::from_secs_f64(self.limits.cpu_seconds);
        self.started_at.is_some() && used.is_some_and(|used| used >= limit)
    }

    /// The stop reason if a deadline passed: the program's time-out, or `start_timeout` when the
    /// program had not started.
    pub fn timed_out(&self, start_timeout: Duration) -> Stop {
        if self.started_at.is_some() {
            return Stop::WallTimeout;
        }
        let seconds = start_timeout.as_secs();
        Stop::EngineError(format!("the sandbox did not start within {seconds} s"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cgroup::{CgroupHierarchy, CgroupMount};

    const LIMITS: Limits = Limits { cpu_seconds: 1.0, ..crate::PROBE_LIMITS };

    #[tokio::test]
    async fn only_what_was_used_after_the_start_counts() {
        let dir = tempfile::tempdir().unwrap();
        let use_cpu = |micros: u64| {
            std::fs::write(dir.path().join("cpu.stat"), format!("usage_usec {micros}\n")).unwrap();
        };
        let mount = CgroupMount { root: "/".to_owned(), dir: dir.path().to_owned() };
        let cgroup = CgroupHierarchy::V2(mount).cgroup("");
        let mut sampler = ResourceSampler::new(Some(cgroup), &LIMITS);
        use_cpu(5_000_000);
        assert!(!sampler.next().await, "the program has not started");
        assert!(matches!(sampler.timed_out(SAMPLE_TIMEOUT), Stop::EngineError(_)));
        sampler.start().await;
        assert_eq!(sampler.timed_out(SAMPLE_TIMEOUT), Stop::WallTimeout);
        use_cpu(5_999_999);
        assert!(!sampler.next().await);
        use_cpu(6_000_000);
        assert!(sampler.next().await);
        // The cgroup is removed: the last reading stays.
        std::fs::remove_file(dir.path().join("cpu.stat")).unwrap();
        sampler.sample().await;
        assert_eq!(sampler.after.cpu, Some(Duration::from_secs(6)));
    }

    #[tokio::test]
    async fn without_a_cgroup_nothing_is_counted() {
        let mut sampler = ResourceSampler::new(None, &LIMITS);
        sampler.start().await;
        assert!(!sampler.next().await);
        assert_eq!(sampler.after, CgroupStats::default());
    }
}
