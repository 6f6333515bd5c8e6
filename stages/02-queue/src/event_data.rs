//! The data of the events that this stage emits, by type.

use serde::{Deserialize, Serialize};
use shared::evaluation::Encoding;
use shared::{Evidence, Outcome, SandboxInfo, Stream, Usage};

/// The data of [`shared::EventType::EvaluationQueued`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct QueuedData {
    /// Evaluations that wait now, this one included.
    pub depth: usize,
}

/// The data of [`shared::EventType::EvaluationStarted`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StartedData {
    /// 1 for the first run of the program.
    pub attempt: u32,
    /// How long it waited for a worker, in milliseconds.
    pub queue_wait_ms: u64,
    /// Where it runs.
    pub sandbox: SandboxInfo,
}

/// The data of [`shared::EventType::EvaluationProgress`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProgressData {
    /// The stream that the program wrote to.
    pub stream: Stream,
    /// Where the text begins in that stream, in bytes.
    pub offset: u64,
    /// The bytes, in the given encoding.
    pub text: String,
    /// How `text` stands for the bytes.
    pub encoding: Encoding,
}

/// The data of the events that end an evaluation.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct EndedData {
    /// How it ended.
    pub outcome: Outcome,
    /// The program's exit code, when it had one.
    pub exit_code: Option<i32>,
    /// The signal that ended the program, when one did.
    pub signal: Option<String>,
    /// What it cost.
    pub usage: Option<Usage>,
    /// What decided the outcome.
    pub evidence: Evidence,
    /// What went wrong inside the platform.
    pub error: Option<String>,
    /// The engine that ran it, or would have.
    pub engine: String,
}

/// The data of [`shared::EventType::WorkerStarted`] and [`shared::EventType::WorkerStopped`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct WorkerData {
    /// The number of the worker, from 1.
    pub worker: usize,
}
