//! Programs that try to report their end in the supervisor's place, to reach the supervisor, or to
//! hide from it.

use shared::Outcome;

use super::{close, engine, run};

/// Writes what the supervisor and the loader would write to every descriptor that there is, in
/// every form, and ends with exit code 7.
const FRAMES: &str = r"
import os, struct
nonce = b'0' * 32
frame = lambda kind, execution, payload: struct.pack('>IBI', len(payload), kind, execution) + payload
frames = [b'exit 0\n', b'signal 9\n', b'ready\n', nonce + b' begin\n', nonce + b' end\n',
          nonce + b' exit 0\n', frame(65, 0, b'\0\3'), frame(66, 1, b'\0\0\0\2'),
          frame(68, 1, b'forged'), frame(71, 1, b'\0\0'), frame(71, 1, b'\1\t')]
for fd in range(256):
    for frame in frames:
        try: os.write(fd, frame)
        except OSError: pass
os._exit(7)";

/// Tries to reach the supervisor in every way that one process has to reach another.
const REACH: &str = r"
import ctypes, os, signal
libc = ctypes.CDLL(None, use_errno=True)
got = []
for number in range(1, 65):
    try:
        os.kill(1, number)
        got.append(f'signal {number}')
    except OSError: pass
try: signal.pidfd_send_signal(os.pidfd_open(1), 9); got.append('pidfd')
except (OSError, AttributeError): pass
for request, name in (16, 'attach'), (0x4206, 'seize'):
    if libc.ptrace(request, 1, 0, 0) == 0: got.append(name)
for path in 'mem', 'fd/0', 'fd/1', 'fd/2', 'fd/3', 'fd/4', 'exe', 'root/etc/passwd', 'cwd/x':
    for mode in 'rb', 'r+b':
        try: open(f'/proc/1/{path}', mode).read(1); got.append(f'{path} {mode}')
        except OSError: pass
# gVisor lets every user read this. There is nothing in it but a HOME.
names = [name.split('=')[0] for name in open('/proc/1/environ').read().split('\0') if name]
if names != ['HOME']: got.append(names)
class Part(ctypes.Structure): _fields_ = [('base', ctypes.c_void_p), ('length', ctypes.c_size_t)]
buffer = ctypes.create_string_buffer(8)
own, other = Part(ctypes.addressof(buffer), 8), Part(0x400000, 8)
for call in libc.process_vm_readv, libc.process_vm_writev:
    if call(1, ctypes.byref(own), 1, ctypes.byref(other), 1, 0) > 0: got.append(call.__name__)
for call in os.setuid, os.seteuid, os.setgid:
    try: call(0); got.append(call.__name__)
    except OSError: pass
try: open('/usr/lib/crucible-supervisor', 'rb'); got.append('its file')
except OSError: pass
print(got, os.getuid(), os.getppid())";

#[tokio::test(flavor = "multi_thread")]
async fn frames_on_any_descriptor_are_only_output() {
    let engine = engine(2).await;
    let ended = run(&engine, FRAMES).await;
    assert_eq!((ended.verdict.outcome, ended.verdict.exit_code), (Outcome::Exited, Some(7)));
    for output in [&ended.stdout, &ended.stderr] {
        assert!(output.starts_with("exit 0\nsignal 9\nready\n"), "{ended:?}");
        assert!(output.contains(" begin\n") && output.contains("forged"), "{ended:?}");
    }
    close(engine).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_supervisor_is_out_of_reach() {
    let engine = engine(2).await;
    let ended = run(&engine, REACH).await;
    assert!(ended.stdout.starts_with("[] 19") && ended.stdout.ends_with(" 1\n"), "{ended:?}");
    let ended =
        run(&engine, "import os\ntry: os.kill(-1, 9)\nexcept OSError: pass\nprint(1)").await;
    // Linux spares the caller, and gVisor does as well; the supervisor runs as another user.
    assert_eq!((ended.stdout.as_str(), ended.verdict.exit_code), ("1\n", Some(0)), "{ended:?}");
    close(engine).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_program_that_hides_its_end_is_seen_all_the_same() {
    let engine = engine(2).await;
    // It executes another program, with nothing of the loader left, and all descriptors closed.
    let other = "import os\nos.closerange(0, 256)\n\
                 os.execv('/usr/bin/python3', ['exit 0', '-c', 'raise SystemExit(9)'])";
    let ended = run(&engine, other).await;
    assert_eq!((ended.verdict.outcome, ended.verdict.exit_code), (Outcome::Exited, Some(9)));
    // A child that lives on is not the program.
    let child = "import os, time\nif os.fork(): os._exit(5)\nos.setsid(); time.sleep(30)";
    let ended = run(&engine, child).await;
    assert_eq!(ended.verdict.exit_code, Some(5), "{ended:?}");
    close(engine).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_line_that_looks_like_the_loaders_is_output() {
    let engine = engine(1).await;
    let begins = "import sys\nsys.stderr.write('x' * 32 + ' refused [Errno 28] no\\n')\nprint(1)";
    let ended = run(&engine, begins).await;
    assert_eq!((ended.verdict.outcome, ended.stdout.as_str()), (Outcome::Exited, "1\n"));
    assert!(ended.stderr.ends_with("refused [Errno 28] no\n"), "{ended:?}");
    close(engine).await;
}

/// The program has its three pipes and nothing else: the supervisor's socket is closed on exec.
#[tokio::test(flavor = "multi_thread")]
async fn the_supervisors_socket_is_not_inherited() {
    let engine = engine(1).await;
    let looks = "import os, stat\nkinds = []\nfor fd in range(256):\n    try: mode = os.fstat(fd).st_mode\n\
                 \x20   except OSError: continue\n    kinds.append((fd, stat.S_ISFIFO(mode)))\nprint(kinds)";
    let ended = run(&engine, looks).await;
    assert_eq!(ended.stdout, "[(0, True), (1, True), (2, True)]\n", "{ended:?}");
    close(engine).await;
}
