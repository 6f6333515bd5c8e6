//! The pool: each sandbox is used once; it refills, shrinks, and has a bound.

use std::sync::Arc;
use std::time::Duration;

use harness::{TEST_LIMITS, eventually, eventually_some, run_submission};
use shared::Outcome;
use stage_06_advanced::{RunscEngine, RunscError, RunscOptions};

use super::{close, engine, run, submission};

#[tokio::test(flavor = "multi_thread")]
async fn it_refills_under_load_and_stays_within_its_bound() {
    let engine = Arc::new(engine(3).await);
    let clients: Vec<_> = (0..6)
        .map(|_| {
            let engine = Arc::clone(&engine);
            tokio::spawn(async move {
                for _ in 0..6 {
                    let ended = run(engine.as_ref(), "print(1)").await;
                    assert_eq!(ended.stdout, "1\n", "{ended:?}");
                }
            })
        })
        .collect();
    let mut most = 0;
    while !clients.iter().all(tokio::task::JoinHandle::is_finished) {
        most = most.max(engine.remaining());
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    for client in clients {
        client.await.unwrap();
    }
    // Three that wait, six in use, and eight that are being removed.
    assert!((4..=3 + 6 + 8).contains(&most), "{most} sandboxes at once");
    assert!(engine.is_warm(Duration::from_secs(30)).await, "{:?}", engine.pool());
    eventually("at rest", Duration::from_secs(10), || engine.remaining() == 3).await;
    close(Arc::into_inner(engine).unwrap()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_idle_pool_shrinks_to_one_and_fills_again_when_it_is_used() {
    let options =
        RunscOptions { warm_sandboxes: 3, warm_idle_seconds: 2, ..RunscOptions::default() };
    let engine = RunscEngine::start(&options, TEST_LIMITS).await.unwrap();
    eventually("shrunk", Duration::from_mins(1), || {
        engine.pool().target == 1 && engine.pool().ready == 1 && engine.remaining() == 1
    })
    .await;
    // On a busy machine it may be idle once more before it is full.
    eventually_some("full again", Duration::from_mins(2), async || {
        assert_eq!(run(&engine, "print(1)").await.stdout, "1\n");
        tokio::time::sleep(Duration::from_millis(500)).await;
        (engine.pool().ready == 3).then_some(())
    })
    .await;
    close(engine).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn one_that_dies_while_it_waits_fails_no_evaluation() {
    let engine = engine(2).await;
    let waiting: Vec<_> = processes(engine.directory(), "runsc-sandbox");
    assert_eq!(waiting.len(), 2, "{waiting:?}");
    for pid in waiting {
        rustix::process::kill_process(pid, rustix::process::Signal::KILL).unwrap();
    }
    for _ in 0..4 {
        let ended = run(&engine, "print(1)").await;
        assert_eq!(
            (ended.stdout.as_str(), ended.verdict.outcome),
            ("1\n", Outcome::Exited),
            "{ended:?}"
        );
    }
    close(engine).await;
}

/// The processes of runsc with this name that have their state below a directory.
fn processes(dir: &std::path::Path, name: &str) -> Vec<rustix::process::Pid> {
    let mark = format!("--root={}", dir.display());
    let entries = std::fs::read_dir("/proc").unwrap().flatten();
    entries
        .filter(|entry| {
            let line = std::fs::read_to_string(entry.path().join("cmdline")).unwrap_or_default();
            line.contains(&mark) && line.split('\0').next().is_some_and(|word| word.contains(name))
        })
        .filter_map(|entry| {
            rustix::process::Pid::from_raw(entry.file_name().to_str()?.parse().ok()?)
        })
        .collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn other_limits_get_a_sandbox_that_was_made_for_them() {
    let engine = engine(2).await;
    let looks = "import resource; print(resource.getrlimit(resource.RLIMIT_NOFILE)[0])";
    let mut other = submission(looks);
    other.limits.open_files = 100;
    let ended = run_submission(&engine, other).await;
    assert_eq!(ended.stdout, "100\n", "{ended:?}");
    assert_eq!(ended.verdict.evidence.counters["sandbox.warm"], false);
    let ended = run(&engine, looks).await;
    assert_eq!(ended.stdout, "256\n", "{ended:?}");
    assert_eq!(ended.verdict.evidence.counters["sandbox.warm"], true);
    close(engine).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn without_runsc_or_its_files_it_does_not_start() {
    let start = async |options: RunscOptions| RunscEngine::start(&options, TEST_LIMITS).await.err();
    let none = start(RunscOptions { runsc: Some("/nowhere".into()), ..Default::default() }).await;
    assert!(matches!(none, Some(RunscError::RunscNotFound { .. })), "{none:?}");
    let other = RunscOptions { runsc: Some("/usr/bin/true".into()), ..Default::default() };
    let other = start(other).await;
    assert!(matches!(other, Some(RunscError::NotRunsc { .. })), "{other:?}");
    let none = start(RunscOptions { rootfs: Some("/tmp".into()), ..Default::default() }).await;
    assert!(matches!(none, Some(RunscError::NoRootfs { .. })), "{none:?}");
}

/// Here a program that has the version of runsc and sends the frames of a supervisor.
#[tokio::test(flavor = "multi_thread")]
async fn another_program_is_not_taken_for_gvisor() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("runsc");
    // The supervisor's frames: Hello, Started, and `ready` and ` begin` on standard error; then one
    // of output.
    let script = r#"#!/bin/sh
[ "$1" = --version ] && { echo runsc version 1; exit; }
printf '\000\000\000\002A\000\000\000\000\000\004' >&0
printf '\000\000\000\004B\000\000\000\001\000\000\000\002' >&0
printf '\000\000\000\006E\000\000\000\001ready\n' >&0
head -c 100 >/dev/null
printf '\000\000\000\047E\000\000\000\00100000000000000000000000000000000 begin\n' >&0
printf '\000\000\000\024D\000\000\000\001Linux version 4.4.0\n' >&0
sleep 30
"#;
    std::fs::write(&path, script).unwrap();
    std::fs::set_permissions(&path, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    let options = RunscOptions { runsc: Some(path), ..RunscOptions::default() };
    let refused = RunscEngine::start(&options, TEST_LIMITS).await.err();
    let Some(RunscError::NotVerified { reason }) = refused else { panic!("{refused:?}") };
    assert!(reason.contains("none of") || reason.contains("process"), "{reason}");
}
