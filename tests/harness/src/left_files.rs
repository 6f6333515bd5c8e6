//! What every engine that takes the files of programs has to do with them: the same attacks on each.

use shared::evaluation::Encoding;
use shared::{Artifact, Engine, Limits, Outcome};

use crate::{Run, TEST_LIMITS, run};

/// Everything that is none to take, and names that would be harmful if they were more than data.
const HOSTILE: &str = r#"
import os, socket
os.chdir('/output')
os.makedirs('a/b'); os.makedirs('locked')
open('a/b/deep', 'w').write('deep')
for name in (b'-rf *', b'C:\\x', b'new\nline', b'"quoted"', b'\xff\xfe', b'...', b'<script>', 'ünï'.encode()):
    open(name, 'w').write('name')
os.link('a/b/deep', 'hard')
open('empty', 'w')
# None of these is taken.
os.symlink('/etc/passwd', 'link')
os.symlink('/usr/lib', 'directory-link')
os.symlink('loop', 'loop')
os.mkfifo('fifo')
try: socket.socket(socket.AF_UNIX).bind('socket')
except OSError: os.symlink('x', 'socket')
try: os.mknod('device', 0o20666, os.makedev(1, 5))
except OSError: os.symlink('/dev/zero', 'device')
open('locked/file', 'w').write('x'); os.chmod('locked', 0)
open('secret', 'w').write('x'); os.chmod('secret', 0)
f = open('sparse', 'w'); f.truncate(16 << 20)
path = 'down'
for _ in range(40):
    os.mkdir(path); path += '/d'
open(os.path.dirname(path) + '/file', 'w').write('too deep')
# Two that stay behind, and go on.
if os.fork() == 0:
    os.setsid()
    while True:
        try: os.rename('a/b/deep', 'a/b/deeper'); os.rename('a/b/deeper', 'a/b/deep')
        except OSError: pass
os.mkdir('swapped'); open('swapped/passwd', 'w').write('own')
if os.fork() == 0:
    os.setsid()
    while True:
        try:
            os.rename('swapped', '/output/real'); os.symlink('/etc', 'swapped')
            os.unlink('swapped'); os.rename('/output/real', 'swapped')
        except OSError: pass
"#;

fn names(artifacts: &[Artifact]) -> Vec<&str> {
    artifacts.iter().map(|artifact| artifact.path.as_str()).collect()
}

/// Regular files are taken by their bytes, whatever they are called, and nothing else is.
///
/// # Panics
///
/// When it is not so.
pub async fn takes_regular_files_alone(engine: &dyn Engine) {
    let run = run(engine, HOSTILE, TEST_LIMITS).await;
    assert_eq!((run.verdict.outcome, run.stdout.as_str()), (Outcome::Exited, ""), "{run:?}");
    let taken = &run.verdict.artifacts;
    let expected =
        ["\"quoted\"", "-rf *", "...", "<script>", "C:\\x", "empty", "hard", "new\nline"];
    let mut expected = [&expected[..], &["ünï", "//4="]].concat();
    expected.sort_unstable();
    // Those that are renamed all the time may have had either name, or none.
    let moves = |name: &&str| ["a/b/", "swapped", "real"].iter().any(|dir| name.starts_with(dir));
    let mut seen: Vec<_> = names(taken).into_iter().filter(|name| !moves(name)).collect();
    seen.sort_unstable();
    assert_eq!(seen, expected);
    let of = |name: &str| taken.iter().find(|artifact| artifact.path == name).unwrap();
    assert_eq!((&of("hard").content[..], of("hard").bytes), (&b"deep"[..], 4));
    assert_eq!((of("//4=").encoding, &of("//4=").content[..]), (Encoding::Base64, &b"name"[..]));
    assert_eq!(of("empty").bytes, 0);
    for file in taken.iter().filter(|file| file.path.ends_with("/passwd")) {
        assert_eq!(&file.content[..], b"own", "a link was followed: {}", file.path);
    }
    // The links, the pipe, the socket, the device, the two without rights, the sparse one, the one too
    // deep; and what was moved or a link at that moment.
    let skipped = run.verdict.evidence.counters["output.skipped"].as_u64().unwrap();
    assert!((10..=13).contains(&skipped), "{skipped}");
}

/// Number, bytes and entries are bounded, and the directory has a size of its own.
///
/// # Panics
///
/// When it is not so.
pub async fn leaves_out_what_is_too_much(engine: &dyn Engine) {
    let many = "for n in range(70): open(f'/output/{n:03}', 'w').write(str(n))";
    let many = run(engine, many, TEST_LIMITS).await;
    assert_eq!(many.verdict.artifacts.len(), 64, "{many:?}");
    assert_eq!(names(&many.verdict.artifacts)[63], "063", "the first by name");
    assert_eq!(many.verdict.evidence.counters["output.skipped"], 6);
    // The directory has a size of its own, beside the scratch space.
    let large = "
open('/output/a', 'wb').write(bytes(9 << 20))
open('/output/b', 'wb').write(b'b' * (6 << 20))
open('/tmp/x', 'wb').write(bytes(15 << 20))
try: open('/output/c', 'wb').write(bytes(2 << 20))
except OSError as error: print(error.errno)";
    let large = run(engine, large, TEST_LIMITS).await;
    assert_eq!(large.stdout, "28\n", "{:?}", large.verdict.evidence);
    let sizes: Vec<_> = large.verdict.artifacts.iter().map(|artifact| artifact.bytes).collect();
    assert_eq!(sizes[..2], [9 << 20, 6 << 20], "{sizes:?}");
    assert!(large.verdict.artifacts[1].content.iter().all(|byte| *byte == b'b'));
    // Ten thousand entries, where the file system has as many; a million would take no longer.
    let entries = "
import os
made = 0
open('/output/z', 'w').write('z')
os.mkdir('/output/d')
try:
    for n in range(10_500): os.symlink('x', f'/output/d/{n}'); made += 1
except OSError: pass
print(made)";
    let entries = run(engine, entries, TEST_LIMITS).await;
    let made: u64 = entries.stdout.trim().parse().unwrap();
    assert!(made >= 4000, "{entries:?}");
    // Its parent was read before.
    assert_eq!(names(&entries.verdict.artifacts), ["z"], "{:?}", entries.verdict.evidence);
    assert_eq!(entries.verdict.evidence.counters["output.skipped"], made.min(9_999));
}

/// The program of [`keeps_files_at_every_end`]: it leaves a file, and a child that goes on writing.
const WRITES: &str = "
import os, sys, time
open('/output/x', 'w').write('kept')
if os.fork() == 0:
    os.setsid()
    while True: open('/output/y', 'a').write('y'); time.sleep(0.01)
";

/// The ends that do not end the sandbox: by the program itself, and by limits on time and on output.
///
/// # Panics
///
/// When files are missing, or an outcome or an output is not what it is without files.
pub async fn keeps_files_at_every_end(engine: &dyn Engine) {
    for end in ["sys.exit(3)", "os.kill(os.getpid(), 9)", "1 / 0", "os._exit(0)"] {
        let run = run(engine, &format!("{WRITES}{end}"), TEST_LIMITS).await;
        assert!([Outcome::Exited, Outcome::Signaled].contains(&run.verdict.outcome), "{run:?}");
        assert_kept(&run, end);
    }
    let flood = "while True: sys.stdout.write('o' * 9000); sys.stderr.write('e' * 9000)";
    for (outcome, end, limits) in [
        (
            Outcome::WallTimeExceeded,
            "time.sleep(60)",
            Limits { timeout_seconds: 3.0, ..TEST_LIMITS },
        ),
        (
            Outcome::CpuTimeExceeded,
            "while True: pass",
            // A busy machine takes long to give it a second.
            Limits { cpu_seconds: 1.0, timeout_seconds: 100.0, ..TEST_LIMITS },
        ),
        (Outcome::OutputExceeded, flood, Limits { output_bytes: 100_000, ..TEST_LIMITS }),
        (
            Outcome::WallTimeExceeded,
            "import signal\nfor n in range(1, 64):\n    try: signal.signal(n, signal.SIG_IGN)\n    \
             except (OSError, ValueError): pass\nwhile True: time.sleep(1)",
            Limits { timeout_seconds: 3.0, ..TEST_LIMITS },
        ),
    ] {
        let run = run(engine, &format!("{WRITES}{end}"), limits).await;
        assert_eq!(run.verdict.outcome, outcome, "{:?}", run.verdict);
        assert_kept(&run, end);
        assert_eq!(run.verdict.exit_code, None, "the limit has ended it: {:?}", run.verdict);
        assert_eq!(run.verdict.signal, None, "the limit has ended it: {:?}", run.verdict);
        let most = usize::try_from(limits.output_bytes).unwrap();
        assert!(run.stdout.len() <= most && run.stderr.len() <= most);
    }
}

fn assert_kept(run: &Run, end: &str) {
    let (verdict, kept) = (&run.verdict, &run.verdict.artifacts);
    assert_eq!(names(kept).first(), Some(&"x"), "{end}: {verdict:?}");
    assert_eq!(&kept[0].content[..], b"kept");
    // The other one may not have started.
    assert!(kept.len() <= 2 && kept.iter().skip(1).all(|file| file.path == "y"), "{verdict:?}");
    assert!(!verdict.evidence.counters.contains_key("output.skipped"), "{end}: {verdict:?}");
}

/// A sandbox that ends with its program takes the files with it, and the evidence says so.
///
/// # Panics
///
/// When it is not so.
pub async fn says_that_files_are_lost(engine: &dyn Engine, code: &str, limits: Limits) {
    let code = format!("open('/output/x', 'w').write('lost')\n{code}");
    let run = run(engine, &code, limits).await;
    assert!(run.verdict.artifacts.is_empty(), "{:?}", run.verdict);
    assert_eq!(run.verdict.evidence.counters["output.skipped"], "all", "{:?}", run.verdict);
}
