//! The engine on gVisor, with real Docker and real runsc.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]

use shared::{Engine, Job, Limits, Outcome, OutputBuffer, Stream, Submission};
use shared::{Evidence, Verdict};
use stage_04_docker::{DockerArgs, DockerEngine, EngineError, Runtime};
use stage_05_gvisor::{GVisorEngine, RUNSC, host_pids};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

const LIMITS: Limits = Limits {
    timeout_seconds: 20.0,
    cpu_seconds: 20.0,
    memory_bytes: 256 << 20,
    pids: 64,
    output_bytes: 1 << 20,
    disk_bytes: 16 << 20,
    open_files: 256,
};

fn args() -> DockerArgs {
    DockerArgs { image: None, docker_host: "unix:///var/run/docker.sock".to_owned() }
}

async fn engine() -> GVisorEngine {
    GVisorEngine::prove(&args()).await.expect("run infrastructure/setup/setup.sh first")
}

async fn run(engine: &dyn Engine, code: &str, limits: Limits) -> (Verdict, String, String) {
    let job = Job { id: Uuid::now_v7(), submission: Submission::new(code, limits) };
    let buffer = OutputBuffer::new(limits.output_bytes, Box::new(|_, _, _| {}));
    let verdict = engine.evaluate(&job, &buffer, CancellationToken::new()).await;
    let [stdout, stderr] = [Stream::Stdout, Stream::Stderr].map(|it| buffer.output(it).text);
    (verdict, stdout, stderr)
}

#[tokio::test(flavor = "multi_thread")]
async fn the_engine_verifies_itself() {
    let engine = engine().await;
    let mut failed = Vec::new();
    let passed = shared::component::verify(&engine, |check| {
        if !check.passed {
            failed.push(check);
        }
    });
    assert!(passed.await, "{failed:#?}");
    let sandbox = engine.sandbox();
    assert_eq!((sandbox.engine.as_str(), sandbox.runtime.as_deref()), ("gvisor", Some("runsc")));
    assert!(!sandbox.runtime_version.unwrap().is_empty());
    engine.close().await;
}

/// Nothing falls back: whatever else is offered as gVisor is seen through.
#[tokio::test]
async fn another_runtime_is_not_taken_for_gvisor() {
    let pretended = Runtime { name: "runc", ..RUNSC };
    let error = DockerEngine::start(&args(), pretended).await.err().expect("runc passed as gVisor");
    assert!(matches!(error, EngineError::NotProven { .. }), "{error}");
    assert!(error.to_string().contains("runsc"), "{error}");

    let missing = Runtime { name: "runsc-that-is-not-there", ..RUNSC };
    let error = DockerEngine::start(&args(), missing).await.err().expect("there is none");
    assert!(matches!(error, EngineError::NoRuntime { .. }), "{error}");
    assert!(error.to_string().contains("setup.sh"), "{error}");
}

/// The one builder of specifications, with the runtime's name and its number of threads.
#[tokio::test]
async fn the_specification_is_that_of_stage_four() {
    let engine = engine().await;
    let body = engine.docker().specification(&LIMITS);
    let host = body.host_config.unwrap();
    assert_eq!(host.runtime.as_deref(), Some("runsc"));
    assert_eq!(host.pids_limit, Some(i64::try_from(host_pids(64)).unwrap()));
    insta::assert_json_snapshot!(serde_json::to_value(host).unwrap(), {
        ".Tmpfs" => insta::sorted_redaction(),
        ".SecurityOpt[1]" => "THE PROFILE OF STAGE 4",
        ".MaskedPaths" => "THOSE OF STAGE 4",
    });
    engine.close().await;
}

/// With and without output, in many forms, again and again: it never looks like an exit code.
#[tokio::test(flavor = "multi_thread")]
async fn a_fork_bomb_never_looks_like_an_exit_code() {
    let engine = engine().await;
    let bombs = [
        "import os\nwhile True: os.fork()",
        "import os, time\nwhile os.fork(): pass\ntime.sleep(20)",
        "import subprocess, sys\nwhile True: subprocess.Popen([sys.executable, '-c', 'input()'])",
    ];
    for bomb in bombs {
        for memory_bytes in [128 << 20, 1 << 30] {
            let limits = Limits { memory_bytes, pids: 32, ..LIMITS };
            let (verdict, ..) = run(&engine, bomb, limits).await;
            let named = [Outcome::PidsExceeded, Outcome::MemoryExceeded].contains(&verdict.outcome);
            assert!(named, "{bomb}: {verdict:?}");
            let Evidence { decided_by, counters } = verdict.evidence;
            let shown = counters.get(&decided_by).and_then(serde_json::Value::as_u64);
            assert!(
                shown >= Some(1) || decided_by == "docker.oom_killed",
                "{decided_by} {counters:?}"
            );
        }
    }
    engine.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_exit_code_two_is_the_programs_own() {
    let engine = engine().await;
    for code in [
        "import sys; sys.exit(2)",
        "import os; os._exit(2)",
        "import argparse\n\
                 argparse.ArgumentParser().error('no')",
    ] {
        let (verdict, ..) = run(&engine, code, LIMITS).await;
        assert_eq!((verdict.outcome, verdict.exit_code), (Outcome::Exited, Some(2)), "{verdict:?}");
    }
    engine.close().await;
}

/// A program that stays within its own number of processes never meets the host's.
#[tokio::test(flavor = "multi_thread")]
async fn as_many_processes_as_are_allowed_can_run() {
    let engine = engine().await;
    let code = "import os, time\nchildren = []\nfor n in range(PIDS - 1):\n    child = os.fork()\n    \
                if not child:\n        time.sleep(60)\n    children.append(child)\nprint(len(children))";
    for pids in [4, 32] {
        let limits = Limits { pids, memory_bytes: 512 << 20, ..LIMITS };
        let code = code.replace("PIDS", &pids.to_string());
        let (verdict, stdout, stderr) = run(&engine, &code, limits).await;
        assert_eq!(stdout, format!("{}\n", pids - 1), "{verdict:?} {stderr}");
    }
    engine.close().await;
}

/// Under gVisor a program can kill the container's first process, and with it everything.
#[tokio::test(flavor = "multi_thread")]
async fn a_program_that_kills_init_has_ended_itself() {
    let engine = engine().await;
    let (verdict, ..) = run(&engine, "import os\nos.kill(1, 9)\nwhile True: pass", LIMITS).await;
    assert_eq!(verdict.outcome, Outcome::Signaled, "{verdict:?}");
    assert_eq!(verdict.signal.as_deref(), Some("SIGKILL"));
    assert_eq!(verdict.evidence.decided_by, "container.exit_code");
    engine.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_least_memory_there_can_be_is_enough_to_start() {
    let engine = engine().await;
    let limits = Limits { memory_bytes: shared::submission::MIN_MEMORY_BYTES, ..LIMITS };
    let (verdict, stdout, stderr) = run(&engine, "print(1)", limits).await;
    assert_eq!(stdout, "1\n", "{verdict:?} {stderr}");
    let (verdict, ..) = run(&engine, "x = bytearray(64 << 20)", limits).await;
    assert_eq!(verdict.outcome, Outcome::MemoryExceeded, "{verdict:?}");
    engine.close().await;
}
