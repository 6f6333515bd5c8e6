//! From the end of a program to the verdict: each step can be repeated by the next start.

use std::sync::Arc;
use std::time::Duration;

use http::StatusCode;
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
/// After an error that may pass, such as a full disk, a verification goes on after this; each further delay is twice as
/// long, up to the second.
const ERROR_DELAYS: [Duration; 2] = [Duration::from_secs(1), Duration::from_mins(1)];

/// A verdict, or why there is none.
type Decision = Result<Verdict, String>;

/// What became of a verifier that was submitted.
enum Submitted {
    Accepted,
    /// There is no room for it now.
    Refused {
        retry_after: Duration,
    },
    /// For people: nothing can be decided about the program.
    Undecidable(String),
}

impl Verifications {
    /// Follows a verification to its verdict, independently of the client that has requested it.
    pub(super) fn spawn(self: &Arc<Self>, id: Uuid) {
        let verifications = Arc::clone(self);
        tokio::spawn(async move {
            let [mut delay, max] = ERROR_DELAYS;
            while let Err(error) = verifications.run(id).await {
                let is_closed = verifications.groups.store.is_closed();
                report(id, &error, is_closed);
                if is_closed {
                    return;
                }
                tokio::time::sleep(delay).await;
                delay = (delay * 2).min(max);
            }
            verifications.decided.notify_waiters();
        });
    }

    async fn run(&self, id: Uuid) -> Result<(), EvaluationsError> {
        let members = self.groups.store.read(move |database| table::members(database, id)).await;
        let members = members.map_err(internal)?;
        let Some(&program) = members.first() else { return Ok(()) };
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
        let is_planned = store.read(move |database| table::is_planned(database, id)).await;
        let verifier = chosen.unwrap_or_else(Uuid::now_v7);
        if !is_planned.map_err(internal)? {
            return Ok(Ok(verifier));
        }
        if chosen.is_none() || !self.is_there(verifier).await? {
            self.ended_one(program).await?;
            if chosen.is_none() {
                let choose = move |database: &_| table::choose_id(database, id, verifier);
                store.write(choose).await.map_err(internal)?;
            }
            loop {
                match self.submit_verifier(id, program, verifier).await? {
                    Submitted::Accepted => break,
                    Submitted::Refused { retry_after } => tokio::time::sleep(retry_after).await,
                    Submitted::Undecidable(reason) => return Ok(Err(reason)),
                }
            }
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

    /// Submits the verifier for the client of the pair. Attack: a client whose quota is used up submits thousands of
    /// pairs, whose verifiers wait in memory → one that is refused is dropped, and read again; so many are read at once.
    async fn submit_verifier(
        &self,
        id: Uuid,
        program: Uuid,
        verifier: Uuid,
    ) -> Result<Submitted, EvaluationsError> {
        let permit = self.submitting.acquire().await;
        let _permit = permit.map_err(|error| EvaluationsError::Internal(error.into()))?;
        let planned = self.groups.store.read(move |database| table::verifier(database, id)).await;
        let Some((submission, context)) = planned.map_err(internal)? else {
            return Ok(Submitted::Accepted);
        };
        let ended = self.ended_one(program).await?;
        let submission = match self.with_evaluated(submission, ended).await? {
            Ok(submission) => submission,
            Err(reason) => return Ok(Submitted::Undecidable(reason)),
        };
        failpoint("verifications.before_accept").map_err(internal)?;
        match self.groups.intake.accept_as(&context, vec![(verifier, submission)]).await {
            Ok(_) => {}
            Err(EvaluationsError::Refused(refusal)) => {
                let status = refusal.status;
                if status.is_client_error() && status != StatusCode::TOO_MANY_REQUESTS {
                    let reason = format!("the verifier was refused: {}", refusal.detail);
                    return Ok(Submitted::Undecidable(reason));
                }
                let seconds = refusal.retry_after.unwrap_or(1).clamp(1, MAX_RETRY_SECONDS);
                return Ok(Submitted::Refused { retry_after: Duration::from_secs(seconds) });
            }
            Err(error) => return Err(error),
        }
        failpoint("verifications.after_accept").map_err(internal)?;
        Ok(Submitted::Accepted)
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

fn report(id: Uuid, error: &EvaluationsError, is_closed: bool) {
    let (error, next): (&dyn std::error::Error, _) =
        (error, if is_closed { "at the next start" } else { "in a moment" });
    tracing::warn!(%id, error, "a verification goes on {next}");
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
