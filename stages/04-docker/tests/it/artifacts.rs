//! The files that programs leave in a container: what is taken, what is not, and that limits change
//! nothing of that.

use harness::{TEST_LIMITS, left_files};
use shared::{Engine as _, Limits, Outcome};
use stage_04_docker::{ATTACKS_ON_INIT, DockerArgs, DockerEngine, RUNC};

use crate::{args, engine, run};

async fn taking_engine() -> DockerEngine {
    let args = DockerArgs { keeps_output_files: true, ..args() };
    DockerEngine::start(&args, RUNC).await.expect("run infrastructure/setup/setup.sh first")
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_program_leaves_is_taken() {
    let engine = taking_engine().await;
    left_files::takes_regular_files_alone(&engine).await;
    left_files::leaves_out_what_is_too_much(&engine).await;
    engine.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn every_end_leaves_its_files() {
    let engine = taking_engine().await;
    left_files::keeps_files_at_every_end(&engine).await;
    // The kernel ends the program, and not init.
    let memory = "open('/output/x', 'w').write('kept')\nbytearray(1 << 30)";
    let memory = run(&engine, memory).await;
    assert_eq!(memory.verdict.outcome, Outcome::MemoryExceeded, "{memory:?}");
    assert_eq!(memory.verdict.artifacts.len(), 1, "{memory:?}");
    let forks = "import os, time\nopen('/output/x', 'w').write('kept')\n\
                 while True:\n    if not os.fork(): time.sleep(9)";
    let forks = run(&engine, forks).await;
    assert_eq!(forks.verdict.outcome, Outcome::PidsExceeded, "{forks:?}");
    assert_eq!(forks.verdict.artifacts.len(), 1, "{forks:?}");
    engine.close().await;
}

/// Files are memory: the kernel ends the program, whose own memory init needs no more than a part of.
#[tokio::test(flavor = "multi_thread")]
async fn memory_that_is_full_of_files_leaves_room_to_take_them() {
    let engine = taking_engine().await;
    let fill = "import os\nopen('/output/x', 'w').write('kept')\n\
                for path in '/dev/shm/x', '/tmp/x', '/output/y':\n    \
                fd = os.open(path, os.O_CREAT | os.O_WRONLY)\n    \
                try:\n        while True: os.write(fd, bytes(1 << 20))\n    except OSError: pass";
    let limits = Limits { memory_bytes: 32 << 20, disk_bytes: 64 << 20, ..TEST_LIMITS };
    let ended = harness::run(&engine, fill, limits).await;
    assert_eq!(ended.verdict.outcome, Outcome::MemoryExceeded, "{ended:?}");
    assert_eq!(&ended.verdict.artifacts[0].content[..], b"kept", "{ended:?}");
    engine.close().await;
}

/// Init listens to a signal of the host here. No signal from inside is taken for it.
#[tokio::test(flavor = "multi_thread")]
async fn a_program_cannot_signal_to_init_in_the_hosts_place() {
    let engine = taking_engine().await;
    let code = "import os, signal\nfor _ in range(100): os.kill(1, signal.SIGRTMIN)\nprint('sent')";
    let ended = run(&engine, code).await;
    assert_eq!((ended.verdict.outcome, ended.stdout.as_str()), (Outcome::Exited, "sent\n"));
    // With a sender of its choice: a code below 0 is not the kernel's.
    let forged = "import ctypes, signal\n\
                  info = (ctypes.c_int * 32)(signal.SIGRTMIN, 0, 0)\n\
                  call = ctypes.CDLL(None, use_errno=True).syscall\n\
                  for code in 0, -1, 1: info[2] = code; call(129, 1, int(signal.SIGRTMIN), info)\n\
                  print('sent')";
    let ended = run(&engine, forged).await;
    assert_eq!((ended.verdict.outcome, ended.stdout.as_str()), (Outcome::Exited, "sent\n"));
    // More than the kernel keeps, so that it may drop the host's: what is lost is its own.
    let flood = "import os, signal\nopen('/output/x', 'w').write('x')\nos.fork()\n\
                 while True: os.kill(1, signal.SIGRTMIN)";
    let limits = Limits { timeout_seconds: 2.0, ..TEST_LIMITS };
    let ended = harness::run(&engine, flood, limits).await;
    let outcomes = [Outcome::WallTimeExceeded, Outcome::Signaled];
    assert!(outcomes.contains(&ended.verdict.outcome), "{ended:?}");
    let is_lost = ended.verdict.evidence.counters.contains_key("output.skipped");
    assert_eq!(ended.verdict.artifacts.is_empty(), is_lost, "{ended:?}");
    for attack in ATTACKS_ON_INIT {
        let ended = run(&engine, attack).await;
        assert_ne!(ended.verdict.outcome, Outcome::EngineError, "{attack}: {ended:?}");
    }
    engine.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_storage_there_is_no_such_directory() {
    let engine = engine().await;
    let run = run(&engine, "import os\nprint(os.path.exists('/output'))").await;
    assert_eq!((run.stdout.as_str(), run.verdict.artifacts.len()), ("False\n", 0));
    engine.close().await;
}
