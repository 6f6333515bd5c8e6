//! The files that a program leaves in `/output`: what is taken, what is not, and that nothing waits.

use std::time::{Duration, Instant};

use shared::evaluation::Encoding;
use shared::{Artifact, Outcome};
use stage_06_advanced::{RunscEngine, RunscOptions};

use super::{TEST_LIMITS, WARM_TIMEOUT, close, engine, run};

async fn taking_engine(warm_sandboxes: u16) -> RunscEngine {
    let options =
        RunscOptions { warm_sandboxes, keeps_output_files: true, ..RunscOptions::default() };
    let engine = RunscEngine::start(&options, TEST_LIMITS).await.unwrap();
    assert!(engine.is_warm(WARM_TIMEOUT).await, "{:?}", engine.pool());
    engine
}

fn names(artifacts: &[Artifact]) -> Vec<&str> {
    artifacts.iter().map(|artifact| artifact.path.as_str()).collect()
}

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
socket.socket(socket.AF_UNIX).bind('socket')
open('locked/file', 'w').write('x'); os.chmod('locked', 0)
open('secret', 'w').write('x'); os.chmod('secret', 0)
f = open('sparse', 'w'); f.truncate(16 << 20)
path = 'down'
for _ in range(40):
    os.mkdir(path); path += '/d'
open(os.path.dirname(path) + '/file', 'w').write('too deep')
# One that stays behind, and goes on.
if os.fork() == 0:
    os.setsid()
    n = 0
    while True:
        try: os.rename('a/b/deep', 'a/b/deeper'); os.rename('a/b/deeper', 'a/b/deep')
        except OSError: pass
"#;

#[tokio::test(flavor = "multi_thread")]
async fn what_a_program_leaves_in_output_is_taken_and_nothing_else() {
    let engine = taking_engine(1).await;
    let started = Instant::now();
    let run = run(&engine, HOSTILE).await;
    assert_eq!(run.verdict.outcome, Outcome::Exited, "{run:?}");
    assert!(started.elapsed() < Duration::from_mins(1), "nothing is waited for");
    let taken = &run.verdict.artifacts;
    let mut expected = [
        "\"quoted\"",
        "-rf *",
        "...",
        "<script>",
        "C:\\x",
        "empty",
        "hard",
        "new\nline",
        "ünï",
        "//4=",
    ];
    expected.sort_unstable();
    // The one that is renamed all the time may have had either name, or none.
    let mut seen: Vec<_> =
        names(taken).into_iter().filter(|name| !name.starts_with("a/b/")).collect();
    seen.sort_unstable();
    assert_eq!(seen, expected);
    let of = |name: &str| taken.iter().find(|artifact| artifact.path == name).unwrap();
    assert_eq!((&of("hard").content[..], of("hard").bytes), (&b"deep"[..], 4));
    assert_eq!((of("//4=").encoding, &of("//4=").content[..]), (Encoding::Base64, &b"name"[..]));
    assert_eq!(of("empty").bytes, 0);
    // The links, the pipe, the socket, the two without rights, the sparse one, the one too deep.
    let skipped = run.verdict.evidence.counters["output.skipped"].as_u64().unwrap();
    assert!((9..=10).contains(&skipped), "{skipped}");
    close(engine).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn too_many_and_too_large_are_left_out() {
    let engine = taking_engine(1).await;
    let many = "for n in range(70): open(f'/output/{n:03}', 'w').write(str(n))";
    let many = run(&engine, many).await;
    assert_eq!(many.verdict.artifacts.len(), 64);
    assert_eq!(names(&many.verdict.artifacts)[63], "063", "the first by name");
    assert_eq!(many.verdict.evidence.counters["output.skipped"], 6);
    // The directory has a size of its own, beside the scratch space.
    let large = "
open('/output/a', 'wb').write(bytes(9 << 20))
open('/output/b', 'wb').write(b'b' * (6 << 20))
open('/tmp/x', 'wb').write(bytes(15 << 20))
try: open('/output/c', 'wb').write(bytes(2 << 20))
except OSError as error: print(error.errno)";
    let large = run(&engine, large).await;
    assert_eq!(large.stdout, "28\n", "{large:?}");
    let sizes: Vec<_> = large.verdict.artifacts.iter().map(|artifact| artifact.bytes).collect();
    assert_eq!(sizes[..2], [9 << 20, 6 << 20], "{sizes:?}");
    assert!(large.verdict.artifacts[1].content.iter().all(|byte| *byte == b'b'));
    // Ten thousand entries, a million would take no longer.
    let entries = "
import os
os.mkdir('/output/d')
for n in range(10_500): os.symlink('x', f'/output/d/{n}')
open('/output/z', 'w').write('z')";
    let entries = run(&engine, entries).await;
    // Its parent was read before.
    assert_eq!(names(&entries.verdict.artifacts), ["z"], "{entries:?}");
    assert_eq!(entries.verdict.evidence.counters["output.skipped"], 9_999);
    close(engine).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn every_end_of_its_own_leaves_its_files_and_others_leave_none() {
    let engine = taking_engine(1).await;
    let write = "import os, sys, time\nopen('/output/x', 'w').write('kept')\n";
    for end in ["sys.exit(3)", "os.kill(os.getpid(), 9)", "1 / 0", "os._exit(0)"] {
        let run = run(&engine, &format!("{write}{end}")).await;
        assert_eq!(names(&run.verdict.artifacts), ["x"], "{end}: {run:?}");
        assert_eq!(&run.verdict.artifacts[0].content[..], b"kept");
        assert!(!run.verdict.evidence.counters.contains_key("output.skipped"), "{run:?}");
    }
    let limits = shared::Limits { timeout_seconds: 1.0, ..TEST_LIMITS };
    let late = harness::run(&engine, &format!("{write}time.sleep(60)"), limits).await;
    assert_eq!(late.verdict.outcome, Outcome::WallTimeExceeded);
    assert!(late.verdict.artifacts.is_empty());
    close(engine).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_storage_there_is_no_such_directory() {
    let engine = engine(1).await;
    let run = run(&engine, "import os\nprint(os.path.exists('/output'))").await;
    assert_eq!((run.stdout.as_str(), run.verdict.artifacts.len()), ("False\n", 0));
    close(engine).await;
}
