//! The container engine, with real Docker: it verifies itself, and these are the attacks that its
//! self tests do not cover.

use std::time::{Duration, Instant};

use harness::{TEST_LIMITS, run_submission};
use shared::Hint as _;
use shared::{Engine as _, Limits, Outcome, TestableComponent as _};
use stage_04_docker::{
    ATTACKS_ON_INIT, DEFAULT_FIRST_USER, DockerArgs, DockerEngine, EngineError, IsolationError,
    RUNC, Runtime,
};

use crate::{args, docker, engine, file, run, submission, wait_until_removed};

#[tokio::test(flavor = "multi_thread")]
async fn the_engine_verifies_itself() {
    let engine = engine().await;
    harness::assert_verifies(&engine).await;
    assert_eq!(engine.name(), "docker engine");
    engine.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_program_gets_its_files_and_its_input() {
    let engine = engine().await;
    let mut given = submission(
        "import sys\nprint(open('a.txt').read(), len(open('d/e/b.bin', 'rb').read()))\n\
         data = sys.stdin.buffer.read()\nprint(len(data), data[:3], data[-1:])",
    );
    given.files = vec![file("a.txt", "text"), file("d/e/b.bin", vec![0xff; 300_000])];
    given.stdin = [b"in ".as_slice(), &vec![b'x'; 1 << 20]].concat();
    let ended = run_submission(&engine, given).await;
    assert_eq!(ended.stdout, "text 300000\n1048579 b'in ' b'x'\n", "{ended:?}");

    let mut unread = submission("print('done')");
    unread.stdin = vec![b'x'; 4 << 20];
    assert_eq!(run_submission(&engine, unread).await.stdout, "done\n");
    let long = format!("x = '{}'\nprint(len(x))", "y".repeat(3 << 20));
    assert_eq!(run(&engine, &long).await.stdout, format!("{}\n", 3 << 20));
    engine.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn files_that_do_not_fit_are_named() {
    let mut given = submission("print('never')");
    given.limits.disk_bytes = 1 << 20;
    given.files = vec![file("a", vec![1; 600 << 10]), file("b", vec![1; 600 << 10])];
    let engine = engine().await;
    let ended = run_submission(&engine, given).await;
    engine.close().await;
    assert_eq!(ended.verdict.outcome, Outcome::DiskExceeded, "{ended:?}");
    assert_eq!(ended.verdict.evidence.decided_by, "submission_bytes");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_child_that_keeps_the_output_open_does_not_delay_the_end() {
    let engine = engine().await;
    let started = Instant::now();
    let code = "import subprocess, sys, time\nprint('before', flush=True)\n\
                for _ in range(3):\n    subprocess.Popen([sys.executable, '-c', \
                'import os, time; os.setsid(); time.sleep(30)'])\nsys.exit(7)";
    let ended = run(&engine, code).await;
    assert_eq!((ended.verdict.exit_code, ended.stdout.as_str()), (Some(7), "before\n"));
    assert!(started.elapsed() < Duration::from_secs(10), "{:?}", started.elapsed());
    engine.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_limit_that_did_not_end_the_program_is_only_evidence() {
    let engine = engine().await;
    let forks = "import os, time\nn = 0\ntry:\n    while True:\n        if not os.fork(): time.sleep(9)\n\
                 \x20       n += 1\nexcept BlockingIOError: print(n)";
    let ended = run(&engine, forks).await;
    assert_eq!(ended.verdict.outcome, Outcome::Exited, "{ended:?}");
    // The program itself is one of the 64 that it may have, and init is not.
    assert_eq!(ended.stdout, "63\n");
    assert!(ended.verdict.evidence.counters["pids.events"].as_u64().unwrap() >= 1, "{ended:?}");
    assert_eq!(ended.verdict.usage.unwrap().pids_peak, Some(64));

    let child = "import subprocess, sys\n\
                 p = subprocess.run([sys.executable, '-c', 'bytearray(1 << 30)'])\nprint(p.returncode)";
    let ended = run(&engine, child).await;
    assert_eq!((ended.verdict.outcome, ended.stdout.as_str()), (Outcome::Exited, "-9\n"));
    assert_eq!(ended.verdict.evidence.counters["memory.oom_kill"], 1);
    let ended = run(&engine, &format!("{child}\nsys.exit(p.returncode)")).await;
    assert_eq!(ended.verdict.outcome, Outcome::MemoryExceeded);
    assert_eq!(ended.verdict.exit_code, Some(247));
    engine.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_program_that_will_not_end_is_ended() {
    let engine = engine().await;
    let stubborn = "import os, signal, time\nfor n in range(1, 65):\n    try: signal.signal(n, \
                    signal.SIG_IGN)\n    except (OSError, ValueError): pass\nos.closerange(0, 3)\n\
                    if not os.fork(): os.kill(os.getppid(), signal.SIGSTOP)\ntime.sleep(60)";
    let mut given = submission(stubborn);
    given.limits = Limits { timeout_seconds: 1.0, ..TEST_LIMITS };
    let ended = run_submission(&engine, given).await;
    assert_eq!(ended.verdict.outcome, Outcome::WallTimeExceeded, "{ended:?}");
    let wall = ended.verdict.usage.unwrap().wall_ms;
    assert!((1000..1500).contains(&wall), "{wall} ms");
    assert_eq!(engine.remaining().await.unwrap(), 0, "the program still runs");
    engine.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn floods_are_cut_on_both_streams() {
    let engine = engine().await;
    for fd in [1, 2] {
        let code = format!("import os\nwhile True: os.write({fd}, b'x' * 65536)");
        let ended = run(&engine, &code).await;
        assert_eq!(ended.verdict.outcome, Outcome::OutputExceeded, "{ended:?}");
        let output = if fd == 1 { ended.stdout } else { ended.stderr };
        assert_eq!(output.len(), 1 << 20);
    }
    engine.close().await;
}

/// What a program does to init ends as the program's own, or has no effect.
#[tokio::test(flavor = "multi_thread")]
async fn no_program_causes_an_engine_error() {
    let engine = engine().await;
    for attack in ATTACKS_ON_INIT {
        let ended = run(&engine, attack).await;
        assert_ne!(ended.verdict.outcome, Outcome::EngineError, "{attack}: {ended:?}");
        assert_eq!(ended.verdict.error, None, "{attack}");
    }
    wait_until_removed(&engine).await;
    engine.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn two_programs_at_the_same_time_share_nothing() {
    let engine = engine().await;
    let code = "import os, socket, time\nopen('/tmp/mine', 'x'); open('/dev/shm/mine', 'x')\n\
                s = socket.create_server(('127.0.0.1', 4242)); time.sleep(1)\n\
                print(len([p for p in os.listdir('/proc') if p.isdigit()]))";
    let (one, two) = tokio::join!(run(&engine, code), run(&engine, code));
    assert_eq!((one.stdout.as_str(), two.stdout.as_str()), ("2\n", "2\n"), "{one:?} {two:?}");
    engine.close().await;
}

#[tokio::test]
async fn what_is_missing_is_named_at_the_start() {
    async fn start(args: DockerArgs, runtime: Runtime) -> EngineError {
        DockerEngine::start(&args, runtime).await.err().expect("it started")
    }
    let image = DockerArgs { image: Some("crucible/none:such".to_owned()), ..args() };
    let error = start(image, RUNC).await;
    assert!(matches!(error, EngineError::NoImage { .. }), "{error}");
    assert_eq!(error.to_string(), "Docker has no image crucible/none:such");
    assert!(error.hint().unwrap().contains("setup.sh"), "{error}");

    let error = start(args(), Runtime { name: "none-such", ..RUNC }).await;
    assert!(matches!(error, EngineError::NoRuntime { runtime: "none-such" }), "{error}");

    for (host, message) in [
        ("tcp://127.0.0.1:2375", "not a socket on this machine"),
        ("unix:///nowhere/docker.sock", "does not answer"),
        ("", "not a socket on this machine"),
    ] {
        let not_docker = DockerArgs { docker_host: host.to_owned(), ..args() };
        let error = start(not_docker, RUNC).await.to_string();
        assert!(error.contains(message), "{host}: {error}");
    }
}

/// An engine whose containers are not isolated does not start, and leaves nothing.
#[tokio::test]
async fn isolation_that_is_not_verified_prevents_the_start() {
    let unverified = Runtime {
        verify: |_| Box::pin(async { Err(IsolationError::mismatch("no isolation")) }),
        ..RUNC
    };
    let error = DockerEngine::start(&args(), unverified).await.err().expect("it started");
    assert!(matches!(error, EngineError::NotVerified { .. }), "{error}");
    let label = format!("label=crucible.owner={}", stage_02_queue::InstanceId::this_process());
    assert_eq!(docker(&["ps", "--all", "--quiet", "--filter", &label]), "");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_unfinished_line_is_output() {
    let engine = engine().await;
    let code = "import sys, time\nprint('x', end='')\nsys.stderr.write('y')\ntime.sleep(60)";
    let mut given = submission(code);
    given.limits = Limits { timeout_seconds: 1.0, ..TEST_LIMITS };
    let ended = run_submission(&engine, given).await;
    assert_eq!(ended.verdict.outcome, Outcome::WallTimeExceeded, "{ended:?}");
    assert_eq!((ended.stdout.as_str(), ended.stderr.as_str()), ("x", "y"));
    engine.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn shared_memory_has_a_usual_size_and_counts() {
    let engine = engine().await;
    let shared = "from multiprocessing.shared_memory import SharedMemory\n\
                  m = SharedMemory(create=True, size=SIZE << 20)\n\
                  m.buf[:] = bytes(SIZE << 20)\nprint(len(m.buf) >> 20)\nm.close(); m.unlink()";
    let ended = run(&engine, &shared.replace("SIZE", "48")).await;
    assert_eq!(ended.stdout, "48\n", "{ended:?}");
    let peak = ended.verdict.usage.unwrap().memory_peak_bytes.unwrap();
    assert!(peak > 48 << 20, "{peak}");
    engine.close().await;
}

/// The range of users is exhausted by nothing that a server does: a user is free again.
#[tokio::test(flavor = "multi_thread")]
async fn each_container_has_a_user_of_its_own() {
    let engine = engine().await;
    let code = "import os, time\nprint(os.getuid(), os.getgid())\ntime.sleep(1)";
    let (one, two) = tokio::join!(run(&engine, code), run(&engine, code));
    assert_ne!(one.stdout, two.stdout, "{one:?}");
    for ended in [one, two] {
        let ids: Vec<u32> = ended.stdout.split(' ').map(|id| id.trim().parse().unwrap()).collect();
        assert_eq!(ids[0], ids[1]);
        assert!((DEFAULT_FIRST_USER..DEFAULT_FIRST_USER + (1 << 16)).contains(&ids[0]), "{ids:?}");
    }
    engine.close().await;
}
