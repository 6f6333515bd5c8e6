//! The engine verifies itself: the checks of every container engine, and those of gVisor's kernel.

use shared::component::{CheckResult, SelfTestResult};
use shared::{BoxFuture, Limits, Outcome, TestCase, TestableComponent};
use stage_04_docker::{Expected, PROBE_LIMITS, check_outcome, common_suite, run_once};

use crate::engine::GVisorEngine;

/// runsc ignores Docker's seccomp profile, so some system calls that it refuses work, in gVisor's
/// kernel. None of these may reach the host's kernel.
const HOST_SURFACE: &str = "
import ctypes, socket
call = ctypes.CDLL(None, use_errno=True).syscall
closed = dict(bpf=321, userfaultfd=323, keyctl=250, modify_ldt=154, memfd_secret=447, mount=165,
              process_vm_readv=310, kcmp=312, clone3=435, init_module=175, perf_event_open=298)
for name, number in closed.items():
    ctypes.set_errno(0)
    assert call(number, 0, 0, 0, 0, 0) == -1, name
try: socket.socket(40, 1)
except OSError: print('closed')";

const HOST_FACTS: &str = "
import os
assert not os.path.exists('/proc/sys/kernel/random/boot_id')
assert os.getloadavg() == (0, 0, 0)
mounts = open('/proc/self/mountinfo').read()
assert '/var/lib' not in mounts and 'upperdir' not in mounts, mounts
print('nothing')";

const FORK_BOMB: &str = "import os\nwhile True: os.fork()";

/// Enough memory that the program reaches the limit on processes first.
const FORK_BOMB_LIMITS: Limits = Limits { memory_bytes: 512 << 20, pids: 16, ..PROBE_LIMITS };

impl TestableComponent for GVisorEngine {
    fn name(&self) -> &'static str {
        "gvisor engine"
    }

    fn self_test(&self) -> BoxFuture<'_, SelfTestResult> {
        self.inner.self_test()
    }

    fn test_suite(&self) -> Vec<TestCase<'_>> {
        let own = [
            ("no way to the host's kernel", HOST_SURFACE, Expected::Stdout("closed")),
            ("nothing tells about the host", HOST_FACTS, Expected::Stdout("nothing")),
        ];
        let own = own.map(|(name, code, expected)| {
            check_outcome(&self.inner, name, code, PROBE_LIMITS, expected)
        });
        let fork_bomb = TestCase::new("a fork bomb is named", self.check_fork_bomb());
        common_suite(&self.inner).into_iter().chain(own).chain([fork_bomb]).collect()
    }
}

impl GVisorEngine {
    /// Under gVisor a fork bomb ends its whole sandbox, with exit code 2 and no output.
    async fn check_fork_bomb(&self) -> CheckResult {
        let (verdict, _) = run_once(&self.inner, FORK_BOMB, FORK_BOMB_LIMITS).await;
        let end = format!("{} by {}", verdict.outcome.as_str(), verdict.evidence.decided_by);
        match verdict.outcome {
            Outcome::PidsExceeded | Outcome::MemoryExceeded => Ok(end),
            _ => Err(format!("a fork bomb ended as {end}")),
        }
    }
}
