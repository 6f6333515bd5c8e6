//! The sampler, on files of a temporary directory and on a real child process without descriptors.

use std::path::Path;

use super::*;
use crate::cgroup::{CgroupHierarchy, CgroupMount};

const LIMITS: Limits = Limits { cpu_seconds: 1.0, ..crate::PROBE_LIMITS };

fn cgroup(dir: &Path) -> Cgroup {
    let mount = CgroupMount { root: "/".to_owned(), dir: dir.to_owned() };
    CgroupHierarchy::V2(mount).cgroup("")
}

fn use_cpu(dir: &Path, micros: u64) {
    std::fs::write(dir.join("cpu.stat"), format!("usage_usec {micros}\n")).unwrap();
}

/// A cgroup whose processes have used five seconds.
fn counters() -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    use_cpu(dir.path(), 5_000_000);
    for (file, text) in [
        ("pids.current", "3\n"),
        ("pids.events", "max 0\n"),
        ("memory.events", "oom_kill 0\n"),
        ("memory.stat", "anon 1000\nshmem 1000\ninactive_file 0\nactive_file 0\n"),
    ] {
        std::fs::write(dir.path().join(file), text).unwrap();
    }
    dir
}

fn is_unreadable(stop: Option<&Stop>) -> bool {
    matches!(stop, Some(Stop::EngineError(why)) if why.to_string().contains("counters"))
}

#[tokio::test]
async fn only_what_was_used_after_the_start_counts() {
    let dir = counters();
    let mut sampler = ResourceSampler::new(Some(cgroup(dir.path())), &LIMITS);
    assert_eq!(sampler.next().await, None, "the program has not started");
    let late = sampler.timed_out(SAMPLE_TIMEOUT);
    assert!(matches!(late, Stop::EngineError(_)) && late.is_late(), "{late}");
    sampler.start().await.unwrap();
    assert_eq!(sampler.timed_out(SAMPLE_TIMEOUT), Stop::WallTimeout);
    use_cpu(dir.path(), 5_999_999);
    assert_eq!(sampler.next().await, None);
    use_cpu(dir.path(), 6_000_000);
    assert_eq!(sampler.next().await, Some(Stop::CpuTimeout));
    // A forged report of a start restarts neither the counters nor the clock.
    let started_at = sampler.started_at;
    sampler.start().await.unwrap();
    assert_eq!(sampler.started_at, started_at);
    assert_eq!(sampler.next().await, Some(Stop::CpuTimeout));
}

#[tokio::test]
async fn a_run_without_a_counter_at_its_start_is_an_error_of_the_platform() {
    for file in ["cpu.stat", "memory.events", "pids.current", "pids.events"] {
        let dir = counters();
        std::fs::write(dir.path().join(file), "nonsense").unwrap();
        let mut sampler = ResourceSampler::new(Some(cgroup(dir.path())), &LIMITS);
        assert_eq!(sampler.next().await, None, "the program has not started");
        let stop = sampler.start().await.unwrap_err();
        assert!(is_unreadable(Some(&stop)), "{file}: {stop:?}");
    }
}

#[tokio::test]
async fn a_counter_that_stays_unreadable_ends_the_run() {
    let dir = counters();
    let mut sampler = ResourceSampler::new(Some(cgroup(dir.path())), &LIMITS);
    sampler.start().await.unwrap();
    std::fs::write(dir.path().join("memory.events"), "nonsense").unwrap();
    for _ in 1..MAX_FAILED_SAMPLES {
        assert_eq!(sampler.next().await, None);
    }
    let stop = sampler.next().await;
    assert!(is_unreadable(stop.as_ref()), "{stop:?}");
    let stop = sampler.finish(Stop::WallTimeout).await;
    assert!(is_unreadable(Some(&stop)), "also when something else ends the run: {stop:?}");
}

#[tokio::test]
async fn a_cgroup_that_never_appears_ends_the_run() {
    let dir = tempfile::tempdir().unwrap();
    let mut sampler = ResourceSampler::new(Some(cgroup(dir.path())), &LIMITS);
    // It may belong to a sandbox that has just died, which is then known at once.
    sampler.start().await.unwrap();
    for _ in 2..MAX_FAILED_SAMPLES {
        assert_eq!(sampler.next().await, None);
    }
    let exited = Stop::Reported(crate::InitMessage::Exited(0));
    let stop = sampler.finish(exited).await;
    assert!(is_unreadable(Some(&stop)), "a short program had no counters either: {stop:?}");
    assert_eq!(sampler.finish(Stop::SandboxDied).await, Stop::SandboxDied);
    let stop = sampler.next().await;
    assert!(is_unreadable(stop.as_ref()), "{stop:?}");
}

#[tokio::test]
async fn more_memory_than_is_allowed_at_the_moment_ends_the_run() {
    let dir = counters();
    let mut sampler = ResourceSampler::new(Some(cgroup(dir.path())), &LIMITS);
    sampler.allowed_memory = Some(|_, stats| 700 * stats.pids.unwrap());
    sampler.start().await.unwrap();
    assert_eq!(sampler.next().await, None, "2,000 of 2,100");
    let exited = Stop::Reported(crate::InitMessage::Exited(0));
    assert_eq!(sampler.finish(exited.clone()).await, exited);
    sampler.after.memory_peak = Some(2101 + PEAK_GRACE_BYTES);
    let stat = |files| format!("anon 1000\nshmem 1000\ninactive_file {files}\nactive_file 0\n");
    std::fs::write(dir.path().join("memory.stat"), stat(1)).unwrap();
    assert_eq!(sampler.finish(exited.clone()).await, exited, "the peak has a page of a file");
    std::fs::write(dir.path().join("memory.stat"), stat(0)).unwrap();
    assert_eq!(sampler.finish(exited).await, Stop::MemoryLimit, "between two readings");
    std::fs::write(dir.path().join("pids.current"), "2\n").unwrap();
    assert_eq!(sampler.next().await, Some(Stop::MemoryLimit), "2,000 of 1,400");
}

#[tokio::test]
async fn without_a_cgroup_nothing_is_counted() {
    let mut sampler = ResourceSampler::new(None, &LIMITS);
    sampler.start().await.unwrap();
    assert_eq!(sampler.next().await, None);
    assert_eq!(sampler.after, CgroupStats::default());
}

/// Set in the child process of the test below: the limit of its descriptors is lowered.
const CHILD_ENV: &str = "CRUCIBLE_TEST_NO_DESCRIPTORS";

#[tokio::test]
async fn counters_are_read_without_a_free_descriptor() {
    const NAME: &str = "resource_sampler::tests::counters_are_read_without_a_free_descriptor";
    if std::env::var_os(CHILD_ENV).is_none() {
        let mut child = std::process::Command::new(std::env::current_exe().unwrap());
        let ended = child.args(["--exact", NAME]).env(CHILD_ENV, "1").output().unwrap();
        assert!(ended.status.success(), "{}", String::from_utf8_lossy(&ended.stdout));
        return;
    }
    let dir = counters();
    let late = counters();
    let mut sampler = ResourceSampler::new(Some(cgroup(dir.path())), &LIMITS);
    sampler.start().await.unwrap();
    use_cpu(dir.path(), 6_000_000);
    let resource = rustix::process::Resource::Nofile;
    let limit = rustix::process::getrlimit(resource);
    rustix::process::setrlimit(
        resource,
        rustix::process::Rlimit { current: Some(0), maximum: limit.maximum },
    )
    .unwrap();
    std::fs::File::open("/proc/version").unwrap_err();
    assert_eq!(sampler.next().await, Some(Stop::CpuTimeout), "the limit is in force");
    let mut without = ResourceSampler::new(Some(cgroup(late.path())), &LIMITS);
    let stop = without.start().await.unwrap_err();
    assert!(is_unreadable(Some(&stop)), "a run that cannot open them: {stop:?}");
    rustix::process::setrlimit(resource, limit).unwrap(); // the directories are removed
}
