//! The engine verifies itself: all that a container promises, and that the kernel is gVisor's.

use shared::component::CheckResult;
use shared::{BoxFuture, Limits, Outcome, TestCase, TestableComponent};
use stage_04_docker::{Expected, PROBE_LIMITS};

use crate::engine::GVisorEngine;

/// Docker's seccomp file does not reach runsc, so that some of these calls work: on gVisor's kernel,
/// which is the program's own. What each must not do is reach the host's.
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

/// Enough memory that the limit on processes is met first.
const ROOMY: Limits = Limits { memory_bytes: 512 << 20, pids: 16, ..PROBE_LIMITS };

impl TestableComponent for GVisorEngine {
    fn name(&self) -> &'static str {
        "gvisor engine"
    }

    fn self_test(&self) -> BoxFuture<'_, CheckResult> {
        Box::pin(self.inner.verify_isolation())
    }

    fn test_suite(&self) -> Vec<TestCase<'_>> {
        let engine = &self.inner;
        let mut cases = engine.common_suite();
        let closed = Expected::Printing("closed");
        cases.push(engine.check_outcome(
            "no way to the host's kernel",
            HOST_SURFACE,
            PROBE_LIMITS,
            closed,
        ));
        let nothing = Expected::Printing("nothing");
        cases.push(engine.check_outcome(
            "nothing tells about the host",
            HOST_FACTS,
            PROBE_LIMITS,
            nothing,
        ));
        cases.push(TestCase::new("a fork bomb is named", self.names_a_fork_bomb()));
        cases
    }
}

impl GVisorEngine {
    /// Under gVisor it takes the whole sandbox down, with exit code 2 and no output.
    async fn names_a_fork_bomb(&self) -> CheckResult {
        let (verdict, _) = self.inner.run_once(FORK_BOMB, ROOMY).await;
        match verdict.outcome {
            Outcome::PidsExceeded | Outcome::MemoryExceeded => {
                Ok(format!("{} by {}", verdict.outcome.as_str(), verdict.evidence.decided_by))
            }
            _ => Err(format!("a fork bomb ended as {verdict:?}")),
        }
    }
}
