//! The engine on gVisor, with real Docker and real runsc.

use harness::{TEST_LIMITS, run};
use shared::Hint as _;
use shared::{Engine as _, Evidence, Limits, Outcome};
use stage_04_docker::{
    ATTACKS_ON_INIT, DockerArgs, DockerEngine, EngineError, Runtime, error_chain,
};
use stage_05_gvisor::{GVisorEngine, RUNSC, host_pids_limit};

fn args() -> DockerArgs {
    DockerArgs::default()
}

async fn engine() -> GVisorEngine {
    GVisorEngine::start(&args()).await.expect("run infrastructure/setup/setup.sh first")
}

#[tokio::test(flavor = "multi_thread")]
async fn the_engine_verifies_itself() {
    let engine = engine().await;
    harness::assert_verifies(&engine).await;
    let sandbox = engine.sandbox();
    assert_eq!((sandbox.engine.as_str(), sandbox.runtime.as_deref()), ("gvisor", Some("runsc")));
    assert!(!sandbox.runtime_version.unwrap().is_empty());
    engine.close().await;
}

/// Root inside is a user of gVisor's kernel alone: where that kernel is missing, init does not start.
#[tokio::test]
async fn init_is_not_root_without_gvisor() {
    let renamed = Runtime { name: "runc", ..RUNSC };
    let error = DockerEngine::start(&args(), renamed).await.err().expect("runc passed as gVisor");
    assert!(matches!(error, EngineError::NotVerified { .. }), "{error}");
    assert!(error_chain(&error).contains("the sandbox died"), "{}", error_chain(&error));
}

/// There is no fallback: another runtime under the name of gVisor is recognised.
#[tokio::test]
async fn another_runtime_is_not_taken_for_gvisor() {
    let renamed = Runtime { name: "runc", root_init: false, ..RUNSC };
    let error = DockerEngine::start(&args(), renamed).await.err().expect("runc passed as gVisor");
    assert!(matches!(error, EngineError::NotVerified { .. }), "{error}");
    assert!(error_chain(&error).contains("not a sandbox of runsc"), "{}", error_chain(&error));

    let missing = Runtime { name: "runsc-that-is-not-there", ..RUNSC };
    let error = DockerEngine::start(&args(), missing).await.err().expect("there is none");
    assert!(matches!(error, EngineError::NoRuntime { .. }), "{error}");
    assert!(error.hint().unwrap().contains("setup.sh"), "{error}");
}

/// The one builder of specifications, with another runtime and its limit on threads.
#[tokio::test]
async fn the_specification_is_that_of_stage_four() {
    let engine = engine().await;
    let body = engine.docker().specification(&TEST_LIMITS);
    let host = body.host_config.unwrap();
    assert_eq!(host.runtime.as_deref(), Some("runsc"));
    assert_eq!(host.pids_limit, Some(i64::try_from(host_pids_limit(64)).unwrap()));
    insta::assert_json_snapshot!(serde_json::to_value(host).unwrap(), {
        ".Tmpfs" => insta::sorted_redaction(),
        ".SecurityOpt[1]" => "THE PROFILE OF STAGE 4",
        ".MaskedPaths" => "THOSE OF STAGE 4",
    });
    engine.close().await;
}

/// With and without output, in several forms: it never looks like an exit code.
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
            let limits = Limits { memory_bytes, pids: 32, ..TEST_LIMITS };
            let verdict = run(&engine, bomb, limits).await.verdict;
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
        let verdict = run(&engine, code, TEST_LIMITS).await.verdict;
        assert_eq!((verdict.outcome, verdict.exit_code), (Outcome::Exited, Some(2)), "{verdict:?}");
    }
    engine.close().await;
}

/// A program within its own limit on processes never reaches the host's limit.
#[tokio::test(flavor = "multi_thread")]
async fn as_many_processes_as_are_allowed_can_run() {
    let engine = engine().await;
    let code = "import os, time\nchildren = []\nfor n in range(PIDS - 1):\n    child = os.fork()\n    \
                if not child:\n        time.sleep(60)\n    children.append(child)\nprint(len(children))";
    for pids in [4, 32] {
        let limits = Limits { pids, memory_bytes: 512 << 20, ..TEST_LIMITS };
        let code = code.replace("PIDS", &pids.to_string());
        let harness::Run { verdict, stdout, stderr } = run(&engine, &code, limits).await;
        assert_eq!(stdout, format!("{}\n", pids - 1), "{verdict:?} {stderr}");
    }
    engine.close().await;
}

/// Under gVisor a program could kill a first process of its own user, and with it everything.
#[tokio::test(flavor = "multi_thread")]
async fn no_program_causes_an_engine_error() {
    let engine = engine().await;
    for attack in ATTACKS_ON_INIT {
        let verdict = run(&engine, attack, TEST_LIMITS).await.verdict;
        assert_ne!(verdict.outcome, Outcome::EngineError, "{attack}: {verdict:?}");
        assert_eq!(verdict.error, None, "{attack}");
    }
    let killed = run(&engine, "import os\nos.kill(1, 9)", TEST_LIMITS).await;
    assert_eq!(killed.verdict.exit_code, Some(1), "{killed:?}");
    assert!(killed.stderr.contains("PermissionError"), "{killed:?}");
    engine.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_least_memory_there_can_be_is_enough_to_start() {
    let engine = engine().await;
    let limits = Limits { memory_bytes: shared::submission::MIN_MEMORY_BYTES, ..TEST_LIMITS };
    let harness::Run { verdict, stdout, stderr } = run(&engine, "print(1)", limits).await;
    assert_eq!(stdout, "1\n", "{verdict:?} {stderr}");
    let verdict = run(&engine, "x = bytearray(128 << 20)", limits).await.verdict;
    assert_eq!(verdict.outcome, Outcome::MemoryExceeded, "{verdict:?}");
    engine.close().await;
}

/// What gVisor needs for each process is not the program's memory; what the program needs is.
#[tokio::test(flavor = "multi_thread")]
async fn workers_cost_a_program_no_memory_and_a_hog_is_ended() {
    let engine = engine().await;
    let workers = "import multiprocessing as mp\nwith mp.Pool(30) as p:\n    \
                   print(sum(p.map(abs, range(100))))";
    let ended = run(&engine, workers, TEST_LIMITS).await;
    assert_eq!(ended.stdout, "4950\n", "{ended:?}");
    for hog in [
        "x = [bytearray(1 << 20) for _ in range(400)]\nimport time; time.sleep(20)",
        "x = bytearray(400 << 20)\nimport time; time.sleep(20)",
        "import os, time\nfor _ in range(4):\n    if not os.fork():\n        \
         x = bytearray(120 << 20); time.sleep(20)\ntime.sleep(20)",
    ] {
        let verdict = run(&engine, hog, TEST_LIMITS).await.verdict;
        assert_eq!(verdict.outcome, Outcome::MemoryExceeded, "{hog}: {verdict:?}");
    }
    engine.close().await;
}

/// Streams by their paths, the host's name, an unfinished line and a long one: as on Linux.
#[tokio::test(flavor = "multi_thread")]
async fn a_program_finds_what_it_finds_on_linux() {
    let engine = engine().await;
    let code = "import inspect, os, socket, sys\nprint(repr(open('/dev/stdin').read()))\n\
                for path in '/dev/stdout', '/proc/self/fd/1':\n    \
                with open(path, 'w') as f: f.write('written\\n')\n\
                print(socket.gethostbyname(socket.gethostname()), len(inspect.stack()))\n\
                print({os.fstat(fd).st_uid == os.getuid() for fd in range(3)}, os.listdir('/dev/shm'))\n\
                print('x' * 300_000, end='')\nimport time; time.sleep(60)";
    let limits = Limits { timeout_seconds: 3.0, ..TEST_LIMITS };
    let ended = run(&engine, code, limits).await;
    assert_eq!(ended.verdict.outcome, Outcome::WallTimeExceeded, "{:?}", ended.verdict);
    let (lines, rest) = ended.stdout.split_at(ended.stdout.find('x').unwrap_or(0));
    assert_eq!(lines, "''\nwritten\nwritten\n127.0.0.1 1\n{True} []\n", "{}", ended.stderr);
    assert_eq!(rest.len(), 300_000);
    engine.close().await;
}
