//! Engines and components in the test's own process: a fake engine, one run, one verification.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use shared::component::SelfTestResult;
use shared::{
    Artifact, BoxFuture, Engine, Evidence, Job, Limits, Outcome, OutputBuffer, SandboxInfo, Stream,
    Submission, TestCase, TestableComponent, Verdict,
};
use tokio_util::sync::CancellationToken;

/// Limits that no well-behaved test program reaches.
pub const TEST_LIMITS: Limits = Limits {
    timeout_seconds: 20.0,
    cpu_seconds: 20.0,
    memory_bytes: 256 << 20,
    pids: 64,
    output_bytes: 1 << 20,
    disk_bytes: 16 << 20,
    open_files: 256,
};

/// One program's verdict and output.
#[derive(Debug)]
pub struct Run {
    /// The engine's verdict.
    pub verdict: Verdict,
    /// Standard output, as far as the limit lets it be retained.
    pub stdout: String,
    /// Standard error, likewise.
    pub stderr: String,
}

/// Runs `code` on `engine` within `limits`.
pub async fn run(engine: &dyn Engine, code: &str, limits: Limits) -> Run {
    run_submission(engine, Submission::new(code, limits)).await
}

/// Runs `submission` on `engine`.
pub async fn run_submission(engine: &dyn Engine, submission: Submission) -> Run {
    let buffer = OutputBuffer::new(submission.limits.output_bytes, Box::new(|_, _, _| {}));
    let job = Job::first(submission);
    let verdict = engine.evaluate(&job, &buffer, CancellationToken::new()).await;
    let [stdout, stderr] =
        [Stream::Stdout, Stream::Stderr].map(|stream| buffer.output(stream).text);
    Run { verdict, stdout, stderr }
}

/// Runs the self test and the whole suite of `component`.
///
/// # Panics
///
/// With every check that failed.
pub async fn assert_verifies(component: &dyn TestableComponent) {
    let mut failed: Vec<_> =
        component.self_test().await.err().map(|why| ("self test", why)).into_iter().collect();
    for TestCase { name, run } in component.test_suite() {
        failed.extend(run.await.err().map(|why| (name, why)));
    }
    assert!(failed.is_empty(), "{failed:#?}");
}

/// An engine that runs nothing, and behaves as the test configures it.
///
/// By default it reports at once that the program exited with 0, and passes its self test.
#[derive(Debug)]
pub struct FakeEngine {
    outcome: Outcome,
    output: String,
    delay: Duration,
    ignores_cancel: bool,
    panics_on: Option<String>,
    artifacts: Vec<Artifact>,
    unhealthy: AtomicBool,
    runs: AtomicUsize,
}

impl Default for FakeEngine {
    fn default() -> Self {
        Self {
            outcome: Outcome::Exited,
            output: String::new(),
            delay: Duration::ZERO,
            ignores_cancel: false,
            panics_on: None,
            artifacts: Vec::new(),
            unhealthy: AtomicBool::new(false),
            runs: AtomicUsize::new(0),
        }
    }
}

impl FakeEngine {
    /// An engine whose programs exit with 0 at once.
    pub fn new() -> Self {
        Self::default()
    }

    /// The outcome of every program.
    #[must_use]
    pub fn outcome(self, outcome: Outcome) -> Self {
        Self { outcome, ..self }
    }

    /// What every program writes to standard output before the delay.
    #[must_use]
    pub fn output(self, output: impl Into<String>) -> Self {
        Self { output: output.into(), ..self }
    }

    /// The files that every program leaves.
    #[must_use]
    pub fn artifacts(self, artifacts: Vec<Artifact>) -> Self {
        Self { artifacts, ..self }
    }

    /// How long every program runs. `Duration::MAX` is without end.
    #[must_use]
    pub fn delay(self, delay: Duration) -> Self {
        Self { delay, ..self }
    }

    /// Breaks the contract: a cancelled program runs on.
    #[must_use]
    pub fn ignores_cancel(self) -> Self {
        Self { ignores_cancel: true, ..self }
    }

    /// Breaks the contract: every evaluation panics.
    #[must_use]
    pub fn panics(self) -> Self {
        self.panics_on("")
    }

    /// Breaks the contract: the evaluation of a program that contains `code` panics.
    #[must_use]
    pub fn panics_on(self, code: impl Into<String>) -> Self {
        Self { panics_on: Some(code.into()), ..self }
    }

    /// Makes the self test fail from now on, or pass again.
    pub fn set_unhealthy(&self, unhealthy: bool) {
        self.unhealthy.store(unhealthy, Ordering::Relaxed);
    }

    /// How many programs were started.
    pub fn runs(&self) -> usize {
        self.runs.load(Ordering::Relaxed)
    }

    async fn verdict(&self, buffer: &OutputBuffer, cancel: CancellationToken) -> Verdict {
        if buffer.push(Stream::Stdout, self.output.as_bytes()).is_err() {
            return Verdict::new(Outcome::OutputExceeded, Evidence::new("fake"));
        }
        let run = async {
            match self.delay {
                Duration::ZERO => {}
                Duration::MAX => std::future::pending().await,
                delay => tokio::time::sleep(delay).await,
            }
        };
        if self.ignores_cancel {
            run.await;
        } else if cancel.run_until_cancelled(run).await.is_none() {
            return Verdict::new(Outcome::Cancelled, Evidence::new("fake"));
        }
        let exit_code = (self.outcome == Outcome::Exited).then_some(0);
        let artifacts = self.artifacts.clone();
        Verdict { exit_code, artifacts, ..Verdict::new(self.outcome, Evidence::new("fake")) }
    }
}

impl TestableComponent for FakeEngine {
    fn name(&self) -> &'static str {
        "fake engine"
    }

    fn self_test(&self) -> BoxFuture<'_, SelfTestResult> {
        let unhealthy = self.unhealthy.load(Ordering::Relaxed);
        Box::pin(async move {
            if unhealthy { Err("made to fail".to_owned().into()) } else { Ok("healthy".to_owned()) }
        })
    }

    fn test_suite(&self) -> Vec<TestCase<'_>> {
        Vec::new()
    }
}

impl Engine for FakeEngine {
    fn sandbox(&self) -> SandboxInfo {
        SandboxInfo { engine: "fake".to_owned(), ..SandboxInfo::default() }
    }

    fn evaluate<'a>(
        &'a self,
        job: &'a Job,
        buffer: &'a OutputBuffer,
        cancel: CancellationToken,
    ) -> BoxFuture<'a, Verdict> {
        self.runs.fetch_add(1, Ordering::Relaxed);
        if let Some(code) = &self.panics_on {
            assert!(!job.submission.code.contains(code), "this engine is made to panic");
        }
        Box::pin(self.verdict(buffer, cancel))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_fake_engine_behaves_as_configured() {
        let engine = FakeEngine::new().output("1\n").delay(Duration::from_secs(3));
        let started = tokio::time::Instant::now();
        let exited = run(&engine, "", TEST_LIMITS).await;
        assert_eq!((exited.verdict.exit_code, exited.stdout.as_str()), (Some(0), "1\n"));
        assert_eq!((started.elapsed().as_secs(), engine.runs()), (3, 1));
        let engine = FakeEngine::new().outcome(Outcome::MemoryExceeded);
        assert_eq!(run(&engine, "", TEST_LIMITS).await.verdict.outcome, Outcome::MemoryExceeded);
        let one_byte = Limits { output_bytes: 1, ..TEST_LIMITS };
        let full = run(&FakeEngine::new().output("ab"), "", one_byte).await;
        assert_eq!((full.verdict.outcome, full.stdout.as_str()), (Outcome::OutputExceeded, "a"));
    }

    #[tokio::test(start_paused = true)]
    async fn a_fake_engine_ends_on_cancel_unless_it_ignores_it() {
        let cancelled = CancellationToken::new();
        cancelled.cancel();
        let buffer = OutputBuffer::new(1, Box::new(|_, _, _| {}));
        let engine = FakeEngine::new().delay(Duration::MAX);
        let verdict = engine.verdict(&buffer, cancelled.clone()).await;
        assert_eq!(verdict.outcome, Outcome::Cancelled);
        let engine = engine.ignores_cancel();
        let verdict = engine.verdict(&buffer, cancelled);
        let waited = tokio::time::timeout(Duration::from_hours(1), verdict).await;
        assert!(waited.is_err(), "it ended");
    }

    #[tokio::test]
    #[should_panic(expected = "made to fail")]
    async fn a_component_that_fails_is_reported() {
        let engine = FakeEngine::new();
        assert_verifies(&engine).await;
        engine.set_unhealthy(true);
        assert_verifies(&engine).await;
    }

    #[tokio::test]
    #[should_panic(expected = "made to panic")]
    async fn a_fake_engine_panics_when_configured() {
        let engine = FakeEngine::new().panics_on("boom");
        let exited = run(&engine, "", TEST_LIMITS).await;
        assert_eq!(exited.verdict.outcome, Outcome::Exited);
        drop(run(&engine, "boom()", TEST_LIMITS).await);
    }
}
