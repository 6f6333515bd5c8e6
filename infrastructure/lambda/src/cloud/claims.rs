//! Claims: one of several workers, or of several deliveries of one ticket, gets an evaluation.

use http::StatusCode;
use jiff::Timestamp;
use shared::Job;
use shared::evaluation::{Evaluation, SandboxInfo, Status};
use shared::http::Problem;
use stage_10_frontier_events::{ClaimReply, ClaimRequest};

use super::row::{RUNNING, Row, key, millis_in, status_text};
use super::table::{Change, number, text};
use super::transitions::while_running;
use super::workers::{Caller, MemberError};
use super::{Cloud, CloudError};

/// Random bytes of a token.
const TOKEN_BYTES: usize = 16;

/// Why a claim is refused.
#[derive(Debug, thiserror::Error)]
pub(super) enum ClaimError {
    /// Of a worker that is none.
    #[error(transparent)]
    Member(#[from] MemberError),
    /// The worker removes the ticket: it stands for nothing that this worker may run.
    #[error("{0}")]
    Refused(&'static str),
    /// The storage failed.
    #[error(transparent)]
    Cloud(#[from] CloudError),
}

impl From<ClaimError> for Problem {
    fn from(error: ClaimError) -> Self {
        match error {
            ClaimError::Member(error) => error.into(),
            ClaimError::Refused(_) => Self::new(StatusCode::CONFLICT, error.to_string()),
            ClaimError::Cloud(error) => error.into(),
        }
    }
}

impl Cloud {
    // ANCHOR: claim
    /// Gives a worker what its ticket stands for: the write that succeeds once decides.
    pub(super) async fn claim(
        &self,
        caller: &Caller,
        request: &ClaimRequest,
    ) -> Result<ClaimReply, ClaimError> {
        let member = self.member(caller).await?;
        let refused = || ClaimError::Refused("it does not wait");
        let row = self.row(request.evaluation).await?.ok_or_else(refused)?;
        if let Some(reply) = self.repeated(&row, caller, request).await? {
            return Ok(reply);
        }
        if row.status != Status::Queued || row.attempt != request.attempt {
            return Err(refused());
        }
        if !member.environments.contains_key(row.environment()) {
            return Err(ClaimError::Refused("this worker does not have its environment"));
        }
        let token = random_token()?;
        // Before the claim: a token that is no session's yet opens nothing.
        self.note_session(caller, &token, row.id).await?;
        let evaluation = started(self.record(&row).await?, member.sandbox);
        let change = Change::when("#status = :queued AND #attempt = :attempt")
            .with("queued", text(status_text(Status::Queued)))
            .with("attempt", number(row.attempt))
            .set("status", text(status_text(Status::Running)))
            .set("token", text(&*token))
            .set("claim", text(request.claim.to_string()))
            .set("worker", text(caller.worker.to_string()))
            .set("queue", text(RUNNING))
            .set("due", number(millis_in(self.options.lease)))
            .set("stdout_at", number(0))
            .set("stderr_at", number(0))
            .set("parts", number(0));
        let change = self.with_record(change, &evaluation).await?;
        if self.table.update(&key(row.id), change).await?.is_some() {
            tracing::info!(id = %row.id, attempt = row.attempt, "evaluation started");
            return Ok(ClaimReply { token, job: self.job(&row).await? });
        }
        // Another was first, or this one's own write whose answer was lost.
        let row = self.row(request.evaluation).await?.ok_or_else(refused)?;
        self.repeated(&row, caller, request).await?.ok_or_else(refused)
    }
    // ANCHOR_END: claim

    /// The session of a claim that is made again because its answer was lost. Its worker counts the lease from now.
    async fn repeated(
        &self,
        row: &Row,
        caller: &Caller,
        request: &ClaimRequest,
    ) -> Result<Option<ClaimReply>, CloudError> {
        let (worker, claim) = (caller.worker.to_string(), request.claim.to_string());
        let is_same = row.status == Status::Running
            && row.text("worker") == Some(&*worker)
            && row.text("claim") == Some(&*claim);
        let Some(token) = row.text("token").filter(|_| is_same) else { return Ok(None) };
        let renewed = while_running(token).set("due", number(millis_in(self.options.lease)));
        if self.table.update(&key(row.id), renewed).await?.is_none() {
            return Ok(None);
        }
        Ok(Some(ClaimReply { token: token.to_owned(), job: self.job(row).await? }))
    }

    async fn job(&self, row: &Row) -> Result<Job, CloudError> {
        Ok(Job { id: row.id, attempt: row.attempt, submission: self.submission(row).await? })
    }
}

/// An evaluation that runs from now on.
fn started(mut evaluation: Evaluation, sandbox: SandboxInfo) -> Evaluation {
    let now = Timestamp::now();
    let waited = now.as_millisecond() - evaluation.timing.submitted_at.as_millisecond();
    evaluation.status = Status::Running;
    evaluation.sandbox = Some(sandbox);
    evaluation.timing.started_at = Some(now);
    evaluation.timing.queue_wait_ms = Some(u64::try_from(waited).unwrap_or_default());
    evaluation
}

fn random_token() -> Result<String, CloudError> {
    let mut bytes = [0; TOKEN_BYTES];
    getrandom::fill(&mut bytes).map_err(|_| CloudError::Random)?;
    Ok(data_encoding::HEXLOWER.encode(&bytes))
}
