//! An engine for the checks of a queue: it runs nothing.
//!
//! A queue is checked by what it does with its jobs, so that no program has to run for it: the check
//! takes no sandbox from a client, and its result does not depend on the load of the machine.

use shared::component::SelfTestResult;
use shared::{
    BoxFuture, Engine, Evidence, Job, Outcome, OutputBuffer, SandboxInfo, Stream, TestCase,
    TestableComponent, Verdict,
};
use tokio_util::sync::CancellationToken;

/// A program that runs until it is cancelled.
pub(super) const ENDLESS: &str = "endless";

/// Runs [`ENDLESS`] until it is cancelled. Every other program exits at once with 0, and its output
/// is its code.
pub(super) struct ScriptedEngine;

impl TestableComponent for ScriptedEngine {
    fn name(&self) -> &'static str {
        "scripted engine"
    }

    fn self_test(&self) -> BoxFuture<'_, SelfTestResult> {
        Box::pin(async { Ok("it runs nothing".to_owned()) })
    }

    fn test_suite(&self) -> Vec<TestCase<'_>> {
        Vec::new()
    }
}

impl Engine for ScriptedEngine {
    fn sandbox(&self) -> SandboxInfo {
        SandboxInfo { engine: "scripted".to_owned(), ..SandboxInfo::default() }
    }

    fn evaluate<'a>(
        &'a self,
        job: &'a Job,
        buffer: &'a OutputBuffer,
        cancel: CancellationToken,
    ) -> BoxFuture<'a, Verdict> {
        Box::pin(async move {
            if job.submission.code == ENDLESS {
                cancel.cancelled().await;
                return Verdict::new(Outcome::Cancelled, Evidence::new("cancelled"));
            }
            let evidence = Evidence::new("exit_status");
            match buffer.push(Stream::Stdout, job.submission.code.as_bytes()) {
                Ok(()) => Verdict { exit_code: Some(0), ..Verdict::new(Outcome::Exited, evidence) },
                Err(_) => Verdict::new(Outcome::OutputExceeded, evidence),
            }
        })
    }
}
