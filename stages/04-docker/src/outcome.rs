//! From the observation of a run to its outcome: a pure function, tested by a table of cases.
//!
//! The rule it keeps: an outcome names a limit only by the counter that shows it, and never when the
//! program exited with 0. A program that was refused a process, handled that and exited with 0 has
//! `exited`, with the counter in the evidence. One that was refused a process and failed has exceeded
//! its limit, whatever it failed of: nothing tells the two reasons apart.
//!
//! `disk_exceeded` is the outcome only of a submission whose own files do not fit, and never of a
//! program that runs: no counter of the kernel shows that a write to a full file system was refused,
//! and what the program prints is no evidence. The program gets the error, and can print it.

use std::fmt;
use std::time::Duration;

use shared::{Evidence, Limits, Outcome, Usage, Verdict};
use stage_02_queue::signal_name;

use crate::cgroup::CgroupStats;
use crate::init_message::InitMessage;

/// Why the engine stopped supervising a run. Its text is for logs: it may quote init.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Stop {
    /// Init reported how the program ended.
    Reported(InitMessage),
    /// The sandbox ended without a message of init.
    SandboxDied,
    /// The evaluation was cancelled.
    Cancelled,
    /// The program reached its wall-clock limit.
    WallTimeout,
    /// The program reached its limit of processor time.
    CpuTimeout,
    /// The program uses more memory than its limit and what the runtime needs.
    MemoryLimit,
    /// The program wrote more than its limit.
    OutputLimit,
    /// The platform failed.
    EngineError(EngineFailure),
}

/// How the platform failed. The text may be shown to a client.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum EngineFailure {
    /// Something does not work.
    #[error("{0}")]
    Broken(String),
    /// Something did not come in time, which may be load.
    #[error("{0}")]
    TimedOut(String),
}

impl Stop {
    /// The platform failed: something does not work.
    pub fn broken(what: impl Into<String>) -> Self {
        Self::EngineError(EngineFailure::Broken(what.into()))
    }

    /// Whether a self test that ended so has no result: the time was over, and a machine that is busy
    /// may be the reason.
    pub fn is_late(&self) -> bool {
        matches!(self, Self::WallTimeout | Self::EngineError(EngineFailure::TimedOut(_)))
    }
}

impl fmt::Display for Stop {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Reported(message) => write!(f, "init reported {message}"),
            Self::SandboxDied => f.write_str("the sandbox died"),
            Self::Cancelled => f.write_str("cancelled"),
            Self::WallTimeout => f.write_str("wall-clock limit"),
            Self::CpuTimeout => f.write_str("limit of processor time"),
            Self::MemoryLimit => f.write_str("limit of memory"),
            Self::OutputLimit => f.write_str("limit of output"),
            Self::EngineError(failure) => failure.fmt(f),
        }
    }
}

/// What Docker reports about a container that has ended.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct ContainerExit {
    /// The exit code of its first process.
    pub exit_code: Option<i64>,
    /// Whether the runtime reports that it was killed because of its memory limit.
    pub oom_killed: bool,
}

/// Everything that was observed of one evaluation.
#[derive(Debug, Clone)]
pub struct RunObservation {
    /// Why the engine stopped supervising the run.
    pub stop: Stop,
    /// From the program's start to the stop; none when it did not start.
    pub wall: Option<Duration>,
    /// The counters when the program started.
    pub before: CgroupStats,
    /// The counters at the end, or the last that could be read.
    pub after: CgroupStats,
    /// The maximum of processes and threads in any sample.
    pub pids_seen: Option<u64>,
    /// How the sandbox ended, when it ended without a message of init.
    pub container_exit: Option<ContainerExit>,
    /// Whether the host counts exactly the program's processes, and not the runtime's as well.
    pub counts_guest_pids: bool,
}

impl RunObservation {
    /// Processor time since the program started.
    fn cpu(&self) -> Option<Duration> {
        Some(self.after.cpu?.saturating_sub(self.before.cpu.unwrap_or_default()))
    }

    fn oom(&self) -> Option<&'static str> {
        if self.after.oom_kills.unwrap_or(0) > 0 {
            Some("memory.oom_kill")
        } else if self.container_exit.is_some_and(|exit| exit.oom_killed) {
            Some("docker.oom_killed")
        } else {
            None
        }
    }

    /// The limit that was exceeded by a counter of the kernel, if one was.
    fn limit(&self) -> Option<(Outcome, &'static str)> {
        if let Some(counter) = self.oom() {
            return Some((Outcome::MemoryExceeded, counter));
        }
        let refused = self.after.pids_refused.unwrap_or(0) > 0;
        refused.then_some((Outcome::PidsExceeded, "pids.events"))
    }

    fn usage(&self, limits: &Limits) -> Usage {
        let millis = |time: Duration| u64::try_from(time.as_millis()).unwrap_or(u64::MAX);
        // The kernel's peak, if it is above the runtime's own at the start of the container;
        // otherwise the maximum of the samples. Init does not belong to the program.
        let own_peak = self.after.pids_peak.filter(|peak| Some(*peak) > self.before.pids_peak);
        let seen = own_peak.or(self.pids_seen).map(|pids| pids.saturating_sub(1).max(1));
        // A refused process is proof that the limit was reached, which a sample may have missed.
        let refused = self.after.pids_refused.is_some_and(|refused| refused > 0);
        let pids_peak = seen.max(refused.then_some(limits.pids));
        Usage {
            wall_ms: self.wall.map_or(0, millis),
            cpu_ms: self.cpu().map(millis),
            memory_peak_bytes: self.after.memory_peak,
            pids_peak: pids_peak.filter(|_| self.counts_guest_pids),
        }
    }

    fn evidence(&self, decided_by: &str) -> Evidence {
        let counters = [
            ("cpuacct.usage_us", self.cpu().and_then(|cpu| u64::try_from(cpu.as_micros()).ok())),
            ("memory.peak_bytes", self.after.memory_peak),
            ("memory.used_bytes", self.after.memory_used),
            ("memory.oom_kill", self.after.oom_kills),
            ("pids.peak", self.after.pids_peak),
            ("pids.events", self.after.pids_refused),
        ];
        let known = counters.into_iter().filter_map(|(name, value)| Some((name, value?)));
        known.fold(Evidence::new(decided_by), |evidence, (name, value)| evidence.with(name, value))
    }
}

// ANCHOR: decide
/// The outcome of a run.
pub fn decide(observation: &RunObservation, limits: &Limits) -> Verdict {
    let by = |outcome, decided_by: &str| Verdict::new(outcome, observation.evidence(decided_by));
    let verdict = match &observation.stop {
        Stop::Cancelled => by(Outcome::Cancelled, "cancelled"),
        Stop::OutputLimit => by(Outcome::OutputExceeded, "output_bytes"),
        Stop::MemoryLimit => by(Outcome::MemoryExceeded, "memory.used_bytes"),
        Stop::CpuTimeout => by(Outcome::CpuTimeExceeded, "cpuacct.usage"),
        Stop::WallTimeout => by(Outcome::WallTimeExceeded, "wall_clock"),
        Stop::Reported(InitMessage::Exited(code)) => {
            let verdict = match observation.limit().filter(|_| *code != 0) {
                Some((outcome, counter)) => by(outcome, counter),
                None => by(Outcome::Exited, "exit_status"),
            };
            Verdict { exit_code: Some(*code), ..verdict }
        }
        Stop::Reported(InitMessage::Signaled(number)) => signaled(observation, limits, *number),
        Stop::SandboxDied => sandbox_died(observation),
        // Before the program has started, only init can have written this.
        Stop::Reported(InitMessage::Refused(why))
            if observation.wall.is_none() && no_space(why) =>
        {
            by(Outcome::DiskExceeded, "submission_bytes")
        }
        // The same: a program that writes such a line has written output.
        Stop::Reported(message) => {
            Verdict { evidence: observation.evidence("init"), ..init_error(message) }
        }
        Stop::EngineError(why) => {
            Verdict { evidence: observation.evidence("engine"), ..Verdict::engine_error(why) }
        }
    };
    Verdict { usage: observation.wall.map(|_| observation.usage(limits)), ..verdict }
}

/// A signal ended the program: a limit, the program itself or another process of the sandbox sent it.
fn signaled(observation: &RunObservation, limits: &Limits, number: i32) -> Verdict {
    let name = signal_name(number);
    let used_up = observation.cpu().is_some_and(|cpu| cpu.as_secs_f64() >= limits.cpu_seconds);
    let (outcome, counter) = match observation.limit() {
        Some(limit) => limit,
        // The kernel's limit ended the program before the sampler read the counter. Linux sends SIGKILL at it.
        None if used_up && ["SIGXCPU", "SIGKILL"].contains(&name.as_str()) => {
            (Outcome::CpuTimeExceeded, "cpuacct.usage")
        }
        None => (Outcome::Signaled, "wait_status"),
    };
    Verdict { signal: Some(name), ..Verdict::new(outcome, observation.evidence(counter)) }
}

/// The sandbox ended without a message of init. No program can do that, other than by a limit that a
/// counter shows: init cannot be reached from inside. So something outside has ended it, or the runtime
/// has failed.
fn sandbox_died(observation: &RunObservation) -> Verdict {
    let exit = observation.container_exit.unwrap_or_default();
    if let Some((outcome, counter)) = observation.limit() {
        let evidence = observation.evidence(counter).with("container.exit_code", exit.exit_code);
        return Verdict::new(outcome, evidence);
    }
    let evidence = observation.evidence("container.exit_code");
    let evidence = evidence.with("container.exit_code", exit.exit_code);
    let code = exit.exit_code.map_or("none".to_owned(), |code| code.to_string());
    let why = format!("the sandbox died before the program ended (its exit code: {code})");
    Verdict { evidence, ..Verdict::engine_error(why) }
}
// ANCHOR_END: decide

/// Python's "No space left on device" and "File too large".
fn no_space(why: &str) -> bool {
    ["[Errno 28]", "[Errno 27]"].iter().any(|error| why.starts_with(error))
}

/// Words of the platform alone: those of init are in the log.
fn init_error(message: &InitMessage) -> Verdict {
    Verdict::engine_error(match message {
        InitMessage::Refused(_) => "the program's files could not be written",
        _ => "the sandbox's init did not start the program",
    })
}

#[cfg(test)]
mod tests;
