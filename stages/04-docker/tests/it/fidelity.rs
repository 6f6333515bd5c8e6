//! A program runs in a container as `python3 /tmp/main.py` would run it: every case below is run both
//! ways, in the same kind of container, and must have the same output and the same end.

use futures_util::StreamExt as _;
use harness::{Run, run_submission};
use shared::{Engine as _, Outcome};

use crate::{engine, file, submission};

const CASES: [&str; 48] = [
    "print('hello')",
    "import sys; print(sys.argv, sys.path[0], sys.orig_argv, __file__, __name__)",
    "import sys; print(sys.flags, sys.executable, sys.getrecursionlimit())",
    "print(sorted(globals().items(), key=str)[3:], __spec__, __cached__, __package__, __doc__)",
    "import sys; print(sorted(sys.modules), sys.dont_write_bytecode)",
    "import os; print(sorted(os.environ.items()), os.getcwd(), sorted(os.listdir('.')))",
    "print(__builtins__, type(__loader__), __loader__.path, __annotations__)",
    "x: int = 1\nprint(__annotations__)",
    "1/0",
    "def f(n):\n    return f(n - 1) if n else 1/0\nf(3)",
    "raise SystemExit",
    "raise SystemExit(3)",
    "raise SystemExit('words')",
    "import sys\nsys.exit(-1)",
    "import os\nos._exit(5)",
    "x = = 1",
    "def f():\n  x\n y",
    "print('unclosed",
    "# -*- coding: latin-1 -*-\nprint('\u{e9}')",
    "raise KeyboardInterrupt",
    "import os\nos.abort()",
    "import os, signal\nos.kill(os.getpid(), signal.SIGTERM)",
    "try:\n    1/0\nexcept ZeroDivisionError as e:\n    raise ValueError('v') from e",
    "try:\n    1/0\nexcept ZeroDivisionError:\n    raise ValueError('context')",
    "raise ExceptionGroup('g', [ValueError(1), TypeError(2)])",
    "import atexit\natexit.register(print, 'bye')\nprint('hi')",
    "import threading, time\n\
     threading.Thread(target=lambda: (time.sleep(.1), print('late'))).start()\nprint('first')",
    "import threading\nt = threading.Thread(target=lambda: 1/0, name='T')\nt.start(); t.join()",
    "import pickle\nclass C:\n    pass\nprint(pickle.loads(pickle.dumps(C())).__class__ is C)",
    "import inspect\nclass C:\n    x = 1\nprint(inspect.getsource(C))",
    "import sys\nsys.excepthook = lambda *a: print('hook', a[0], a[2].tb_lineno, a[2].tb_next)\n1/0",
    "import warnings\nwarnings.warn('careful')\nwarnings.warn('old', DeprecationWarning)",
    "import multiprocessing as m\nif __name__ == '__main__':\n    m.set_start_method('spawn')\n    \
     with m.Pool(2) as p: print(p.map(abs, [-1, -2]))",
    "import sys\nsys.stdout.write('no newline'); sys.stderr.write('err')",
    "import sys\nsys.stdout.close()\nsys.exit(4)",
    // No frame but the program's own is on its stack.
    "import logging\nlogging.warning('w', stack_info=True)",
    "import inspect, traceback\nprint(len(inspect.stack()))\ntraceback.print_stack()",
    "import warnings\nwarnings.warn('w', stacklevel=2)",
    "import sys\nsys.excepthook = None\n1 / 0",
    "import sys\ndel sys.excepthook\n1 / 0",
    "# coding: nonsense\nprint(1)",
    "# coding: ascii\nprint('\u{e9}')",
    "def s(n): return 0 if n == 0 else 1 + s(n - 1)\nprint(s(998))",
    // No trace of the preparation.
    "import site, sys\nprint(site.USER_BASE, site.USER_SITE, site.ENABLE_USER_SITE, sys.path, \
     sorted(sys.path_importer_cache), sys.meta_path)",
    "import os, sys\nfor s in sys.stdin, sys.stdout, sys.stderr: print(s, type(s.buffer), s.mode, \
     s.buffer.raw, s.encoding, s.errors, s.line_buffering, s is getattr(sys, '__' + s.name[1:-1] + '__'))\n\
     print(os.listdir('/dev/shm'), sorted(os.listdir('/proc/self/fd')))",
    "import socket\nprint(socket.gethostbyname(socket.gethostname()))",
    "print(repr(open('/dev/stdin').read()), flush=True)\nfor path in '/dev/stdout', '/dev/stderr', \
     '/proc/self/fd/1', '/dev/fd/2':\n    with open(path, 'w') as f: f.write(path + '\\n')",
    "import traceback\ntry:\n    exec('1/0')\nexcept Exception:\n    traceback.print_exc()",
];

/// Runs each of the programs it finds in `cases.json` as a plain `python3 /tmp/main.py`.
const PLAIN: &str = "
import json, os, subprocess, sys
ended = []
cases = json.load(open('/tmp/cases.json'))
for name in os.listdir('/tmp'): os.unlink(f'/tmp/{name}')
for case in cases:
    with open('/tmp/main.py', 'w', encoding='utf-8') as f: f.write(case)
    p = subprocess.run([sys.executable, '/tmp/main.py'], input=b'', capture_output=True)
    ended.append([p.returncode, p.stdout.decode(), p.stderr.decode()])
print(json.dumps(ended))";

#[tokio::test(flavor = "multi_thread")]
async fn a_program_runs_as_python_alone_would_run_it() {
    let engine = engine().await;
    let mut plain = submission(PLAIN);
    plain.files = vec![file("cases.json", serde_json::to_vec(&CASES.as_slice()).unwrap())];
    let plain = run_submission(&engine, plain).await;
    assert_eq!(plain.verdict.exit_code, Some(0), "{plain:?}");
    let plain: Vec<(i32, String, String)> = serde_json::from_str(&plain.stdout).unwrap();

    let ours =
        futures_util::stream::iter(CASES).map(|case| run_submission(&engine, submission(case)));
    let ours: Vec<Run> = ours.buffered(3).collect().await;
    let mut differences = Vec::new();
    for ((case, ours), plain) in CASES.iter().zip(ours).zip(plain) {
        let seen = (how_it_ended(&ours), comparable(&ours.stdout), comparable(&ours.stderr));
        let (status, stdout, stderr) = &plain;
        if seen != (*status, comparable(stdout), comparable(stderr)) {
            differences.push(format!("{case}\n-- ours: {ours:?}\n-- plain: {plain:?}"));
        }
    }
    assert!(differences.is_empty(), "{} differ:\n{}", differences.len(), differences.join("\n\n"));
    engine.close().await;
}

/// As Python's `subprocess` gives it: an exit code, or a signal below zero.
fn how_it_ended(ended: &Run) -> i32 {
    match (ended.verdict.outcome, ended.verdict.exit_code, ended.verdict.signal.as_deref()) {
        (Outcome::Exited, Some(code), None) => code,
        (Outcome::Signaled, None, Some("SIGINT")) => -2,
        (Outcome::Signaled, None, Some("SIGABRT")) => -6,
        (Outcome::Signaled, None, Some("SIGTERM")) => -15,
        _ => panic!("{ended:?}"),
    }
}

/// The address of an object differs from process to process.
fn comparable(text: &str) -> String {
    let digit = |c: char| c.is_ascii_hexdigit();
    text.split(" at 0x").map(|part| part.trim_start_matches(digit)).collect()
}
