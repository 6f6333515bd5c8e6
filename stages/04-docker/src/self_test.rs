//! The engine verifies itself: each property is checked with a real program in a real container.
//!
//! What can be observed from outside is observed from outside. What a program inside reports counts
//! only where it reports that an attempt failed.

mod programs;

use std::fmt;
use std::time::{Duration, Instant};

use shared::Hint;
use shared::component::{CheckResult, SelfTestError, SelfTestResult};
use shared::{
    BoxFuture, Engine, Job, Limits, Outcome, OutputBuffer, Stream, Submission, TestCase,
    TestableComponent, Verdict, harmless,
};
use tokio_util::sync::CancellationToken;

use crate::daemon::DaemonError;
use crate::engine::{DockerEngine, PROBE_LIMITS};
use crate::error_chain::error_chain;
use crate::isolation_check::IsolationError;
use crate::outcome::Stop;
pub use programs::ATTACKS_ON_INIT;
use programs::{
    ENVIRONMENT, FORKS, FULL, HOLES, HOST_FACTS, INIT_IS_CLOSED, NETWORK, NO_EXEC, READ_ONLY,
    RESOLVER, SYSTEM_CALLS,
};

/// When an evaluation is cancelled, from its start.
const CANCEL_DELAY: Duration = Duration::from_secs(1);
/// How long a cancelled evaluation may take, from its start. It takes a fraction of a second on an
/// idle machine, and its limit is later.
const CANCEL_TIMEOUT: Duration = Duration::from_secs(15);
/// The longest part of a program's output in a result.
const MAX_OUTPUT_CHARS: usize = 400;

/// How a program must end for a check to pass.
#[derive(Debug, Clone, Copy)]
pub enum Expected {
    /// With exit code 0 and this text on standard output.
    Stdout(&'static str),
    /// With this exit code of its own.
    ExitCode(i32),
    /// With this outcome.
    Outcome(Outcome),
}

impl fmt::Display for Expected {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Stdout(text) => write!(f, "exit code 0 and the output {text:?}"),
            Self::ExitCode(code) => write!(f, "exit code {code}"),
            Self::Outcome(outcome) => f.write_str(outcome.as_str()),
        }
    }
}

/// The name of a check, its program, the limits, and the expected end.
type OutcomeCheck = (&'static str, &'static str, Limits, Expected);

/// Properties of every engine with a sandbox, whatever its runtime.
const COMMON_CHECKS: [OutcomeCheck; 15] = [
    (
        "an exit code is the program's own",
        "raise SystemExit(2)",
        PROBE_LIMITS,
        Expected::ExitCode(2),
    ),
    (
        "exit code 137 is no signal",
        "import os; os._exit(137)",
        PROBE_LIMITS,
        Expected::ExitCode(137),
    ),
    (
        "a signal is a signal",
        "import os; os.kill(os.getpid(), 9)",
        PROBE_LIMITS,
        Expected::Outcome(Outcome::Signaled),
    ),
    ("the network is off", NETWORK, PROBE_LIMITS, Expected::Stdout("off")),
    ("the root is read-only", READ_ONLY, PROBE_LIMITS, Expected::Stdout("read-only")),
    ("nothing in scratch space can be run", NO_EXEC, PROBE_LIMITS, Expected::Stdout("refused")),
    ("scratch space is bounded", FULL, PROBE_LIMITS, Expected::Stdout("full")),
    ("a file with holes is bounded", HOLES, PROBE_LIMITS, Expected::Stdout("too large")),
    ("the environment is empty", ENVIRONMENT, PROBE_LIMITS, Expected::Stdout("empty")),
    (
        "the resolver is not the host's",
        RESOLVER,
        PROBE_LIMITS,
        Expected::Stdout("nameserver 127.0.0.1"),
    ),
    ("init is closed to the program", INIT_IS_CLOSED, PROBE_LIMITS, Expected::Stdout("closed")),
    (
        "an endless program is ended",
        "while 1: pass",
        SHORT_WALL_TIME,
        Expected::Outcome(Outcome::WallTimeExceeded),
    ),
    (
        "processor time is limited",
        "while 1: pass",
        SHORT_CPU_TIME,
        Expected::Outcome(Outcome::CpuTimeExceeded),
    ),
    (
        "endless output is ended",
        "while 1: print('x' * 999)",
        PROBE_LIMITS,
        Expected::Outcome(Outcome::OutputExceeded),
    ),
    (
        "memory is limited",
        "bytearray(1 << 30)",
        PROBE_LIMITS,
        Expected::Outcome(Outcome::MemoryExceeded),
    ),
];

/// Properties of a container on the host's own kernel alone: gVisor's kernel behaves differently.
const RUNC_CHECKS: [OutcomeCheck; 3] = [
    ("no system call beyond the list", SYSTEM_CALLS, PROBE_LIMITS, Expected::Stdout("refused")),
    (
        "nothing in /proc and /sys tells about the host",
        HOST_FACTS,
        PROBE_LIMITS,
        Expected::Stdout("nothing"),
    ),
    ("a refused process is named", FORKS, PROBE_LIMITS, Expected::Outcome(Outcome::PidsExceeded)),
];

const SHORT_WALL_TIME: Limits = Limits { timeout_seconds: 0.5, ..PROBE_LIMITS };
const SHORT_CPU_TIME: Limits = Limits { cpu_seconds: 0.5, ..PROBE_LIMITS };

impl TestableComponent for DockerEngine {
    fn name(&self) -> &'static str {
        "docker engine"
    }

    fn self_test(&self) -> BoxFuture<'_, SelfTestResult> {
        Box::pin(async {
            self.verify_isolation().await.map_err(|error| {
                let error = SelfTestError::from(error);
                // A client may read the result; paths and ids of the host are for the log.
                tracing::warn!(%error, "the isolation is not verified");
                let what =
                    "the isolation of a container could not be verified; the log has the reason";
                match error {
                    SelfTestError::TimedOut(_) => SelfTestError::TimedOut(what.to_owned()),
                    SelfTestError::Broken(_) => SelfTestError::Broken(what.to_owned()),
                }
            })
        })
    }

    fn test_suite(&self) -> Vec<TestCase<'_>> {
        let own = RUNC_CHECKS.iter().map(|&(name, code, limits, expected)| {
            check_outcome(self, name, code, limits, expected)
        });
        common_suite(self).into_iter().chain(own).collect()
    }
}

/// What was found, the causes and the hint, as a self test reports them.
impl From<IsolationError> for SelfTestError {
    fn from(error: IsolationError) -> Self {
        let text = error_chain(&error);
        let text = error.hint().map_or(text.clone(), |hint| format!("{text}\n  hint: {hint}"));
        // What came too late shows nothing of the isolation: the machine may be busy.
        match error {
            IsolationError::Daemon(DaemonError::Timeout { .. })
            | IsolationError::ProgramFailed {
                stop: Stop::WallTimeout | Stop::EngineError(_),
                ..
            } => Self::TimedOut(text),
            _ => Self::Broken(text),
        }
    }
}

/// The checks of what every engine with a sandbox must do.
pub fn common_suite(engine: &dyn Engine) -> Vec<TestCase<'_>> {
    let mut cases: Vec<_> = COMMON_CHECKS
        .iter()
        .map(|&(name, code, limits, expected)| check_outcome(engine, name, code, limits, expected))
        .collect();
    cases.push(TestCase::new("one long write arrives whole", check_long_write(engine)));
    cases.push(TestCase::new("the next program finds nothing", check_nothing_is_left(engine)));
    cases.push(TestCase::new("a cancelled program ends at once", check_cancel(engine)));
    cases
}

/// The check that `code` ends as expected.
pub fn check_outcome<'a>(
    engine: &'a dyn Engine,
    name: &'static str,
    code: &'static str,
    limits: Limits,
    expected: Expected,
) -> TestCase<'a> {
    TestCase::new(name, async move {
        let (verdict, output) = run_once(engine, code, limits).await;
        let passed = match expected {
            Expected::Stdout(text) => verdict.exit_code == Some(0) && output.trim_end() == text,
            Expected::ExitCode(code) => {
                verdict.outcome == Outcome::Exited && verdict.exit_code == Some(code)
            }
            Expected::Outcome(outcome) => verdict.outcome == outcome,
        };
        if passed {
            Ok(format!("decided by {}", verdict.evidence.decided_by))
        } else {
            let output: String = output.chars().take(MAX_OUTPUT_CHARS).collect();
            Err(format!("expected {expected}, got {}\n{output}", describe(&verdict)))
        }
    })
}

/// Runs `code`, and returns the verdict and its output, standard output first.
pub async fn run_once(engine: &dyn Engine, code: &str, limits: Limits) -> (Verdict, String) {
    run_with_cancel(engine, code, limits, CancellationToken::new()).await
}

async fn run_with_cancel(
    engine: &dyn Engine,
    code: &str,
    limits: Limits,
    cancel: CancellationToken,
) -> (Verdict, String) {
    let job = Job::first(Submission::new(code, limits));
    let buffer = OutputBuffer::new(limits.output_bytes, Box::new(|_, _, _| {}));
    let verdict = engine.evaluate(&job, &buffer, cancel).await;
    let [stdout, stderr] =
        [Stream::Stdout, Stream::Stderr].map(|stream| buffer.output(stream).text);
    (verdict, harmless(&(stdout + &stderr)))
}

/// A verdict in one line.
fn describe(verdict: &Verdict) -> String {
    let mut text = format!("{} by {}", verdict.outcome.as_str(), verdict.evidence.decided_by);
    if let Some(code) = verdict.exit_code {
        text = format!("{text}, exit code {code}");
    }
    verdict.error.as_ref().map_or(text.clone(), |error| format!("{text}: {error}"))
}

async fn check_long_write(engine: &dyn Engine) -> CheckResult {
    let limits = Limits { output_bytes: 1 << 20, ..PROBE_LIMITS };
    let (verdict, output) = run_once(engine, "print('x' * 200_000)", limits).await;
    if output.len() == 200_001 && verdict.exit_code == Some(0) {
        Ok("200,001 bytes".to_owned())
    } else {
        Err(format!("{} bytes of 200,001 arrived: {}", output.len(), describe(&verdict)))
    }
}

async fn check_nothing_is_left(engine: &dyn Engine) -> CheckResult {
    let code = "import os; print(sorted(os.listdir('/tmp') + os.listdir('/dev/shm')))\n\
                open('/tmp/left', 'w'); open('/dev/shm/left', 'w')";
    for _ in 0..2 {
        let (verdict, output) = run_once(engine, code, PROBE_LIMITS).await;
        if output.trim_end() != "['main.py']" {
            return Err(format!("a fresh sandbox has {output}: {}", describe(&verdict)));
        }
    }
    Ok("the second program did not see what the first had written".to_owned())
}

async fn check_cancel(engine: &dyn Engine) -> CheckResult {
    let cancel = CancellationToken::new();
    let started_at = Instant::now();
    let delayed = async {
        tokio::time::sleep(CANCEL_DELAY).await;
        cancel.cancel();
    };
    let run = run_with_cancel(engine, "while 1: pass", PROBE_LIMITS, cancel.clone());
    let ((verdict, _), ()) = tokio::join!(run, delayed);
    let elapsed = started_at.elapsed();
    if verdict.outcome == Outcome::Cancelled && elapsed < CANCEL_TIMEOUT {
        Ok(format!("after {} ms, cancelled after 1,000", elapsed.as_millis()))
    } else {
        Err(format!("after {} ms: {}", elapsed.as_millis(), describe(&verdict)))
    }
}
