//! The trait of everything that runs a program.

use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::{BoxFuture, Evidence, Outcome, OutputBuffer, SandboxInfo, TestableComponent, Usage};
use crate::{Status, Submission};

/// One program to run.
#[derive(Debug, Clone)]
pub struct Job {
    /// The evaluation this is for.
    pub id: Uuid,
    /// What was submitted, with the limits to hold it to.
    pub submission: Submission,
}

/// How a run ended, as the engine saw it.
#[derive(Debug, Clone, PartialEq)]
pub struct Verdict {
    /// How it ended.
    pub outcome: Outcome,
    /// The program's own exit code, when it had one.
    pub exit_code: Option<i32>,
    /// The signal it died of, when it did.
    pub signal: Option<String>,
    /// What it cost, when the engine knows.
    pub usage: Option<Usage>,
    /// What decided the outcome.
    pub evidence: Evidence,
    /// What went wrong inside the platform.
    pub error: Option<String>,
}

impl Verdict {
    /// A verdict by `evidence`, with nothing else known.
    pub fn new(outcome: Outcome, evidence: Evidence) -> Self {
        Self { outcome, exit_code: None, signal: None, usage: None, evidence, error: None }
    }

    /// The verdict for a fault of the platform: the program had no part in it.
    pub fn engine_error(error: impl std::fmt::Display) -> Self {
        let evidence = Evidence::new("engine");
        Self { error: Some(error.to_string()), ..Self::new(Outcome::EngineError, evidence) }
    }

    /// The status the evaluation takes with this verdict.
    pub fn status(&self) -> Status {
        self.outcome.status()
    }
}

// ANCHOR: engine
/// Something that runs one program at a time for each call, within limits, and says how it ended.
///
/// An engine answers every call with a [`Verdict`]: what goes wrong inside it is
/// [`Outcome::EngineError`], never a panic and never a hang. It has a deadline of its own for
/// everything that it asks of the outside.
pub trait Engine: TestableComponent {
    /// What stands between a program and the machine.
    fn sandbox(&self) -> SandboxInfo;

    /// Runs `job`, hands all output to `buffer` as it comes, and ends the program when `cancel`
    /// fires, when the buffer is full, or when a limit is reached.
    ///
    /// Cancel safety: the future may be dropped at any point. The engine must then still take away
    /// what it started; a caller that can wait should fire `cancel` instead.
    fn evaluate<'a>(
        &'a self,
        job: &'a Job,
        buffer: &'a OutputBuffer,
        cancel: CancellationToken,
    ) -> BoxFuture<'a, Verdict>;

    /// Takes away whatever the engine still has on the machine. Called once, after the last run.
    fn close(&self) -> BoxFuture<'_, ()> {
        Box::pin(async {})
    }
}
// ANCHOR_END: engine
