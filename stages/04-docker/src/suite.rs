//! The engine verifies itself: each promise checked with a real program in a real container.
//!
//! What can be seen from outside is looked at from outside. What a program inside reports counts only
//! where it reports that something did not work.

use std::time::{Duration, Instant};

use shared::component::CheckResult;
use shared::{
    BoxFuture, Engine, Job, Limits, Outcome, OutputBuffer, Stream, Submission, TestCase,
    TestableComponent, Verdict,
};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::engine::{DockerEngine, PROBE_LIMITS};

/// How a program has to end for a promise to be kept.
#[derive(Debug, Clone, Copy)]
pub enum Expected {
    /// With exit code 0 and this on standard output.
    Printing(&'static str),
    /// With this exit code of its own.
    With(i32),
    /// So.
    As(Outcome),
}
use Expected::{As, Printing, With};

/// A promise, a program that tries it, its limits, and how it has to end.
type Promise = (&'static str, &'static str, Limits, Expected);

/// What every container engine promises, whatever its runtime.
const PROMISES: [Promise; 14] = [
    ("an exit code is the program's own", "raise SystemExit(2)", PROBE_LIMITS, With(2)),
    ("exit code 137 is no signal", "import os; os._exit(137)", PROBE_LIMITS, With(137)),
    (
        "a signal is a signal",
        "import os; os.kill(os.getpid(), 9)",
        PROBE_LIMITS,
        As(Outcome::Signaled),
    ),
    ("the network is off", NETWORK, PROBE_LIMITS, Printing("off")),
    ("the root is read-only", READ_ONLY, PROBE_LIMITS, Printing("read-only")),
    ("nothing in scratch space can be run", NO_EXEC, PROBE_LIMITS, Printing("refused")),
    ("scratch space is bounded", FULL, PROBE_LIMITS, Printing("full")),
    ("a file with holes is bounded", HOLES, PROBE_LIMITS, Printing("too large")),
    ("the environment is empty", ENVIRONMENT, PROBE_LIMITS, Printing("empty")),
    ("the resolver is not the host's", RESOLVER, PROBE_LIMITS, Printing("nameserver 127.0.0.1")),
    ("an endless program is ended", "while 1: pass", SHORT, As(Outcome::WallTimeExceeded)),
    ("processor time is limited", "while 1: pass", LITTLE, As(Outcome::CpuTimeExceeded)),
    (
        "endless output is ended",
        "while 1: print('x' * 999)",
        PROBE_LIMITS,
        As(Outcome::OutputExceeded),
    ),
    ("memory is limited", "bytearray(1 << 30)", PROBE_LIMITS, As(Outcome::MemoryExceeded)),
];

/// What only a container on the host's own kernel can promise: under gVisor there is another kernel,
/// with answers of its own.
const PROMISES_OF_RUNC: [Promise; 3] = [
    ("no system call beyond the list", SYSTEM_CALLS, PROBE_LIMITS, Printing("refused")),
    (
        "nothing in /proc and /sys tells about the host",
        HOST_FACTS,
        PROBE_LIMITS,
        Printing("nothing"),
    ),
    ("a refused process is named", FORKS, PROBE_LIMITS, As(Outcome::PidsExceeded)),
];

const SHORT: Limits = Limits { timeout_seconds: 0.5, ..PROBE_LIMITS };
const LITTLE: Limits = Limits { cpu_seconds: 0.5, ..PROBE_LIMITS };

const NETWORK: &str = "
import socket
assert [line.split(':')[0].strip() for line in open('/proc/net/dev')][2:] in ([], ['lo'])
for address in ('192.0.2.1', 80), ('127.0.0.1', 80):
    try: socket.create_connection(address, timeout=1)
    except OSError: continue
    raise SystemExit('connected')
print('off')";

const READ_ONLY: &str = "
import os
for path in '/x', '/etc/x', '/usr/x', '/var/tmp/x', '/root/x', '/work/x':
    try: open(path, 'w')
    except OSError: continue
    raise SystemExit(path)
print('read-only', end='')";

const NO_EXEC: &str = "
import shutil, subprocess
shutil.copy('/usr/bin/python3', '/tmp/p')
try: subprocess.run(['/tmp/p', '-c', '']); print('ran')
except PermissionError: print('refused')";

const FULL: &str = "
import errno
try:
    for n in range(100):
        with open(f'/tmp/{n}', 'wb') as f: f.write(bytes(1 << 20))
except OSError as error: print('full' if error.errno == errno.ENOSPC else error)";

const HOLES: &str = "
import errno
try: open('/tmp/holes', 'wb').truncate(10 << 30); print('10 GiB')
except OSError as error: print('too large' if error.errno == errno.EFBIG else error)";

const ENVIRONMENT: &str = "
import os
own = {'HOME', 'LC_CTYPE'} # the runtime's, and Python's
print(set(os.environ) - own or 'empty')";

const RESOLVER: &str = "print(open('/etc/resolv.conf').read().strip())";

/// Tries calls that no program needs, by their numbers on x86-64 and Arm, and families of sockets
/// that are not namespaced. An error other than "not permitted", "not there" and "no such family"
/// would come from the kernel's own code.
const SYSTEM_CALLS: &str = "
import ctypes, platform, socket
call = ctypes.CDLL(None, use_errno=True).syscall
x86 = dict(io_uring_setup=425, ptrace=101, keyctl=250, bpf=321, userfaultfd=323, unshare=272,
           perf_event_open=298, memfd_secret=447, memfd_create=319, modify_ldt=154, kcmp=312,
           process_vm_readv=310, mount=165, inotify_init1=294, shmget=29, sysinfo=99, clone3=435)
arm = dict(io_uring_setup=425, ptrace=117, keyctl=219, bpf=280, userfaultfd=282, unshare=97,
           perf_event_open=241, memfd_secret=447, memfd_create=279, kcmp=272,
           process_vm_readv=270, mount=40, inotify_init1=26, shmget=194, sysinfo=179, clone3=435)
for name, number in (x86 if platform.machine() == 'x86_64' else arm).items():
    ctypes.set_errno(0)
    result, error = call(number, 0, 0, 0, 0, 0), ctypes.get_errno()
    assert result == -1 and error in (1, 38), (name, result, error)
for kind in (40, 1, 0), (17, 3, 0), (38, 5, 0), (16, 3, 0), (30, 1, 0), (2, 3, 1), (2, 1, 132):
    try: socket.socket(*kind)
    except OSError as error: assert error.errno in (1, 97), (kind, error)
    else: raise AssertionError(kind)
print('refused')";

const HOST_FACTS: &str = "
import os
for path in ('/proc/sys/kernel/random/boot_id', '/proc/meminfo', '/proc/loadavg', '/proc/cmdline',
             '/proc/stat', '/proc/uptime', '/proc/modules'):
    assert not os.path.exists(path) or open(path).read() == '', path
assert os.listdir('/sys') == os.listdir('/proc/sys') == []
assert 'docker' not in open('/proc/self/cgroup').read()
try: raise SystemExit(os.getloadavg())
except OSError: print('nothing')";

const FORKS: &str = "import os, time\nwhile os.fork(): pass\ntime.sleep(5)";

impl TestableComponent for DockerEngine {
    fn name(&self) -> &'static str {
        "docker engine"
    }

    fn self_test(&self) -> BoxFuture<'_, CheckResult> {
        Box::pin(self.verify_isolation())
    }

    fn test_suite(&self) -> Vec<TestCase<'_>> {
        let own = PROMISES_OF_RUNC.iter().map(|check_outcome| {
            self.check_outcome(check_outcome.0, check_outcome.1, check_outcome.2, check_outcome.3)
        });
        self.common_suite().into_iter().chain(own).collect()
    }
}

impl DockerEngine {
    /// The checks of what every container engine promises, whatever its runtime.
    pub fn common_suite(&self) -> Vec<TestCase<'_>> {
        common_suite(self)
    }

    /// Looks at the walls of a live container from outside.
    ///
    /// # Errors
    ///
    /// What is not as it should be.
    pub async fn verify_isolation(&self) -> CheckResult {
        Ok(self.examine().await?.0)
    }

    /// Runs `code` and gives the verdict and what it wrote, standard output first.
    pub async fn run_once(&self, code: &str, limits: Limits) -> (Verdict, String) {
        run_once(self, code, limits).await
    }

    /// The check that `code` ends as it should.
    pub fn check_outcome(
        &self,
        name: &'static str,
        code: &'static str,
        limits: Limits,
        ends: Expected,
    ) -> TestCase<'_> {
        check_outcome(self, name, code, limits, ends)
    }
}

/// The checks of what every engine with a sandbox promises.
pub fn common_suite(engine: &dyn Engine) -> Vec<TestCase<'_>> {
    let mut cases: Vec<_> = PROMISES
        .iter()
        .map(|&(name, code, limits, ends)| check_outcome(engine, name, code, limits, ends))
        .collect();
    cases.push(TestCase::new("one long write arrives whole", long_write(engine)));
    cases.push(TestCase::new("the next program finds nothing", nothing_is_left(engine)));
    cases.push(TestCase::new("a cancelled program ends at once", cancels(engine)));
    cases
}

/// The check that `code` ends as it should.
pub fn check_outcome<'a>(
    engine: &'a dyn Engine,
    name: &'static str,
    code: &'static str,
    limits: Limits,
    ends: Expected,
) -> TestCase<'a> {
    TestCase::new(name, async move {
        let (verdict, said) = run_once(engine, code, limits).await;
        let kept = match ends {
            Printing(text) => verdict.exit_code == Some(0) && said.trim_end() == text,
            With(code) => verdict.outcome == Outcome::Exited && verdict.exit_code == Some(code),
            As(outcome) => verdict.outcome == outcome,
        };
        if kept {
            Ok(format!("decided by {}", verdict.evidence.decided_by))
        } else {
            let said: String = said.chars().take(400).collect();
            Err(format!("expected {ends:?}, got {verdict:?}\n{said}"))
        }
    })
}

/// Runs `code` and gives the verdict and what it wrote, standard output first.
pub async fn run_once(engine: &dyn Engine, code: &str, limits: Limits) -> (Verdict, String) {
    until(engine, code, limits, CancellationToken::new()).await
}

async fn until(
    engine: &dyn Engine,
    code: &str,
    limits: Limits,
    end: CancellationToken,
) -> (Verdict, String) {
    let job = Job { id: Uuid::now_v7(), submission: Submission::new(code, limits) };
    let buffer = OutputBuffer::new(limits.output_bytes, Box::new(|_, _, _| {}));
    let verdict = engine.evaluate(&job, &buffer, end).await;
    let [stdout, stderr] = [Stream::Stdout, Stream::Stderr].map(|it| buffer.output(it).text);
    (verdict, stdout + &stderr)
}

async fn long_write(engine: &dyn Engine) -> CheckResult {
    let limits = Limits { output_bytes: 1 << 20, ..PROBE_LIMITS };
    let (verdict, said) = run_once(engine, "print('x' * 200_000)", limits).await;
    if said.len() == 200_001 && verdict.exit_code == Some(0) {
        Ok("200,001 bytes".to_owned())
    } else {
        Err(format!("{} bytes of 200,001 arrived: {verdict:?}", said.len()))
    }
}

async fn nothing_is_left(engine: &dyn Engine) -> CheckResult {
    let code = "import os; print(sorted(os.listdir('/tmp') + os.listdir('/dev/shm')))\n\
                open('/tmp/left', 'w'); open('/dev/shm/left', 'w')";
    for _ in 0..2 {
        let (verdict, said) = run_once(engine, code, PROBE_LIMITS).await;
        if said.trim_end() != "['main.py']" {
            return Err(format!("a fresh sandbox has {said}: {verdict:?}"));
        }
    }
    Ok("the second program did not see what the first had written".to_owned())
}

async fn cancels(engine: &dyn Engine) -> CheckResult {
    let end = CancellationToken::new();
    let soon = end.clone();
    tokio::spawn(async move {
        tokio::time::sleep(Duration::from_secs(1)).await;
        soon.cancel();
    });
    let started = Instant::now();
    let (verdict, _) = until(engine, "while 1: pass", PROBE_LIMITS, end).await;
    let took = started.elapsed();
    if verdict.outcome == Outcome::Cancelled && took < Duration::from_secs(5) {
        Ok(format!("after {} ms, told after 1,000", took.as_millis()))
    } else {
        Err(format!("after {} ms: {verdict:?}", took.as_millis()))
    }
}
