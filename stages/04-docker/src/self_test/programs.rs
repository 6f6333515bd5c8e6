//! The Python programs of the self tests: each attempts one thing, and prints whether it was possible.

pub(super) const NETWORK: &str = "
import socket
assert [line.split(':')[0].strip() for line in open('/proc/net/dev')][2:] in ([], ['lo'])
for address in ('192.0.2.1', 80), ('127.0.0.1', 80):
    try: socket.create_connection(address, timeout=1)
    except OSError: continue
    raise SystemExit('connected')
print('off')";

pub(super) const READ_ONLY: &str = "
import os
for path in '/x', '/etc/x', '/usr/x', '/var/tmp/x', '/root/x', '/work/x':
    try: open(path, 'w')
    except OSError: continue
    raise SystemExit(path)
print('read-only', end='')";

pub(super) const NO_EXEC: &str = "
import shutil, subprocess
shutil.copy('/usr/bin/python3', '/tmp/p')
try: subprocess.run(['/tmp/p', '-c', '']); print('ran')
except PermissionError: print('refused')";

pub(super) const FULL: &str = "
import errno
try:
    for n in range(100):
        with open(f'/tmp/{n}', 'wb') as f: f.write(bytes(1 << 20))
except OSError as error: print('full' if error.errno == errno.ENOSPC else error)";

pub(super) const HOLES: &str = "
import errno
try: open('/tmp/holes', 'wb').truncate(10 << 30); print('10 GiB')
except OSError as error: print('too large' if error.errno == errno.EFBIG else error)";

pub(super) const ENVIRONMENT: &str = "
import os
own = {'HOME', 'LC_CTYPE'} # the runtime's, and Python's
print(set(os.environ) - own or 'empty')";

pub(super) const RESOLVER: &str = "print(open('/etc/resolv.conf').read().strip())";

/// Makes system calls that no program needs, by their numbers on x86-64 and Arm, and sockets of
/// families that are not namespaced. An error other than EPERM, ENOSYS and EAFNOSUPPORT would come
/// from the kernel's code behind the filter.
pub(super) const SYSTEM_CALLS: &str = "
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
for kind in ((40, 1, 0), (17, 3, 0), (38, 5, 0), (16, 3, 0), (30, 1, 0), (2, 3, 1), (2, 1, 132),
             (2, 6, 0), (10, 6, 0), (2, 5, 0), (10, 5, 0), (2, 4, 0), (1, 3, 0), (1, 6, 0), (2, 10, 0)):
    try: socket.socket(*kind)
    except OSError as error: assert error.errno in (1, 97), (kind, error)
    else: raise AssertionError(kind)
print('refused')";

pub(super) const HOST_FACTS: &str = "
import os
for path in ('/proc/sys/kernel/random/boot_id', '/proc/meminfo', '/proc/loadavg', '/proc/cmdline',
             '/proc/stat', '/proc/uptime', '/proc/modules'):
    assert not os.path.exists(path) or open(path).read() == '', path
assert os.listdir('/sys') == os.listdir('/proc/sys') == os.listdir('/dev/mqueue') == []
try: raise SystemExit(open('/dev/mqueue/x', 'x'))
except OSError: pass
assert 'docker' not in open('/proc/self/cgroup').read()
try: raise SystemExit(os.getloadavg())
except OSError: print('nothing')";

/// Reaches for init in every way that a process has for another one.
pub(super) const INIT_IS_CLOSED: &str = "
import os, resource
try: raise SystemExit(open('/proc/1/mem', 'rb'))
except OSError: pass
try: resource.prlimit(1, resource.RLIMIT_CPU, (1, 1))
except OSError: print('closed')";

/// Programs that try to have the platform blamed for their end: each has to end as the program's own.
pub const ATTACKS_ON_INIT: [&str; 10] = [
    "import os, signal\nfor n in range(1, 65):\n    try: os.kill(1, n)\n    except OSError: pass\n\
     print('sent')",
    "import os, signal\nfor n in signal.SIGALRM, signal.SIGCHLD, signal.SIGINT, signal.SIGKILL:\n    \
     for _ in range(20_000):\n        try: os.kill(1, n)\n        except OSError: break",
    "import os\nos.kill(-1, 9)",
    "import fcntl, os\nfor fd in 1, 2:\n    for n in 9, 14, 19:\n        \
     try: fcntl.fcntl(fd, 10, n); fcntl.fcntl(fd, 8, 1); fcntl.fcntl(fd, 4, os.O_ASYNC)\n        \
     except OSError: pass\nfor _ in range(99): print('x' * 9999)",
    "import resource\nfor n in range(16):\n    try: resource.prlimit(1, n, (0, 0))\n    \
     except OSError: pass",
    "import os\nfor path in '/proc/1/mem', '/proc/1/oom_score_adj', '/proc/1/fd/1', '/proc/1/fd/2':\n    \
     try: os.write(os.open(path, os.O_WRONLY), bytes(9))\n    except OSError: pass",
    "import os\nfor fd in 0, 1, 2: os.set_blocking(fd, False)\nos.closerange(0, 3)",
    "import os\nfd = os.open('/dev/shm/full', os.O_CREAT | os.O_WRONLY)\n\
     try:\n    while True: os.write(fd, bytes(1 << 20))\nexcept OSError: pass",
    "import os\nfor n in range(40):\n    if not os.fork():\n        os.setsid()\n        \
     os.kill(os.getppid(), 19 if n % 2 else 9)\n        while True: pass",
    "import os, signal\nsignal.signal(signal.SIGTERM, signal.SIG_IGN)\nos.write(1, b'end\\n' * 99)\n\
     os.write(2, b'begin\\nrefused\\nexit 0\\n' * 99)\nos.abort()",
];

pub(super) const FORKS: &str = "import os, time\nwhile os.fork(): pass\ntime.sleep(5)";
