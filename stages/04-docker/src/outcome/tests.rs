//! The table of outcomes.

use super::*;

const LIMITS: Limits = Limits {
    timeout_seconds: 30.0,
    cpu_seconds: 2.0,
    memory_bytes: 256 << 20,
    pids: 64,
    output_bytes: 1 << 20,
    disk_bytes: 64 << 20,
    open_files: 256,
};

fn observation(stop: Stop) -> RunObservation {
    RunObservation {
        stop,
        wall: Some(Duration::from_millis(20)),
        before: CgroupStats { cpu: Some(Duration::from_millis(50)), ..CgroupStats::default() },
        after: CgroupStats { cpu: Some(Duration::from_millis(60)), ..CgroupStats::default() },
        pids_seen: Some(2),
        container_exit: None,
        counts_guest_pids: true,
    }
}

fn decided(observation: &RunObservation) -> (Outcome, String, Option<i32>) {
    let verdict = decide(observation, &LIMITS);
    (verdict.outcome, verdict.evidence.decided_by, verdict.exit_code)
}

#[test]
fn an_exit_code_or_signal_of_the_program_is_reported_as_such() {
    for code in [0, 1, 2, 137, 139] {
        let seen = decided(&observation(Stop::Reported(InitMessage::Exited(code))));
        assert_eq!(seen, (Outcome::Exited, "exit_status".to_owned(), Some(code)));
    }
    let killed = decide(&observation(Stop::Reported(InitMessage::Signaled(9))), &LIMITS);
    assert_eq!((killed.outcome, killed.signal.as_deref()), (Outcome::Signaled, Some("SIGKILL")));
    assert_eq!(killed.exit_code, None);
}

#[test]
fn what_the_engine_ended_has_the_reason_as_its_outcome() {
    for (stop, outcome, counter) in [
        (Stop::Cancelled, Outcome::Cancelled, "cancelled"),
        (Stop::OutputLimit, Outcome::OutputExceeded, "output_bytes"),
        (Stop::MemoryLimit, Outcome::MemoryExceeded, "memory.used_bytes"),
        (Stop::CpuTimeout, Outcome::CpuTimeExceeded, "cpuacct.usage"),
        (Stop::WallTimeout, Outcome::WallTimeExceeded, "wall_clock"),
        (Stop::broken("gone"), Outcome::EngineError, "engine"),
    ] {
        let mut observed = observation(stop);
        observed.after.oom_kills = Some(1);
        assert_eq!(decided(&observed), (outcome, counter.to_owned(), None));
    }
}

#[test]
fn a_limit_is_named_only_when_it_ended_the_program() {
    for (code, outcome) in [(0, Outcome::Exited), (1, Outcome::PidsExceeded)] {
        let mut observed = observation(Stop::Reported(InitMessage::Exited(code)));
        observed.after.pids_refused = Some(3);
        let verdict = decide(&observed, &LIMITS);
        assert_eq!((verdict.outcome, verdict.exit_code), (outcome, Some(code)));
        assert_eq!(verdict.evidence.counters["pids.events"], 3);
    }
    let mut oom = observation(Stop::Reported(InitMessage::Signaled(9)));
    oom.after.oom_kills = Some(1);
    assert_eq!(decided(&oom).0, Outcome::MemoryExceeded);
    assert_eq!(decide(&oom, &LIMITS).signal.as_deref(), Some("SIGKILL"));
}

#[test]
fn an_end_without_a_message_is_decided_by_counters() {
    let silent = |exit_code, after: CgroupStats, oom_killed| {
        let container_exit = Some(ContainerExit { exit_code: Some(exit_code), oom_killed });
        RunObservation { after, container_exit, ..observation(Stop::SandboxDied) }
    };
    let none = CgroupStats::default();
    let refused = CgroupStats { pids_refused: Some(1), ..none };
    let killed = CgroupStats { oom_kills: Some(1), ..none };
    for (observed, outcome, counter) in [
        (silent(2, refused, false), Outcome::PidsExceeded, "pids.events"),
        (silent(137, killed, false), Outcome::MemoryExceeded, "memory.oom_kill"),
        (silent(137, none, true), Outcome::MemoryExceeded, "docker.oom_killed"),
        (silent(2, none, false), Outcome::EngineError, "container.exit_code"),
        (silent(0, none, false), Outcome::EngineError, "container.exit_code"),
        (silent(137, none, false), Outcome::EngineError, "container.exit_code"),
    ] {
        assert_eq!(decided(&observed), (outcome, counter.to_owned(), None), "{observed:?}");
    }
}

#[test]
fn a_forged_signal_is_no_limit() {
    let xcpu = Stop::Reported(InitMessage::Signaled(24));
    assert_eq!(decided(&observation(xcpu.clone())).0, Outcome::Signaled);
    let mut used_up = observation(Stop::Reported(InitMessage::Signaled(9)));
    used_up.after.cpu = Some(Duration::from_millis(2050));
    assert_eq!(decided(&used_up).0, Outcome::CpuTimeExceeded, "the kernel's own limit");
    let mut used_up = observation(xcpu);
    used_up.after.cpu = Some(Duration::from_millis(2050));
    assert_eq!(decided(&used_up).0, Outcome::CpuTimeExceeded);
}

#[test]
fn usage_counts_the_program_alone_and_is_absent_when_unknown() {
    let observed = observation(Stop::Reported(InitMessage::Exited(0)));
    let usage = decide(&observed, &LIMITS).usage.unwrap();
    assert_eq!((usage.wall_ms, usage.cpu_ms, usage.pids_peak), (20, Some(10), Some(1)));
    let mut many = observed.clone();
    (many.before.pids_peak, many.after.pids_peak) = (Some(6), Some(40));
    assert_eq!(decide(&many, &LIMITS).usage.unwrap().pids_peak, Some(39));
    many.after.pids_peak = Some(6);
    assert_eq!(decide(&many, &LIMITS).usage.unwrap().pids_peak, Some(1), "six were the runtime's");
    let missed = CgroupStats { pids_peak: None, pids_refused: Some(1), ..many.after };
    let short = RunObservation { after: missed, pids_seen: Some(2), ..observed.clone() };
    let peak = decide(&short, &LIMITS).usage.unwrap().pids_peak;
    assert_eq!(peak, Some(LIMITS.pids), "no sample saw it, and the refusal proves it");
    let gvisor = RunObservation { counts_guest_pids: false, ..observed.clone() };
    assert_eq!(decide(&gvisor, &LIMITS).usage.unwrap().pids_peak, None);
    let not_started = RunObservation { wall: None, ..observed };
    assert_eq!(decide(&not_started, &LIMITS).usage, None);
}

#[test]
fn no_word_of_a_sandbox_is_in_an_error() {
    for message in [
        InitMessage::Refused("\x1b[31m /tmp/x".into()),
        InitMessage::Malformed("\x1b]0;title\x07".into()),
    ] {
        let before = RunObservation { wall: None, ..observation(Stop::Reported(message)) };
        let verdict = decide(&before, &LIMITS);
        assert_eq!(verdict.outcome, Outcome::EngineError);
        let error = verdict.error.unwrap();
        assert!(!error.contains('\x1b') && !error.contains("/tmp"), "{error}");
    }
}

#[test]
fn only_a_message_before_the_program_starts_can_mean_that_its_files_do_not_fit() {
    let full = Stop::Reported(InitMessage::Refused("[Errno 28] No space left on device".into()));
    let before = RunObservation { wall: None, ..observation(full.clone()) };
    assert_eq!(decided(&before), (Outcome::DiskExceeded, "submission_bytes".to_owned(), None));
    assert_eq!(decided(&observation(full)).0, Outcome::EngineError, "the program has forged it");
}
