//! The trait of every engine: what runs a program.

use serde::{Deserialize, Serialize};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::{
    Artifact, BoxFuture, Evidence, Outcome, OutputBuffer, SandboxInfo, TestableComponent, Usage,
};
use crate::{Status, Submission, harmless};

/// One program to run. It serialises, so that it can be sent to a worker elsewhere.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Job {
    /// The evaluation it belongs to.
    pub id: Uuid,
    /// 1 for the first run of the program.
    pub attempt: u32,
    /// What was submitted, with the effective limits.
    pub submission: Submission,
}

impl Job {
    /// The first run of `submission`, under a new id: for self tests and for the command line.
    pub fn first(submission: Submission) -> Self {
        Self { id: Uuid::now_v7(), attempt: 1, submission }
    }
}

/// How a run ended, as the engine observed it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Verdict {
    /// How it ended.
    pub outcome: Outcome,
    /// The program's exit code, when it had one.
    pub exit_code: Option<i32>,
    /// The signal that ended the program, when one did.
    pub signal: Option<String>,
    /// What it cost, when the engine knows.
    pub usage: Option<Usage>,
    /// What decided the outcome.
    pub evidence: Evidence,
    /// What went wrong inside the platform.
    pub error: Option<String>,
    /// The files that the program left behind.
    #[serde(skip)]
    pub artifacts: Vec<Artifact>,
}

impl Verdict {
    /// A verdict by `evidence`, with nothing else known.
    pub fn new(outcome: Outcome, evidence: Evidence) -> Self {
        let (exit_code, signal, usage, error) = (None, None, None, None);
        Self { outcome, exit_code, signal, usage, evidence, error, artifacts: Vec::new() }
    }

    /// The verdict for an error of the platform, which the program has no part in. The client reads
    /// the text.
    pub fn engine_error(error: impl std::fmt::Display) -> Self {
        let (evidence, error) = (Evidence::new("engine"), Some(harmless(&error.to_string())));
        Self { error, ..Self::new(Outcome::EngineError, evidence) }
    }

    /// The verdict for a run whose worker is gone, for this reason.
    pub fn worker_lost(decided_by: &str, error: impl Into<String>) -> Self {
        let evidence = Evidence::new(decided_by);
        Self { error: Some(harmless(&error.into())), ..Self::new(Outcome::WorkerLost, evidence) }
    }

    /// The status that the evaluation gets with this verdict.
    pub fn status(&self) -> Status {
        self.outcome.status()
    }
}

// ANCHOR: engine
/// Runs one untrusted program per call of `evaluate`, within limits, and reports how it ended.
///
/// Every call ends with a [`Verdict`]: an error inside the engine is [`Outcome::EngineError`], never
/// a panic and never a hang. Everything that an engine waits for has a deadline.
pub trait Engine: TestableComponent {
    /// What isolates a program from the machine.
    fn sandbox(&self) -> SandboxInfo;

    /// The same for one job: an engine that chooses among others overrides this.
    fn sandbox_for(&self, _job: &Job) -> SandboxInfo {
        self.sandbox()
    }

    /// Runs `job`, pushes its output into `output` as it is read, and ends the program when `cancel`
    /// is cancelled, when the buffer is full, or when a limit is reached.
    ///
    /// Cancel safety: the future may be dropped at any point. The engine must then still remove
    /// everything it started; a caller that can wait should cancel the token instead.
    fn evaluate<'a>(
        &'a self,
        job: &'a Job,
        output: &'a OutputBuffer,
        cancel: CancellationToken,
    ) -> BoxFuture<'a, Verdict>;

    /// Removes everything that the engine has on the machine. Called once, after the last run.
    fn close(&self) -> BoxFuture<'_, ()> {
        Box::pin(async {})
    }
}
// ANCHOR_END: engine
