//! What is known of a sandbox while its program runs: the kernel's counters, read again and again.

use std::time::{Duration, Instant};

use shared::Limits;

use crate::counters::{CgroupPaths, CgroupStats};
use crate::outcome::Stop;

/// How often the counters are read. Short, because a sandbox that dies takes its counters along
/// some 30 ms later; cheap, because each reading costs some 50 µs.
pub const SAMPLE_INTERVAL: Duration = Duration::from_millis(20);

/// The counters of one sandbox, and the limits that its program is held to.
#[derive(Debug)]
pub struct ResourceSampler<'a> {
    counters: Option<CgroupPaths>,
    limits: &'a Limits,
    /// When the program began; none before.
    pub began: Option<Instant>,
    /// The counters when the program began.
    pub before: CgroupStats,
    /// The counters when they were read last.
    pub after: CgroupStats,
    /// The most processes and threads that were seen at once.
    pub pids_seen: Option<u64>,
}

impl<'a> ResourceSampler<'a> {
    /// A watch on `counters`, if it is known where they are.
    pub fn new(counters: Option<CgroupPaths>, limits: &'a Limits) -> Self {
        Self {
            counters,
            limits,
            began: None,
            before: CgroupStats::default(),
            after: CgroupStats::default(),
            pids_seen: None,
        }
    }

    /// The program begins.
    pub fn begin(&mut self) {
        self.sample();
        self.before = self.after;
        self.pids_seen = self.after.pids;
        self.began = Some(Instant::now());
    }

    /// Reads the counters. These are files of the kernel's, which never wait for a disk. True when
    /// the program's processor time is over.
    pub fn sample(&mut self) -> bool {
        if let Some(reading) = self.counters.as_ref().and_then(CgroupPaths::read) {
            self.after = reading.or_earlier(self.after);
            self.pids_seen = self.pids_seen.max(reading.pids);
        }
        let used = self.after.cpu.zip(self.before.cpu).map(|(now, then)| now.saturating_sub(then));
        let limit = Duration::from_secs_f64(self.limits.cpu_seconds);
        self.began.is_some() && used.is_some_and(|used| used >= limit)
    }

    /// Why it ended when a deadline has passed, which was `starts` for the start.
    pub fn out_of_time(&self, starts: Duration) -> Stop {
        if self.began.is_some() {
            return Stop::WallTimeout;
        }
        Stop::Fault(format!("the sandbox did not start within {} s", starts.as_secs()))
    }
}
