//! A session: one evaluation that a worker has claimed.

use std::time::Duration;

use shared::{Job, SandboxInfo, Verdict};
use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::Instant;
use uuid::Uuid;

use super::wire::{FileRequest, Piece};

/// Reports of one session that wait for its engine: few, so that a worker that sends faster than output is stored
/// waits with its next request.
const REPORT_CAPACITY: usize = 2;

/// Where a session is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Phase {
    /// Claimed; its start is being committed.
    Claimed,
    /// Its start is committed, and the worker may run the program.
    Running,
    /// The worker has reported the end, which is being committed.
    Reported,
    /// The end is committed.
    Recorded,
    /// It never started: the evaluation had ended before.
    Refused,
    /// Its lease has expired, or the platform gave it up.
    Lost,
}

/// What a worker reports, with a channel for the answer.
pub(super) struct Report {
    pub(super) content: Content,
    pub(super) answer: oneshot::Sender<Result<(), ReportError>>,
}

pub(super) enum Content {
    Output(Vec<Piece>),
    File(FileRequest),
    Ended { pieces: Vec<Piece>, file_parts: u64, verdict: Box<Verdict>, excess_bytes: [u64; 2] },
}

/// Why a report is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(super) enum ReportError {
    /// The token is none, or not any more.
    #[error(
        "the session is not this worker's, or not any more: end the program and drop its result"
    )]
    Fenced,
    /// Something before it is missing.
    #[error("a report before this one is missing: {0}")]
    Gap(String),
    /// It cannot be what a program has left.
    #[error("not a file that may be taken: {0}")]
    File(&'static str),
    /// The end is not committed yet.
    #[error("the end is not committed yet; send it again")]
    Later,
}

/// One claimed evaluation.
pub(super) struct Session {
    pub(super) token: String,
    pub(super) worker: Uuid,
    pub(super) claim: Uuid,
    pub(super) job: Job,
    pub(super) sandbox: SandboxInfo,
    /// The lease. Renewed by each sync that names the token.
    pub(super) until: Instant,
    pub(super) is_cancelled: bool,
    pub(super) phase: watch::Sender<Phase>,
    pub(super) reports: mpsc::Sender<Report>,
    /// Taken by the engine.
    pub(super) inbox: Option<mpsc::Receiver<Report>>,
}

impl Session {
    pub(super) fn new(
        token: String,
        (worker, claim): (Uuid, Uuid),
        job: Job,
        sandbox: SandboxInfo,
        lease: Duration,
    ) -> Self {
        let (reports, inbox) = mpsc::channel(REPORT_CAPACITY);
        let phase = watch::Sender::new(Phase::Claimed);
        let until = Instant::now() + lease;
        Self {
            token,
            worker,
            claim,
            job,
            sandbox,
            until,
            is_cancelled: false,
            phase,
            reports,
            inbox: Some(inbox),
        }
    }

    /// Its worker has given a sign of life.
    pub(super) fn renew(&mut self, lease: Duration) {
        self.until = Instant::now() + lease;
    }

    pub(super) fn phase(&self) -> Phase {
        *self.phase.borrow()
    }

    /// Whether its lease can expire now: once the end is reported, the worker is not needed any more.
    pub(super) fn is_leased(&self) -> bool {
        matches!(self.phase(), Phase::Claimed | Phase::Running)
    }
}
