//! How programs end: by themselves, by a limit, or by a cancellation. Each end has its outcome, and
//! the evidence that decided it.

use std::sync::Arc;
use std::time::{Duration, Instant};

use harness::{TEST_LIMITS, run_submission};
use rustix::process::{Pid, Signal, kill_process};
use shared::{Engine as _, Job, Limits, Outcome, OutputBuffer, Stream};
use stage_06_advanced::RunscEngine;
use tokio_util::sync::CancellationToken;

use super::{close, engine, file, run, submission};

#[tokio::test(flavor = "multi_thread")]
async fn what_a_program_ends_with_is_its_own() {
    let engine = engine(4).await;
    for (code, exit_code) in [
        ("raise SystemExit(7)", 7),
        ("import sys; sys.exit(2)", 2),
        ("import os; os._exit(137)", 137),
        ("1 / 0", 1),
        ("print('x')", 0),
    ] {
        let ended = run(&engine, code).await;
        assert_eq!(ended.verdict.outcome, Outcome::Exited, "{code}: {ended:?}");
        assert_eq!(ended.verdict.exit_code, Some(exit_code), "{code}: {ended:?}");
        assert_eq!(ended.verdict.evidence.decided_by, "exit_status");
    }
    for (code, signal) in [
        ("import os; os.kill(os.getpid(), 9)", "SIGKILL"),
        ("import ctypes; ctypes.string_at(0)", "SIGSEGV"),
        ("import os; os.abort()", "SIGABRT"),
    ] {
        let ended = run(&engine, code).await;
        assert_eq!(ended.verdict.outcome, Outcome::Signaled, "{code}: {ended:?}");
        assert_eq!(ended.verdict.signal.as_deref(), Some(signal), "{code}: {ended:?}");
    }
    close(engine).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_program_gets_its_files_and_its_input() {
    let engine = engine(2).await;
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

    let mut too_much = submission("print('never')");
    too_much.limits.disk_bytes = 1 << 20;
    too_much.files = vec![file("a", vec![1; 600 << 10]), file("b", vec![1; 600 << 10])];
    let ended = run_submission(&engine, too_much).await;
    assert_eq!(ended.verdict.outcome, Outcome::DiskExceeded, "{ended:?}");
    assert_eq!(ended.verdict.evidence.decided_by, "submission_bytes");
    close(engine).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_daemon_with_the_output_open_delays_no_result() {
    let engine = engine(2).await;
    let started = Instant::now();
    let code = "import os, sys, time\nprint('before', flush=True)\nif not os.fork():\n    os.setsid()\n\
                \x20   if not os.fork():\n        while True: os.write(1, b'after\\n'); time.sleep(9)\n\
                \x20   os._exit(0)\ntime.sleep(0.3)\nsys.exit(7)";
    let ended = run(&engine, code).await;
    assert_eq!(ended.verdict.exit_code, Some(7), "{ended:?}");
    assert!(ended.stdout.starts_with("before\n"), "{ended:?}");
    assert!(started.elapsed() < Duration::from_secs(5), "{:?}", started.elapsed());
    close(engine).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn floods_are_cut_on_both_streams_and_what_is_wanted_arrives_whole() {
    let engine = engine(2).await;
    for fd in [1, 2] {
        let code = format!("import os\nfor n in range(1600): os.write({fd}, b'x' * 65536)"); // 100 MB
        let ended = run(&engine, &code).await;
        assert_eq!(ended.verdict.outcome, Outcome::OutputExceeded, "{:?}", ended.verdict);
        assert_eq!(ended.verdict.evidence.decided_by, "output_bytes");
        let output = if fd == 1 { ended.stdout } else { ended.stderr };
        assert_eq!(output.len(), 1 << 20);
    }
    let mut wanted = submission("print('x' * 100_000_000)");
    wanted.limits.output_bytes = 200 << 20;
    wanted.limits.memory_bytes = 512 << 20;
    let ended = run_submission(&engine, wanted).await;
    assert_eq!((ended.verdict.exit_code, ended.stdout.len()), (Some(0), 100_000_001));
    close(engine).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_fork_bomb_never_looks_like_an_exit_code() {
    let engine = engine(2).await;
    for bomb in [
        "import os\nwhile True: os.fork()",
        "import os, time\nwhile os.fork(): pass\ntime.sleep(20)",
        "import subprocess, sys\nwhile True: subprocess.Popen([sys.executable, '-c', 'input()'])",
    ] {
        let mut given = submission(bomb);
        given.limits = Limits { memory_bytes: 1 << 30, pids: 32, ..TEST_LIMITS };
        let ended = run_submission(&engine, given).await;
        assert_eq!(ended.verdict.outcome, Outcome::PidsExceeded, "{bomb}: {ended:?}");
        assert_eq!(ended.verdict.evidence.decided_by, "pids.events");
        let refused = ended.verdict.evidence.counters["pids.events"].as_u64();
        assert!(refused >= Some(1), "{bomb}: {ended:?}");
    }
    let many = "import os, time\nchildren = []\nfor n in range(31):\n    child = os.fork()\n    \
                if not child:\n        time.sleep(60)\n    children.append(child)\nprint(len(children))";
    let mut allowed = submission(many);
    allowed.limits = Limits { memory_bytes: 512 << 20, pids: 32, ..TEST_LIMITS };
    let ended = run_submission(&engine, allowed).await;
    assert_eq!(ended.stdout, "31\n", "as many as are allowed can run: {ended:?}");
    close(engine).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn memory_is_limited_by_the_hosts_counter() {
    let engine = engine(2).await;
    let ended = run(&engine, "x = bytearray(1 << 30)").await;
    assert_eq!(ended.verdict.outcome, Outcome::MemoryExceeded, "{ended:?}");
    assert_eq!(ended.verdict.evidence.decided_by, "memory.oom_kill");
    // What a waiting sandbox was made with is set anew, down and up.
    let mut small = submission("print(1); x = bytearray(96 << 20)");
    small.limits.memory_bytes = shared::submission::MIN_MEMORY_BYTES;
    let ended = run_submission(&engine, small).await;
    assert_eq!(ended.verdict.outcome, Outcome::MemoryExceeded, "{ended:?}");
    assert_eq!(ended.stdout, "1\n", "the least memory there can be is enough to start");
    let mut large = submission("x = bytearray(500 << 20); print(len(x))");
    large.limits.memory_bytes = 1 << 30;
    let ended = run_submission(&engine, large).await;
    assert_eq!(ended.stdout, "524288000\n", "{ended:?}");
    assert!(ended.verdict.usage.unwrap().memory_peak_bytes > Some(500 << 20));
    close(engine).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn time_of_both_kinds_is_limited_and_nothing_runs_on() {
    let engine = engine(2).await;
    let stubborn = "import os, signal, time\nfor n in range(1, 65):\n    try: signal.signal(n, \
                    signal.SIG_IGN)\n    except (OSError, ValueError): pass\nos.closerange(0, 3)\n\
                    if not os.fork(): os.kill(os.getppid(), signal.SIGSTOP)\ntime.sleep(60)";
    let mut given = submission(stubborn);
    given.limits = Limits { timeout_seconds: 1.0, ..TEST_LIMITS };
    let ended = run_submission(&engine, given).await;
    assert_eq!(ended.verdict.outcome, Outcome::WallTimeExceeded, "{ended:?}");
    assert_eq!(ended.verdict.evidence.decided_by, "wall_clock");
    let wall = ended.verdict.usage.unwrap().wall_ms;
    assert!((1000..1500).contains(&wall), "{wall} ms");

    let mut busy = submission("while True: pass");
    busy.limits = Limits { cpu_seconds: 0.5, ..TEST_LIMITS };
    let ended = run_submission(&engine, busy).await;
    assert_eq!(ended.verdict.outcome, Outcome::CpuTimeExceeded, "{ended:?}");
    assert_eq!(ended.verdict.evidence.decided_by, "cpuacct.usage");
    let used = ended.verdict.usage.unwrap().cpu_ms.unwrap();
    assert!((500..1500).contains(&used), "{used} ms");
    close(engine).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_program_is_seen_while_it_runs_and_ends_when_it_is_cancelled() {
    let engine = engine(1).await;
    let cancel = CancellationToken::new();
    let seen = cancel.clone();
    let listener = move |stream, _, bytes: &[u8]| {
        if stream == Stream::Stdout && bytes.starts_with(b"u") {
            seen.cancel();
        }
    };
    let buffer = OutputBuffer::new(1 << 20, Box::new(listener));
    let job = Job::first(submission("print('up')\nwhile True: pass"));
    let started = Instant::now();
    let verdict = engine.evaluate(&job, &buffer, cancel).await;
    assert_eq!(verdict.outcome, Outcome::Cancelled, "{verdict:?}");
    assert!(started.elapsed() < Duration::from_secs(5), "{:?}", started.elapsed());
    close(engine).await;
}

/// Kills the process of `engine` on the host whose command line begins with `name`.
fn kill(engine: &RunscEngine, name: &str) {
    let directory = engine.directory().to_str().unwrap();
    for entry in std::fs::read_dir("/proc").unwrap().flatten() {
        let line = std::fs::read_to_string(entry.path().join("cmdline")).unwrap_or_default();
        if line.starts_with(name) && line.contains(directory) {
            let pid = entry.file_name().to_str().unwrap().parse().unwrap();
            kill_process(Pid::from_raw(pid).unwrap(), Signal::KILL).unwrap();
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sandbox_that_is_killed_from_outside_is_an_error_of_the_platform() {
    for name in ["runsc-sandbox", "runsc-gofer"] {
        let engine = Arc::new(engine(0).await);
        let victim = Arc::clone(&engine);
        let listener = move |_, _, _: &[u8]| kill(&victim, name);
        let buffer = OutputBuffer::new(1 << 20, Box::new(listener));
        let job = Job::first(submission("print('up')\nwhile True: open('/etc/hosts').read()"));
        let verdict = engine.evaluate(&job, &buffer, CancellationToken::new()).await;
        assert_eq!(verdict.outcome, Outcome::EngineError, "{name}: {verdict:?}");
        let error = verdict.error.unwrap();
        assert!(!error.contains('/'), "{error}");
        drop(buffer);
        close(Arc::into_inner(engine).unwrap()).await;
    }
}

/// Whatever a program does to itself and to its sandbox, the platform is not to blame.
#[tokio::test(flavor = "multi_thread")]
async fn no_program_causes_an_error_of_the_platform() {
    let engine = engine(4).await;
    for code in [
        "import os\nos.kill(-1, 9)\nos.kill(os.getpid(), 9)",
        "import os\nos.closerange(0, 4096)\nos.kill(1, 9)",
        "import os, signal\nfor n in range(1, 65):\n    try: os.kill(1, n)\n    except OSError: pass",
        "import os\nos.write(2, b'0' * 32 + b' refused [Errno 28] no\\n')\nos.abort()",
        "import os\nos.write(2, b'0' * 32 + b' nonsense\\n' + b'\\0' * 5000)\nos._exit(1)",
        "import os\nfor fd in 0, 1, 2: open(f'/proc/self/fd/{fd}', 'rb' if fd else 'wb')\nos._exit(3)",
        "import os, fcntl\nfor fd in 1, 2: fcntl.fcntl(fd, 1031, 4096)\nos.write(1, b'x' * 70000)",
        "import os, fcntl\nfor fd in 0, 1, 2: os.set_blocking(fd, False)\nos.write(1, b'x' * (1 << 20))",
        "import os\nos.unlink('/tmp/main.py')\nos.mkdir('/tmp/main.py')\nos.execv('/usr/bin/python3', \
         ['python3', '/tmp/main.py'])",
        "import os\nos.unlink(__file__)\nos.execv('/usr/bin/python3', ['python3', '-c', 'print(1)'])",
        "import resource\nfor n in range(16):\n    try: resource.setrlimit(n, (0, 0))\n    except \
         Exception: pass\nopen('/tmp/x', 'w').write('x')",
        "import os\nos.makedirs('/tmp/usr/lib/crucible')\nos.chdir('/tmp/usr/lib/crucible')\n\
         os.execv('/usr/bin/python3', ['python3', '-c', 'print(1)'])",
    ] {
        let ended = run(&engine, code).await;
        assert!(ended.verdict.error.is_none(), "{code}: {ended:?}");
        assert_ne!(ended.verdict.outcome, Outcome::EngineError, "{code}: {ended:?}");
        assert_ne!(ended.verdict.outcome, Outcome::WallTimeExceeded, "{code}: {ended:?}");
    }
    close(engine).await;
}
