//! Memory: what gVisor needs for a program's processes is not the program's, and what a program uses
//! beyond its limit ends it, however many processes it has.

use harness::{TEST_LIMITS, run_submission};
use shared::{Limits, Outcome};

use super::{close, engine, run, submission};

/// The defaults of a server.
const DEFAULTS: Limits =
    Limits { memory_bytes: 256 << 20, pids: 64, timeout_seconds: 60.0, ..TEST_LIMITS };

#[tokio::test(flavor = "multi_thread")]
async fn as_many_processes_as_are_allowed_fit() {
    let engine = engine(2).await;
    for (code, stdout) in [
        (
            "import multiprocessing as mp\nwith mp.Pool(30) as p:\n    print(sum(p.map(abs, range(100))))",
            "4950\n",
        ),
        (
            "import os, signal\nchildren = []\nfor n in range(60):\n    child = os.fork()\n    if not \
             child: signal.pause()\n    children.append(child)\nfor child in children: os.kill(child, \
             9); os.wait()\nprint(len(children))",
            "60\n",
        ),
    ] {
        let mut given = submission(code);
        given.limits = DEFAULTS;
        let ended = run_submission(&engine, given).await;
        assert_eq!(
            (ended.verdict.outcome, ended.stdout.as_str()),
            (Outcome::Exited, stdout),
            "{ended:?}"
        );
    }
    close(engine).await;
}

/// Tolerance: 56 MiB, less what gVisor's kernel itself uses.
#[tokio::test(flavor = "multi_thread")]
async fn a_program_that_uses_more_than_its_limit_ends_by_the_kernels_counter() {
    let engine = engine(2).await;
    for code in [
        "x = bytearray((256 + 56) << 20)",
        "import os\nif not os.fork(): x = bytearray((256 + 64) << 20)\nelse: os.wait()",
        "from mmap import mmap\nx = [mmap(-1, 1 << 20) for _ in range(320)]\nfor m in x: m[:] = b'x' << 20",
        "x = open('/dev/shm/x', 'wb')\nfor _ in range(60): x.write(bytes(1 << 20))\ny = bytearray(260 << 20)",
        "x = open('/tmp/x', 'wb')\nfor _ in range(60): x.write(bytes(1 << 20))\ny = bytearray(260 << 20)",
    ] {
        let code = code.replace("b'x' << 20", "bytes(1 << 20)");
        let mut given = submission(&code);
        given.limits = Limits { disk_bytes: 64 << 20, ..DEFAULTS };
        let ended = run_submission(&engine, given).await;
        assert_eq!(ended.verdict.outcome, Outcome::MemoryExceeded, "{code}: {ended:?}");
        assert_eq!(ended.verdict.evidence.decided_by, "memory.oom_kill");
    }
    let mut fits = submission("x = bytearray(250 << 20)\nprint(len(x))");
    fits.limits = DEFAULTS;
    assert_eq!(run_submission(&engine, fits).await.stdout, "262144000\n");
    close(engine).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn shared_memory_has_its_usual_size_and_the_host_name_resolves() {
    let engine = engine(2).await;
    let shared = "from multiprocessing.shared_memory import SharedMemory\n\
                  s = SharedMemory(create=True, size=32 << 20)\ns.buf[:] = bytes(32 << 20)\n\
                  print(len(s.buf))\ns.close(); s.unlink()\nimport os\n\
                  print(os.statvfs('/dev/shm').f_blocks * os.statvfs('/dev/shm').f_frsize >> 20)";
    let mut given = submission(shared);
    given.limits = Limits { disk_bytes: 64 << 20, ..DEFAULTS };
    let ended = run_submission(&engine, given).await;
    assert_eq!(ended.stdout, "33554432\n64\n", "{ended:?}");
    let name = "import socket\nprint(socket.gethostbyname(socket.gethostname()), socket.getfqdn())";
    let ended = run(&engine, name).await;
    assert!(ended.stdout.starts_with("127.0.0.1 "), "{ended:?}");
    close(engine).await;
}
