//! From the end of a program to the verdict: each step can be repeated by the next start.

use std::sync::Arc;
use std::time::Duration;

use shared::{Evaluation, Evaluations as _, EvaluationsError, Outcome, RequestContext, Submission};
use uuid::Uuid;

use super::table::{self, Verdict};
use super::{Verifications, evaluated};
use crate::batches::internal;
use crate::failpoint::failpoint;
use crate::store::StoreError;

/// How long one wait for an evaluation is. Then the next begins.
const WAIT_TIMEOUT: Duration = Duration::from_hours(1);
/// The longest time after which a verifier that was refused is submitted again, in seconds.
const MAX_RETRY_SECONDS: u64 = 30;

/// A verdict, or why there is none.
type Decision = Result<Verdict, String>;

impl Verifications {
    /// Follows a verification to its verdict, independently of the client that has requested it.
    pub(super) fn spawn(self: &Arc<Self>, id: Uuid, members: Vec<Uuid>) {
        let verifications = Arc::clone(self);
        tokio::spawn(async move {
            match verifications.run(id, &members).await {
                Ok(()) => verifications.decided.notify_waiters(),
                Err(error) => {
                    let error: &dyn std::error::Error = &error;
                    tracing::warn!(%id, error, "a verification goes on at the next start");
                }
            }
        });
    }

    async fn run(&self, id: Uuid, members: &[Uuid]) -> Result<(), EvaluationsError> {
        let program = *members.first().ok_or(EvaluationsError::NotFound)?;
        let decision = match self.follow(id, program, members.get(1).copied()).await? {
            Ok(verifier) => judge(self.ended_one(verifier).await?),
            Err(reason) => Err(reason),
        };
        let (verdict, error) = match decision {
            Ok(verdict) => (verdict, None),
            Err(reason) => (Verdict::Error, Some(reason)),
        };
        tracing::info!(%id, ?verdict, "verification ended");
        let decide = move |database: &_| table::decide(database, id, verdict, error.as_deref());
        self.groups.store.write(decide).await.map_err(internal)
    }

    // ANCHOR: follow
    /// The id of the verifier, which is accepted when the program has ended, unless it was before a restart.
    async fn follow(
        &self,
        id: Uuid,
        program: Uuid,
        chosen: Option<Uuid>,
    ) -> Result<Result<Uuid, String>, EvaluationsError> {
        let store = &self.groups.store;
        let planned = store.read(move |database| table::verifier(database, id)).await;
        let verifier = chosen.unwrap_or_else(Uuid::now_v7);
        let Some((submission, context)) = planned.map_err(internal)? else {
            return Ok(Ok(verifier));
        };
        if chosen.is_none() || !self.is_there(verifier).await? {
            let ended = self.ended_one(program).await?;
            let submission = match self.with_evaluated(submission, ended).await? {
                Ok(submission) => submission,
                Err(reason) => return Ok(Err(reason)),
            };
            if chosen.is_none() {
                let choose = move |database: &_| table::choose_id(database, id, verifier);
                store.write(choose).await.map_err(internal)?;
            }
            failpoint("verifications.before_accept").map_err(internal)?;
            self.accept(&context, verifier, submission).await?;
            failpoint("verifications.after_accept").map_err(internal)?;
        }
        store.write(move |database| table::accepted(database, id)).await.map_err(internal)?;
        Ok(Ok(verifier))
    }
    // ANCHOR_END: follow

    /// The verifier with what the program has left. The error is for people: nothing can be decided about it.
    async fn with_evaluated(
        &self,
        mut verifier: Submission,
        ended: Option<Evaluation>,
    ) -> Result<Result<Submission, String>, EvaluationsError> {
        let Some(ended) = ended else {
            return Ok(Err("the evaluation of the program is no longer stored".to_owned()));
        };
        if let Err(reason) = has_run(&ended) {
            return Ok(Err(reason));
        }
        let storage = self.storage.clone();
        let storage = storage.ok_or_else(|| internal(StoreError::Closed))?;
        let artifacts = storage.artifacts(ended.id).await.map_err(internal)?.unwrap_or_default();
        let add = move || {
            let added = evaluated::add_to(&mut verifier, &ended, &artifacts, &storage.files())?;
            Ok::<_, StoreError>(added.map(|()| verifier))
        };
        let added = tokio::task::spawn_blocking(add).await;
        added.map_err(|error| EvaluationsError::Internal(error.into()))?.map_err(internal)
    }

    /// Accepts the verifier for the client of the pair, as soon as its quota and the queue have room.
    async fn accept(
        &self,
        context: &RequestContext,
        id: Uuid,
        submission: Submission,
    ) -> Result<(), EvaluationsError> {
        loop {
            let accepted = self.groups.intake.accept_as(context, vec![(id, submission.clone())]);
            match accepted.await {
                Err(EvaluationsError::Refused(refusal)) => {
                    let seconds = refusal.retry_after.unwrap_or(1).clamp(1, MAX_RETRY_SECONDS);
                    tokio::time::sleep(Duration::from_secs(seconds)).await;
                }
                accepted => return accepted.map(drop),
            }
        }
    }

    async fn is_there(&self, id: Uuid) -> Result<bool, EvaluationsError> {
        match self.groups.intake.tasks.get(&RequestContext::internal(), id).await {
            Ok(_) => Ok(true),
            Err(EvaluationsError::NotFound) => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// An evaluation, when it has ended. None when it is no longer stored.
    async fn ended_one(&self, id: Uuid) -> Result<Option<Evaluation>, EvaluationsError> {
        loop {
            match self.groups.intake.tasks.wait(&RequestContext::internal(), id, WAIT_TIMEOUT).await
            {
                Ok(evaluation) if evaluation.status.is_final() => return Ok(Some(evaluation)),
                Ok(_) => {}
                Err(EvaluationsError::NotFound) => return Ok(None),
                Err(error) => return Err(error),
            }
        }
    }
}

/// Whether a program ran until it, or a limit, ended it. What else has ended it says nothing about the program.
fn has_run(ended: &Evaluation) -> Result<(), String> {
    match ended.outcome {
        Some(Outcome::Exited | Outcome::Signaled) => Ok(()),
        Some(outcome) if outcome.is_limit() => Ok(()),
        outcome => Err(format!("the program did not run to its end: {}", name(outcome))),
    }
}

/// What a verifier that has ended says. Only its own exit code does.
fn judge(verifier: Option<Evaluation>) -> Decision {
    let Some(ended) = verifier else {
        return Err("the evaluation of the verifier is no longer stored".to_owned());
    };
    match (ended.outcome, ended.exit_code) {
        (Some(Outcome::Exited), Some(0)) => Ok(Verdict::Passed),
        (Some(Outcome::Exited), Some(_)) => Ok(Verdict::Failed),
        (outcome, _) => Err(format!("the verifier did not run to its end: {}", name(outcome))),
    }
}

fn name(outcome: Option<Outcome>) -> &'static str {
    outcome.map_or("unknown", Outcome::as_str)
}
