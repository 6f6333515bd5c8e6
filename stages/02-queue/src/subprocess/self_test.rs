//! The self tests of the engine: each property is checked with a real program on this machine.

use std::time::Duration;

use shared::component::{CheckResult, SelfTestError, SelfTestResult};
use shared::{
    BoxFuture, Engine, Job, Limits, Outcome, OutputBuffer, Stream, Submission, TestCase,
    TestableComponent, Verdict,
};
use tokio_util::sync::CancellationToken;

use super::SubprocessEngine;

/// Small enough that each check takes a second at most. The time is for a machine under load, where
/// one second of processor time takes many.
const LIMITS: Limits = Limits {
    timeout_seconds: 50.0,
    cpu_seconds: 50.0,
    memory_bytes: 128 << 20,
    pids: 64,
    output_bytes: 64 << 10,
    disk_bytes: 1 << 20,
    open_files: 64,
};

impl TestableComponent for SubprocessEngine {
    fn name(&self) -> &'static str {
        "subprocess engine"
    }

    fn self_test(&self) -> BoxFuture<'_, SelfTestResult> {
        Box::pin(async {
            let (verdict, output) = self.run_once("print(6 * 7)", LIMITS).await;
            if verdict.outcome == Outcome::WallTimeExceeded {
                let late = format!("a program had no end within {} s", LIMITS.timeout_seconds);
                return Err(SelfTestError::TimedOut(late));
            }
            expect(&verdict, Outcome::Exited, output == "42\n")?;
            Ok(format!("{} printed 42; nothing isolates it from the host", self.python()))
        })
    }

    fn test_suite(&self) -> Vec<TestCase<'_>> {
        let case = |name, code, limits, outcome| {
            TestCase::new(name, async move {
                let (verdict, _) = self.run_once(code, limits).await;
                expect(&verdict, outcome, true)?;
                Ok(format!("decided by {}", verdict.evidence.decided_by))
            })
        };
        let short = Limits { timeout_seconds: 0.5, ..LIMITS };
        let little = Limits { cpu_seconds: 1.0, ..LIMITS };
        vec![
            case("an endless program is ended", "while 1: pass", short, Outcome::WallTimeExceeded),
            case("processor time is limited", "while 1: pass", little, Outcome::CpuTimeExceeded),
            case("endless output is ended", "while 1: print(9)", LIMITS, Outcome::OutputExceeded),
            case("a crash is seen", "import os; os.abort()", LIMITS, Outcome::Signaled),
            case("memory is limited", "bytearray(1 << 31)", LIMITS, Outcome::MemoryExceeded),
            TestCase::new(
                "file size is limited",
                self.refuses("open('f', 'wb').write(bytes(2 << 20))", "File too large"),
            ),
            TestCase::new("the whole process group is ended", self.ends_the_group()),
        ]
    }
}

impl SubprocessEngine {
    fn python(&self) -> std::path::Display<'_> {
        self.python.display()
    }

    /// Runs `code`, and returns the verdict and the output.
    async fn run_once(&self, code: &str, limits: Limits) -> (Verdict, String) {
        let job = Job::first(Submission::new(code, limits));
        let output = OutputBuffer::new(limits.output_bytes, Box::new(|_, _, _| {}));
        let verdict = self.evaluate(&job, &output, CancellationToken::new()).await;
        let text = |stream| output.output(stream).text;
        let [stdout, stderr] = [Stream::Stdout, Stream::Stderr].map(text);
        (verdict, stdout + &stderr)
    }

    /// Checks that `code` ends with Python's `error`.
    async fn refuses(&self, code: &'static str, error: &'static str) -> CheckResult {
        let (verdict, output) = self.run_once(code, LIMITS).await;
        expect(&verdict, Outcome::Exited, verdict.exit_code == Some(1) && output.contains(error))?;
        Ok(format!("Python was refused: {error}"))
    }

    async fn ends_the_group(&self) -> CheckResult {
        // An engine that waited for the child would reach the time limit of the program.
        let code = "import subprocess; print(subprocess.Popen(['sleep', '300']).pid)";
        let (verdict, output) = self.run_once(code, LIMITS).await;
        expect(&verdict, Outcome::Exited, true)?;
        // A killed process takes a moment to end; a zombie has ended.
        for _ in 0..1000 {
            let stat = std::fs::read_to_string(format!("/proc/{}/stat", output.trim()));
            if stat.is_err() || stat.is_ok_and(|stat| stat.contains(") Z ")) {
                return Ok("the child ended with its parent".to_owned());
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        Err(format!("the child {} goes on", output.trim()))
    }
}

fn expect(verdict: &Verdict, outcome: Outcome, also: bool) -> Result<(), String> {
    if verdict.outcome == outcome && also {
        Ok(())
    } else {
        let (got, by) = (verdict.outcome.as_str(), &verdict.evidence.decided_by);
        let why = verdict.error.as_deref().map_or(String::new(), |error| format!(": {error}"));
        let code = verdict.exit_code.map_or(String::new(), |code| format!(" {code}"));
        Err(format!("expected {}, got {got}{code} by {by}{why}", outcome.as_str()))
    }
}
