//! From the observation of a process to the verdict on the evaluation.
//!
//! Processor time and memory are counted by samples (`process_tree`), which name their limit. The host
//! can hardly tell whether another limit ended a process: one that is refused file space gets an
//! error and may end in any way, so such an end is `exited` with the program's exit code. Control
//! groups, two stages later, count all of it.

use std::os::unix::process::ExitStatusExt as _;
use std::process::ExitStatus;
use std::time::Duration;

use shared::{Evidence, Limits, Outcome, Usage, Verdict};

use super::signal_name::signal_name;

/// Why the engine stopped the program, or the program stopped.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum StopReason {
    /// The program ended by itself.
    Exited,
    /// Its wall-clock time was over.
    TimedOut,
    /// It wrote more than the limit.
    OutputLimit,
    /// It was cancelled.
    Cancelled,
    /// All its processes together used more processor time than the limit.
    CpuLimit,
    /// All its processes together had this many bytes of memory, more than the limit.
    MemoryLimit(u64),
}

pub(super) fn verdict(
    stop: StopReason,
    status: ExitStatus,
    wall: Duration,
    cpu: Duration,
    limits: &Limits,
) -> Verdict {
    let millis = |time: Duration| u64::try_from(time.as_millis()).unwrap_or(u64::MAX);
    let verdict = match stop {
        StopReason::Cancelled => Verdict::new(Outcome::Cancelled, Evidence::new("cancelled")),
        StopReason::TimedOut => {
            Verdict::new(Outcome::WallTimeExceeded, Evidence::new("wall_clock"))
        }
        StopReason::OutputLimit => {
            Verdict::new(Outcome::OutputExceeded, Evidence::new("output_bytes"))
        }
        StopReason::MemoryLimit(bytes) => {
            let evidence = Evidence::new("smaps_rollup").with("memory_bytes", bytes);
            Verdict::new(Outcome::MemoryExceeded, evidence)
        }
        // Between two samples a program may pass the limit and end.
        StopReason::CpuLimit | StopReason::Exited if cpu.as_secs_f64() >= limits.cpu_seconds => {
            let evidence = Evidence::new("proc_stat").with("cpu_ms", millis(cpu));
            Verdict::new(Outcome::CpuTimeExceeded, evidence)
        }
        StopReason::CpuLimit | StopReason::Exited => exited(status),
    };
    let usage = Usage { wall_ms: millis(wall), cpu_ms: Some(millis(cpu)), ..Usage::default() };
    Verdict { usage: Some(usage), ..verdict }
}

fn exited(status: ExitStatus) -> Verdict {
    let Some(signal) = status.signal() else {
        let verdict = Verdict::new(Outcome::Exited, Evidence::new("exit_status"));
        return Verdict { exit_code: status.code(), ..verdict };
    };
    // Any process can send SIGXCPU: only the time that was used means the limit.
    let verdict = Verdict::new(Outcome::Signaled, Evidence::new("wait_status"));
    Verdict { signal: Some(signal_name(signal)), ..verdict }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ended(status: i32, cpu_seconds: u64) -> Verdict {
        let limits = Limits {
            timeout_seconds: 30.0,
            cpu_seconds: 2.0,
            memory_bytes: 0,
            pids: 0,
            output_bytes: 0,
            disk_bytes: 0,
            open_files: 0,
        };
        let cpu = Duration::from_secs(cpu_seconds);
        verdict(StopReason::Exited, ExitStatus::from_raw(status), Duration::ZERO, cpu, &limits)
    }

    #[test]
    fn an_exit_code_is_the_programs_own() {
        let verdict = ended(7 << 8, 0);
        assert_eq!((verdict.outcome, verdict.exit_code), (Outcome::Exited, Some(7)));
    }

    #[test]
    fn a_program_that_ends_past_the_limit_has_exceeded_it() {
        assert_eq!(ended(0, 1).outcome, Outcome::Exited);
        let past = ended(0, 2);
        assert_eq!((past.outcome, past.exit_code), (Outcome::CpuTimeExceeded, None));
        assert_eq!(past.evidence.decided_by, "proc_stat");
    }

    #[test]
    fn a_forged_limit_is_a_signal_like_any_other() {
        assert_eq!(ended(24, 2).outcome, Outcome::CpuTimeExceeded);
        let forged = ended(24, 0);
        assert_eq!(forged.outcome, Outcome::Signaled);
        assert_eq!(forged.signal.as_deref(), Some("SIGXCPU"));
    }
}
