//! From the observation of a process to the verdict on the evaluation.
//!
//! The host can hardly tell which limit ended a process: a process that is refused memory or file
//! space gets an error and may end in any way, so such an end is `exited` with the program's exit
//! code. Only the signal for processor time names its limit. Control groups, two stages later, count
//! all of it.

use std::os::unix::process::ExitStatusExt as _;
use std::process::ExitStatus;
use std::time::Duration;

use shared::{Evidence, Limits, Outcome, Usage, Verdict};

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
}

pub(super) fn verdict(
    stop: StopReason,
    status: ExitStatus,
    wall: Duration,
    cpu: Option<Duration>,
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
        StopReason::Exited => exited(status, cpu, limits),
    };
    let usage = Usage { wall_ms: millis(wall), cpu_ms: cpu.map(millis), ..Usage::default() };
    Verdict { usage: Some(usage), ..verdict }
}

fn exited(status: ExitStatus, cpu: Option<Duration>, limits: &Limits) -> Verdict {
    let Some(signal) = status.signal() else {
        let verdict = Verdict::new(Outcome::Exited, Evidence::new("exit_status"));
        return Verdict { exit_code: status.code(), ..verdict };
    };
    let name = signal_name(signal);
    // Any process can send this signal; only together with the used time does it mean the limit.
    // RLIMIT_CPU is enforced on tick-sampled time, while /proc reports precise time: on a busy machine
    // the second was measured at 0.9 of the first. Half leaves room for worse.
    let used_up = cpu.is_some_and(|cpu| cpu.as_secs_f64() >= limits.cpu_seconds.ceil() * 0.5);
    if matches!(name.as_str(), "SIGXCPU" | "SIGKILL") && used_up {
        let evidence = Evidence::new("rlimit_cpu").with("signal", name.clone());
        return Verdict { signal: Some(name), ..Verdict::new(Outcome::CpuTimeExceeded, evidence) };
    }
    let verdict = Verdict::new(Outcome::Signaled, Evidence::new("wait_status"));
    Verdict { signal: Some(name), ..verdict }
}

/// The name of a signal that can end a program, such as `SIGSEGV` for 11, as numbered on Linux x86-64
/// and Arm; `SIG34` for one without a name.
pub fn signal_name(number: i32) -> String {
    const NAMES: [(i32, &str); 17] = [
        (1, "SIGHUP"),
        (2, "SIGINT"),
        (3, "SIGQUIT"),
        (4, "SIGILL"),
        (5, "SIGTRAP"),
        (6, "SIGABRT"),
        (7, "SIGBUS"),
        (8, "SIGFPE"),
        (9, "SIGKILL"),
        (10, "SIGUSR1"),
        (11, "SIGSEGV"),
        (12, "SIGUSR2"),
        (13, "SIGPIPE"),
        (14, "SIGALRM"),
        (15, "SIGTERM"),
        (24, "SIGXCPU"),
        (25, "SIGXFSZ"),
    ];
    let known = NAMES.iter().find(|(known, _)| *known == number);
    known.map_or_else(|| format!("SIG{number}"), |(_, name)| (*name).to_owned())
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
        let cpu = Some(Duration::from_secs(cpu_seconds));
        verdict(StopReason::Exited, ExitStatus::from_raw(status), Duration::ZERO, cpu, &limits)
    }

    #[test]
    fn an_exit_code_is_the_programs_own() {
        let verdict = ended(7 << 8, 0);
        assert_eq!((verdict.outcome, verdict.exit_code), (Outcome::Exited, Some(7)));
    }

    #[test]
    fn a_forged_limit_is_a_signal_like_any_other() {
        assert_eq!(ended(24, 2).outcome, Outcome::CpuTimeExceeded);
        let forged = ended(24, 0);
        assert_eq!(forged.outcome, Outcome::Signaled);
        assert_eq!(forged.signal.as_deref(), Some("SIGXCPU"));
        assert_eq!(ended(34, 0).signal.as_deref(), Some("SIG34"));
    }
}
