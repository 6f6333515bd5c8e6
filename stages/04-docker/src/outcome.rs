//! From what was seen to how the evaluation ended: a pure function, and a table of cases under test.
//!
//! The rule it keeps: a limit is named only when it ended the program, and only by the counter that
//! shows it. A program that is refused a process, copes and exits 0 has `exited`, with the counter in
//! the evidence. One that was refused and then fails has met its limit.
//!
//! `disk_exceeded` is claimed only for a submission whose own files do not fit, and never for a
//! program that runs: no counter of the kernel says that a write to a full file system was refused,
//! and what the inside says is no evidence. The program gets the error, and shows it if it likes.

use std::time::Duration;

use shared::{Evidence, Limits, Outcome, Usage, Verdict};
use stage_02_queue::signal_name;

use crate::counters::CgroupStats;
use crate::report::InitMessage;

/// Why the engine stopped watching.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Stop {
    /// Init said how the program ended.
    Reported(InitMessage),
    /// The sandbox ended without a word.
    SandboxDied,
    /// Somebody cancelled it.
    Cancelled,
    /// Its wall-clock time was over.
    WallTimeout,
    /// Its processor time was over.
    CpuTimeout,
    /// It wrote more than is kept.
    OutputLimit,
    /// The platform failed.
    Fault(String),
}

/// What Docker says about a container that has ended.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct ContainerExit {
    /// What its first process ended with.
    pub exit_code: Option<i64>,
    /// Whether the runtime says that it was killed for want of memory.
    pub oom_killed: bool,
}

/// Everything that was seen of one evaluation.
#[derive(Debug, Clone)]
pub struct RunObservation {
    /// Why the engine stopped watching.
    pub stop: Stop,
    /// From the program's first moment to the stop; none when it never began.
    pub wall: Option<Duration>,
    /// The counters when the program began.
    pub before: CgroupStats,
    /// The counters at the end, or the last that could be read.
    pub after: CgroupStats,
    /// The most processes and threads that were seen at once.
    pub pids_seen: Option<u64>,
    /// What was left of the sandbox, when it ended without a word.
    pub remains: Option<ContainerExit>,
    /// Whether a program can kill the container's init: under gVisor it can.
    pub init_killable: bool,
    /// Whether the counted processes are the program's, and not the runtime's as well.
    pub counts_guest_pids: bool,
}

impl RunObservation {
    /// Processor time since the program began.
    fn cpu(&self) -> Option<Duration> {
        Some(self.after.cpu?.saturating_sub(self.before.cpu.unwrap_or_default()))
    }

    fn oom(&self) -> Option<&'static str> {
        if self.after.oom_kills.unwrap_or(0) > 0 {
            Some("memory.oom_kill")
        } else if self.remains.is_some_and(|remains| remains.oom_killed) {
            Some("docker.oom_killed")
        } else {
            None
        }
    }

    /// The limit that counters show to have been met, if one was.
    fn limit(&self) -> Option<(Outcome, &'static str)> {
        if let Some(counter) = self.oom() {
            return Some((Outcome::MemoryExceeded, counter));
        }
        let refused = self.after.pids_refused.unwrap_or(0) > 0;
        refused.then_some((Outcome::PidsExceeded, "pids.events"))
    }

    fn usage(&self) -> Usage {
        let millis = |time: Duration| u64::try_from(time.as_millis()).unwrap_or(u64::MAX);
        // The kernel's own peak, once the program has had more than the runtime at the start of the
        // container; until then the most that was seen. Init is not the program's.
        let own_peak = self.after.pids_peak.filter(|peak| Some(*peak) > self.before.pids_peak);
        let pids_peak = own_peak.or(self.pids_seen).map(|pids| pids.saturating_sub(1).max(1));
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
            ("memory.oom_kill", self.after.oom_kills),
            ("pids.peak", self.after.pids_peak),
            ("pids.events", self.after.pids_refused),
        ];
        let known = counters.into_iter().filter_map(|(name, value)| Some((name, value?)));
        known.fold(Evidence::new(decided_by), |evidence, (name, value)| evidence.with(name, value))
    }
}

// ANCHOR: decide
/// How the evaluation ended.
pub fn decide(facts: &RunObservation, limits: &Limits) -> Verdict {
    let by = |outcome, decided_by: &str| Verdict::new(outcome, facts.evidence(decided_by));
    let verdict = match &facts.stop {
        Stop::Cancelled => by(Outcome::Cancelled, "cancelled"),
        Stop::OutputLimit => by(Outcome::OutputExceeded, "output_bytes"),
        Stop::CpuTimeout => by(Outcome::CpuTimeExceeded, "cpuacct.usage"),
        Stop::WallTimeout => by(Outcome::WallTimeExceeded, "wall_clock"),
        Stop::Reported(InitMessage::Exited(code)) => {
            let verdict = match facts.limit().filter(|_| *code != 0) {
                Some((outcome, counter)) => by(outcome, counter),
                None => by(Outcome::Exited, "exit_status"),
            };
            Verdict { exit_code: Some(*code), ..verdict }
        }
        Stop::Reported(InitMessage::Signaled(number)) => signaled(facts, limits, *number),
        Stop::SandboxDied => vanished(facts),
        // Before the program began, nobody but the loader can have said this.
        Stop::Reported(InitMessage::Refused(why)) if facts.wall.is_none() && no_space(why) => {
            by(Outcome::DiskExceeded, "submission_bytes")
        }
        Stop::Reported(report) => Verdict { evidence: facts.evidence("init"), ..error(report) },
        Stop::Fault(why) => {
            Verdict { evidence: facts.evidence("engine"), ..Verdict::engine_error(why) }
        }
    };
    Verdict { usage: facts.wall.map(|_| facts.usage()), ..verdict }
}

/// A program that died of a signal: of its own, or of a limit's.
fn signaled(facts: &RunObservation, limits: &Limits, number: i32) -> Verdict {
    let name = signal_name(number);
    let used_up = facts.cpu().is_some_and(|cpu| cpu.as_secs_f64() >= limits.cpu_seconds);
    let (outcome, counter) = match facts.limit() {
        Some(limit) => limit,
        // The backstop, when nobody was quick enough to read the counter before it.
        None if used_up && name == "SIGXCPU" => (Outcome::CpuTimeExceeded, "cpuacct.usage"),
        None => (Outcome::Signaled, "wait_status"),
    };
    Verdict { signal: Some(name), ..Verdict::new(outcome, facts.evidence(counter)) }
}

/// A sandbox that ended without a word: a limit took init along, or the runtime died.
fn vanished(facts: &RunObservation) -> Verdict {
    let remains = facts.remains.unwrap_or_default();
    if let Some((outcome, counter)) = facts.limit() {
        let evidence = facts.evidence(counter).with("container.exit_code", remains.exit_code);
        return Verdict::new(outcome, evidence);
    }
    let evidence = facts.evidence("container.exit_code");
    let evidence = evidence.with("container.exit_code", remains.exit_code);
    match remains.exit_code {
        Some(code @ 129..=192) if facts.init_killable => {
            let signal = i32::try_from(code - 128).map(signal_name).ok();
            Verdict { signal, ..Verdict::new(Outcome::Signaled, evidence) }
        }
        code => {
            let code = code.map_or("none".to_owned(), |code| code.to_string());
            let why = format!("the sandbox died before the program ended (its exit code: {code})");
            Verdict { evidence, ..Verdict::engine_error(why) }
        }
    }
}
// ANCHOR_END: decide

/// "No space left on device" and "file too large", as Python writes them.
fn no_space(why: &str) -> bool {
    ["[Errno 28]", "[Errno 27]"].iter().any(|error| why.starts_with(error))
}

fn error(report: &InitMessage) -> Verdict {
    Verdict::engine_error(match report {
        InitMessage::Refused(why) => {
            format!("the program's files could not be put in place: {why}")
        }
        InitMessage::Malformed(line) => format!("the program has tampered with its init: {line:?}"),
        report => format!("init said {report:?} at the wrong time"),
    })
}

#[cfg(test)]
#[path = "outcome_tests.rs"]
mod tests;
