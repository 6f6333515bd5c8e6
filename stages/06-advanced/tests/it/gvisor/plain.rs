//! A program finds what `python3 /tmp/main.py` gives it. Differential: the second run of each program
//! is Python's own, started by a program that has become it.

use harness::{Run, run_submission};
use shared::{Outcome, Stream};

use super::{close, engine, file, run, submission};

/// Becomes Python itself, with the file `plain.py` as its program.
const BECOME_PLAIN: &str = "import os\nos.rename('/tmp/plain.py', '/tmp/main.py')\n\
     os.execv('/usr/bin/python3', ['/usr/bin/python3', '/tmp/main.py'])";

/// Everything of the interpreter that a program can look at.
const FACTS: &str = r"
import sys
first = sorted(sys.modules), sorted(sys.path_importer_cache), sorted(globals())
import builtins, gc, inspect, os, signal, site, threading
for name in 'argv orig_argv path flags warnoptions _xoptions executable prefix flags'.split():
    print(name, getattr(sys, name))
print(*first, sep='\n')
print(__name__, __doc__, __package__, type(__loader__), __spec__, __annotations__, __file__, __cached__)
print(sorted(vars(builtins)), [str(finder) for finder in sys.meta_path], len(sys.path_hooks))
print(dict(os.environ), os.getcwd(), os.getsid(0) == os.getpid(), os.umask(0), os.getgroups())
print(len(inspect.stack()), sys._getframe().f_back, threading.active_count())
print([str(signal.getsignal(number)) for number in signal.valid_signals()])
print(os.listdir('/proc/self/fd'), os.listdir('/proc/self/task') == [str(os.getpid())])
print(open('/proc/self/cmdline').read(), open('/proc/self/environ').read())
for stream in sys.stdin, sys.stdout, sys.stderr:
    print(stream, stream.encoding, stream.errors, stream.newlines, stream.buffer, stream.buffer.raw)
    print(os.fstat(stream.fileno()).st_uid, stream.isatty(), stream.writable(), stream.closed)
print(sys.stdout is sys.__stdout__, sys.stderr is sys.__stderr__, sys.excepthook, sys.displayhook)
print(site.ENABLE_USER_SITE, site.execusercustomize, sorted(vars(site)), sys.exc_info())
print(sys.getprofile(), sys.gettrace(), sys.getrecursionlimit(), sys.dont_write_bytecode)
print(gc.isenabled(), gc.get_threshold(), gc.get_freeze_count())
def depth(n):
    try: return depth(n + 1)
    except RecursionError: return n
print(depth(1))";

/// Programs whose output, errors and ends show what is below them on the stack, and how their files
/// are read.
const PROGRAMS: [&str; 30] = [
    FACTS,
    "import logging\nlogging.warning('w', stack_info=True)",
    "import traceback\ntraceback.print_stack()",
    "import faulthandler\nfaulthandler.dump_traceback(all_threads=True)",
    "import warnings\nwarnings.warn('w', stacklevel=2)\nwarnings.warn('v')",
    "def s(n): return 0 if n == 0 else 1 + s(n - 1)\nprint(s(998))",
    "def s(n): return s(n + 1)\ns(0)",
    "import sys\nsys.excepthook = None\n1 / 0",
    "import sys\ndel sys.excepthook\n1 / 0",
    "import sys\ndef hook(*_): raise ValueError\nsys.excepthook = hook\n1 / 0",
    "import builtins\nbuiltins.BaseException = int\n1 / 0",
    "# coding: nonsense\nprint(1)",
    "# coding: ascii\nprint('é')",
    "# coding: latin-1\nprint(len('é'))",
    "\u{feff}print('a mark')",
    "print('no newline at the end')\nx = (",
    "if True:\n\tx = 1\n        y = 2",
    "print('nul')\nx = '\0'",
    "",
    "raise SystemExit('words')",
    "raise KeyboardInterrupt",
    "try: 1 / 0\nexcept ZeroDivisionError as e: raise ValueError('second') from e",
    "raise ExceptionGroup('g', [ValueError(1), TypeError(2)])",
    "class C:\n    def __del__(self): raise ValueError\nC()",
    "import atexit\natexit.register(print, 'at the end')\n1 / 0",
    "import threading\nthreading.Thread(target=lambda: 1 / 0).start()",
    "import multiprocessing as mp\nif __name__ == '__main__':\n    with \
     mp.get_context('spawn').Pool(2) as pool: print(pool.map(abs, [-1, 2]))",
    "import sys, subprocess\nprint(subprocess.run([sys.executable, '-c', 'import sys; \
     print(sys.argv, sorted(sys.modules), sys.path)']).returncode)",
    "import pickle\nclass C: pass\nprint(pickle.loads(pickle.dumps(C())).__module__)",
    "import os\nopen(__file__, 'a').write('print(2)')\nprint(1)",
];

fn ending(run: &Run) -> impl PartialEq + std::fmt::Debug {
    let Run { verdict, stdout, stderr, .. } = run;
    let end = (verdict.outcome, verdict.exit_code, verdict.signal.clone());
    // An address differs from run to run, and so does the number of a process.
    let hide = |text: &str| {
        let mut words: Vec<_> = text.split_inclusive(' ').collect();
        words.retain(|word| !word.contains("0x") && !word.contains("/proc/"));
        words.concat()
    };
    (end, hide(stdout), hide(stderr))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_program_finds_what_plain_python_gives_it() {
    let engine = engine(6).await;
    for program in PROGRAMS {
        let ours = run(&engine, program).await;
        let mut plain = submission(BECOME_PLAIN);
        plain.files = vec![file("plain.py", program)];
        let plain = run_submission(&engine, plain).await;
        assert_eq!(ending(&ours), ending(&plain), "{program}");
    }
    close(engine).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_streams_can_be_opened_by_their_paths() {
    let engine = engine(2).await;
    for paths in [
        ["/dev/stdin", "/dev/stdout", "/dev/stderr"],
        ["/dev/fd/0", "/dev/fd/1", "/dev/fd/2"],
        ["/proc/self/fd/0", "/proc/self/fd/1", "/proc/self/fd/2"],
    ] {
        let [stdin, stdout, stderr] = paths;
        let mut given = submission(&format!(
            "import os\nprint({{os.fstat(fd).st_uid - os.getuid() for fd in range(3)}}, flush=True)\n\
             open('{stdout}', 'w').write(open('{stdin}').read())\nopen('{stderr}', 'w').write('e')"
        ));
        given.stdin = b"x".to_vec();
        let ended = run_submission(&engine, given).await;
        assert_eq!((ended.stdout.as_str(), ended.stderr.as_str()), ("{0}\nx", "e"), "{ended:?}");
    }
    close(engine).await;
}

/// It is sent while the program runs, and is in the output when the time is over.
#[tokio::test(flavor = "multi_thread")]
async fn an_unfinished_line_is_sent_at_once() {
    let engine = engine(2).await;
    for (stream, code) in [
        (Stream::Stdout, "print('a line')\nprint('x', end='')\nwhile True: pass"),
        (Stream::Stderr, "import sys, time\nsys.stderr.write('x')\ntime.sleep(60)"),
        (Stream::Stdout, "import sys, time\nsys.stdout.buffer.write(b'x')\ntime.sleep(60)"),
    ] {
        let mut given = submission(code);
        given.limits.timeout_seconds = 1.0;
        let ended = run_submission(&engine, given).await;
        assert_eq!(ended.verdict.outcome, Outcome::WallTimeExceeded, "{ended:?}");
        let output = if stream == Stream::Stdout { &ended.stdout } else { &ended.stderr };
        assert!(output.ends_with('x'), "{code}: {ended:?}");
    }
    // A long text arrives whole, and so does one in many parts.
    let long = run(&engine, "print('x' * 200_000, end='')").await;
    assert_eq!(long.stdout.len(), 200_000);
    let parts = run(&engine, "for n in range(20_000): print(n, end=' ')").await;
    let numbers = parts.stdout.split_terminator(' ').map(|number| number.parse::<u32>().unwrap());
    assert!(numbers.eq(0..20_000), "{parts:?}");
    close(engine).await;
}
