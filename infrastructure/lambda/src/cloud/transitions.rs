//! The transitions of an evaluation that more than one part makes: its end, and the way back into the queue.

use jiff::Timestamp;
use sha2::{Digest as _, Sha256};
use shared::evaluation::{Evaluation, Evidence, Outcome, Status};
use shared::{Artifact, Verdict};
use stage_10_frontier_events::Ticket;
use uuid::Uuid;

use super::row::{QUEUED, Row, UNPUBLISHED, expected, key, millis_in, status_text};
use super::table::{Change, number, text};
use super::{Cloud, CloudError};

/// Bytes of the hash that stands for an owner.
const GROUP_BYTES: usize = 8;

/// What became of an attempt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Ended {
    /// The evaluation has ended.
    Recorded,
    /// It waits for its next attempt.
    Requeued,
    /// Another process was first.
    Fenced,
}

/// The hash that stands for an owner in its tickets.
pub(super) fn group_of(owner: &str) -> String {
    data_encoding::HEXLOWER.encode(&Sha256::digest(owner.as_bytes())[..GROUP_BYTES])
}

/// What a running evaluation becomes with a verdict.
pub(super) fn ended(
    evaluation: Evaluation,
    verdict: Verdict,
    artifacts: Vec<Artifact>,
) -> Evaluation {
    let mut timing = evaluation.timing;
    timing.finished_at = Some(Timestamp::now());
    Evaluation {
        status: verdict.status(),
        outcome: Some(verdict.outcome),
        exit_code: verdict.exit_code,
        signal: verdict.signal,
        usage: verdict.usage,
        evidence: Some(verdict.evidence),
        error: verdict.error,
        timing,
        artifacts,
        ..evaluation
    }
}

/// The condition of the end of a session: it is still this one's.
pub(super) fn while_running(token: &str) -> Change {
    Change::when("#status = :running AND #token = :token")
        .with("running", text(status_text(Status::Running)))
        .with("token", text(token))
}

/// The same, and its lease is still the one that has expired.
pub(super) fn while_lost(token: &str, due: i64) -> Change {
    Change::when("#status = :running AND #token = :token AND #due = :due")
        .with("running", text(status_text(Status::Running)))
        .with("token", text(token))
        .with("due", number(due))
}

impl Cloud {
    /// Ends an evaluation, if the condition of `change` holds. False when it does not.
    pub(super) async fn end(
        &self,
        row: &Row,
        change: Change,
        evaluation: &Evaluation,
    ) -> Result<bool, CloudError> {
        let change = change
            .set("status", text(status_text(evaluation.status)))
            .remove("token")
            .remove("queue")
            .remove("due");
        let change = self.with_record(change, evaluation).await?;
        let is_ended = self.table.update(&key(row.id), change).await?.is_some();
        if is_ended {
            let outcome = evaluation.outcome.map(Outcome::as_str);
            let (id, attempt) = (row.id, row.attempt);
            tracing::info!(%id, attempt, outcome, "evaluation ended");
        }
        Ok(is_ended)
    }

    /// Ends an attempt whose worker is lost: the evaluation waits again, if its submission allows another one and its
    /// client has not cancelled it.
    pub(super) async fn lose(
        &self,
        row: &Row,
        change: Change,
        verdict: Verdict,
    ) -> Result<Ended, CloudError> {
        let evaluation = self.record(row).await?;
        let verdict = if row.is_cancelled() {
            Verdict::new(Outcome::Cancelled, Evidence::new("cancelled"))
        } else if row.attempt < row.number("max_attempts") {
            return self.requeue(row, change, evaluation).await;
        } else {
            verdict
        };
        let is_ended = self.end(row, change, &ended(evaluation, verdict, Vec::new())).await?;
        Ok(if is_ended { Ended::Recorded } else { Ended::Fenced })
    }

    async fn requeue(
        &self,
        row: &Row,
        change: Change,
        mut evaluation: Evaluation,
    ) -> Result<Ended, CloudError> {
        let attempt = row.attempt + 1;
        (evaluation.status, evaluation.attempt) = (Status::Queued, attempt);
        evaluation.sandbox = Some(expected(self.options.engine));
        evaluation.timing.started_at = None;
        evaluation.timing.queue_wait_ms = None;
        let change = change
            .set("status", text(status_text(Status::Queued)))
            .set("attempt", number(attempt))
            .set("queue", text(UNPUBLISHED))
            .set("due", number(millis_in(self.options.republish)))
            .remove("token");
        let change = self.with_record(change, &evaluation).await?;
        if self.table.update(&key(row.id), change).await?.is_none() {
            return Ok(Ended::Fenced);
        }
        let id = row.id;
        tracing::info!(%id, attempt, "evaluation resumed");
        self.publish(row, attempt).await;
        Ok(Ended::Requeued)
    }

    // ANCHOR: publish
    /// Publishes the ticket of what is committed. One that is not published now is published by the sweep.
    pub(super) async fn publish(&self, row: &Row, attempt: u32) -> bool {
        let ticket = Ticket {
            evaluation: row.id,
            attempt,
            environment: row.environment().to_owned(),
            group: row.text("group").map(str::to_owned),
        };
        if let Err(error) = self.broker.publish(&ticket).await {
            let cause = std::error::Error::source(&error).map(ToString::to_string);
            tracing::warn!(%error, cause, id = %row.id, "a ticket was not published; the sweep does it");
            return false;
        }
        if let Err(error) = self.note_published(row.id, attempt).await {
            tracing::warn!(%error, id = %row.id, "a ticket will be published again");
        }
        true
    }
    // ANCHOR_END: publish

    async fn note_published(&self, id: Uuid, attempt: u32) -> Result<(), CloudError> {
        // What was claimed meanwhile has a lease there.
        let change = Change::when("#status = :queued AND #attempt = :attempt")
            .with("queued", text(status_text(Status::Queued)))
            .with("attempt", number(attempt))
            .set("queue", text(QUEUED))
            .set("due", number(millis_in(self.options.republish)));
        self.table.update(&key(id), change).await.map(drop)
    }
}
