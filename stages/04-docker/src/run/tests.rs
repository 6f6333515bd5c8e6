//! Programs that have the nonce, in real containers. Init keeps it from them, so that here an init
//! without its protection runs: what follows holds even then.

use shared::{Engine as _, Job, Limits, Outcome, OutputBuffer, Stream, Submission, Verdict};
use tokio_util::sync::CancellationToken;

use crate::{DockerArgs, DockerEngine, PROBE_LIMITS, RUNC};

/// Finds the nonce in the memory of init, as `line(words)`.
const FIND_NONCE: &str = r"
import os, re, time
mem, found = open('/proc/1/mem', 'rb', 0), set()
for line in open('/proc/1/maps'):
    if ' rw-p ' not in line: continue
    start, end = (int(x, 16) for x in line.split()[0].split('-'))
    mem.seek(start)
    found.update(re.findall(rb'(?<![0-9a-f])[0-9a-f]{32}(?![0-9a-f])', mem.read(end - start)))
assert found
def forge(fd, words):
    for nonce in found: os.write(fd, nonce + b' ' + words + b'\n')
";

async fn engine() -> DockerEngine {
    DockerEngine::start(&DockerArgs::default(), RUNC)
        .await
        .expect("run infrastructure/setup/setup.sh first")
}

/// Takes the protection of init's memory out.
async fn unprotected_engine() -> DockerEngine {
    let mut engine = engine().await;
    let init = &mut engine.launcher.profile.init;
    let without = init.replace("(4, 0, 0, 0, 0)", "(4, 1, 0, 0, 0)");
    assert_ne!(*init, without);
    *init = without;
    engine
}

async fn run(engine: &DockerEngine, code: &str, limits: Limits) -> (Verdict, [String; 2]) {
    let job = Job::first(Submission::new(code, limits));
    let buffer = OutputBuffer::new(limits.output_bytes, Box::new(|_, _, _| {}));
    let verdict = engine.evaluate(&job, &buffer, CancellationToken::new()).await;
    (verdict, [Stream::Stdout, Stream::Stderr].map(|stream| buffer.output(stream).text))
}

/// The control of the tests below: with the protection there is no nonce to find.
#[tokio::test(flavor = "multi_thread")]
async fn init_keeps_the_nonce() {
    let engine = engine().await;
    let (verdict, [_, stderr]) = run(&engine, FIND_NONCE, PROBE_LIMITS).await;
    engine.close().await;
    assert_eq!(verdict.exit_code, Some(1));
    assert!(stderr.contains("PermissionError"), "{stderr}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_program_that_has_the_nonce_gains_an_exit_code_alone() {
    let engine = unprotected_engine().await;
    let limits = PROBE_LIMITS;
    // Not legal while the program runs: the lines are its output, and it goes on.
    let forge = "for fd in 1, 2:\n    for words in b'begin', b'refused [Errno 28] \\x1b[31m', \
                 b'nonsense', b'exit 256', b'':\n        forge(fd, words)\n\
                 forge(1, b'exit 0'); forge(1, b'signal 9'); forge(2, b'end')\nraise SystemExit(3)";
    let (verdict, output) = run(&engine, &format!("{FIND_NONCE}{forge}"), limits).await;
    assert_eq!((verdict.outcome, verdict.exit_code), (Outcome::Exited, Some(3)), "{verdict:?}");
    for text in output {
        let lines = text.lines().filter(|line| line.ends_with(" begin")).count();
        assert!(lines >= 1 && text.contains("refused [Errno 28] \x1b[31m"), "{text}");
    }
    // Legal, once: the program has chosen how it ends, as it can by ending.
    let forge = "forge(1, b'end'); forge(2, b'exit 7'); forge(2, b'signal 9'); forge(2, b'begin')\n\
                 while True: pass";
    let (verdict, _) = run(&engine, &format!("{FIND_NONCE}{forge}"), limits).await;
    assert_eq!((verdict.outcome, verdict.exit_code), (Outcome::Exited, Some(7)), "{verdict:?}");
    engine.close().await;
}

/// A start that is reported again starts neither the clock nor the counters again.
#[tokio::test(flavor = "multi_thread")]
async fn a_forged_start_restarts_nothing() {
    let engine = unprotected_engine().await;
    let burn = "import threading\ndef again():\n    while True: forge(2, b'begin'); time.sleep(.2)\n\
                threading.Thread(target=again).start()\nwhile True:\n    child = os.fork()\n    \
                if not child:\n        end = time.process_time() + .1\n        \
                while time.process_time() < end: pass\n        os._exit(0)\n    os.waitpid(child, 0)";
    let code = format!("{FIND_NONCE}{burn}");
    let limits = Limits { cpu_seconds: 1.0, timeout_seconds: 30.0, ..PROBE_LIMITS };
    let (verdict, output) = run(&engine, &code, limits).await;
    assert_eq!(verdict.outcome, Outcome::CpuTimeExceeded, "{verdict:?} {output:?}");
    let used = verdict.usage.and_then(|usage| usage.cpu_ms).unwrap();
    assert!((1000..2000).contains(&used), "{used}");
    let sleep = format!("{FIND_NONCE}while True: forge(2, b'begin'); time.sleep(.2)");
    let limits = Limits { timeout_seconds: 1.5, ..PROBE_LIMITS };
    let (verdict, _) = run(&engine, &sleep, limits).await;
    assert_eq!(verdict.outcome, Outcome::WallTimeExceeded, "{verdict:?}");
    let wall = verdict.usage.unwrap().wall_ms;
    assert!(wall >= 1500, "the time-out counts from the start, not from a forged one: {wall}");
    engine.close().await;
}
