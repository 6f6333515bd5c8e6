//! Accepts evaluations under one id, and finds them by it: what batches, comparisons and verifications share.

use std::sync::Arc;

use futures_util::{StreamExt as _, stream};
use http::{HeaderValue, StatusCode, header};
use jiff::Timestamp;
use serde::Serialize;
use serde_json::{Value, json as value};
use shared::http::{MatchedRequest, Problem, Response, json};
use shared::submission::InvalidSubmission;
use shared::{Evaluations as _, EvaluationsError, RequestContext, Submission};
use stage_06_advanced::Platform;
use stage_08_openapi::parsed_body;
use uuid::Uuid;

use super::options::SubmitOptions;
use super::table::{self, BatchKind, Row};
use crate::accounts::{Intake, Keys, spawn};
use crate::audit;
use crate::environments::Selection;
use crate::idempotency::{Begin, Kind};
use crate::store::{Connection, Store, StoreError};

/// Cancellations at one moment: they share flushes to the disk.
const MAX_CANCELLING: usize = 64;

/// Evaluations that belong together.
pub(crate) struct Groups {
    pub(crate) store: Arc<Store>,
    pub(crate) intake: Arc<Intake>,
    pub(crate) keys: Arc<Keys>,
    pub(crate) platform: Arc<Platform>,
    pub(crate) selection: Arc<Selection>,
}

/// What is accepted under one id.
pub(crate) struct Plan {
    pub(crate) kind: BatchKind,
    /// What a comparison is of.
    pub(crate) detail: String,
    /// What is accepted now, all or nothing.
    pub(crate) submissions: Vec<(SubmitOptions, Submission)>,
    /// What is accepted when the first one has ended.
    pub(crate) follower: Option<Follower>,
    /// How the audit log has it.
    pub(crate) action: &'static str,
}

type PlanFollower = fn(&Connection, Uuid, &Submission, &RequestContext) -> Result<(), StoreError>;

/// What follows the first evaluation of a batch.
pub(crate) struct Follower {
    pub(crate) submission: (SubmitOptions, Submission),
    /// Writes it beside the batch, in the same transaction.
    pub(crate) plan: PlanFollower,
    /// Called when the batch is accepted, also if its client has gone: starts what waits for the first one.
    pub(crate) start: Box<dyn FnOnce(&Row) + Send>,
}

impl Groups {
    /// What `parse` makes of the JSON body of a request. It may be large: no thread that serves is kept.
    pub(crate) async fn parsed<T: Send + 'static>(
        &self,
        request: &mut MatchedRequest,
        parse: fn(Value, &Selection) -> Result<T, InvalidSubmission>,
    ) -> Result<T, Problem> {
        let body = Self::body(request)?;
        let selection = Arc::clone(&self.selection);
        let parsed = tokio::task::spawn_blocking(move || parse(body, &selection)).await;
        Ok(parsed.map_err(|error| Problem::internal(&error))??)
    }

    /// The JSON body of a request.
    fn body(request: &mut MatchedRequest) -> Result<Value, InvalidSubmission> {
        parsed_body(request).map_err(|error| InvalidSubmission::Malformed(error.to_string()))
    }

    /// Refuses work while a part of the platform fails its test.
    pub(crate) fn check_health(&self) -> Result<(), Problem> {
        if self.platform.health().all_passed() {
            return Ok(());
        }
        let detail = "a part of the platform fails its test; GET /status says which";
        let problem = Problem::new(StatusCode::SERVICE_UNAVAILABLE, detail);
        Err(problem.with_header(header::RETRY_AFTER, 5))
    }

    // ANCHOR: accept
    /// Accepts a batch, or returns the one that the first request with the same key has made.
    pub(crate) async fn accept(
        self: &Arc<Self>,
        context: &RequestContext,
        plan: Plan,
    ) -> Result<Row, EvaluationsError> {
        let Plan { kind, detail, submissions, follower, action } = plan;
        let with_options = |(options, mut submission): (SubmitOptions, Submission)| {
            options.store_in(&mut submission, context);
            submission
        };
        let submissions: Vec<_> =
            submissions.into_iter().map(|one| (Uuid::now_v7(), with_options(one))).collect();
        let follower = follower
            .map(|Follower { submission, plan, start }| (with_options(submission), plan, start));
        // As precise as it is stored: the second answer has the same as the first.
        let now = Timestamp::now();
        let row = Row {
            id: Uuid::now_v7(),
            owner: context.principal.clone().unwrap_or_default(),
            created_at: Timestamp::from_microsecond(now.as_microsecond()).unwrap_or(now),
            kind,
            detail,
            members: submissions.iter().map(|(id, _)| *id).collect(),
        };
        let mut record = None;
        if let Some(key) = &context.idempotency_key {
            let request = submissions.iter().map(|(_, submission)| submission);
            let request: Vec<_> =
                request.chain(follower.as_ref().map(|(submission, ..)| submission)).collect();
            let (owner, plan) = (context.principal.as_deref(), (Kind::Batch, row.id));
            let request = fingerprint(kind, &row.detail, &request);
            match self.intake.idempotency.begin(owner, key, &request, plan).await? {
                Begin::Replay(id) => return self.find(context, kind, id).await,
                Begin::New(new) => record = Some(new),
            }
        }
        let (groups, context) = (Arc::clone(self), context.clone());
        spawn(async move {
            let (follower, start) = match follower {
                Some((submission, plan, start)) => (Some((submission, plan)), Some(start)),
                None => (None, None),
            };
            let planned = Planned { row: row.clone(), submissions, follower, action };
            let accepted = groups.commit(&context, planned).await;
            if let (Ok(()), Some(start)) = (&accepted, start) {
                start(&row);
            }
            match (record, &accepted) {
                (Some(record), Ok(())) => groups.intake.idempotency.complete(record).await,
                (Some(record), Err(_)) => groups.intake.idempotency.forget(record).await,
                (None, _) => {}
            }
            accepted.map(|()| row)
        })
        .await
    }

    /// The batch is planned first, and its evaluations are accepted in one transaction: after a crash
    /// in between, `table::recover` finds both or neither.
    async fn commit(
        &self,
        context: &RequestContext,
        planned: Planned,
    ) -> Result<(), EvaluationsError> {
        let Planned { row, submissions, follower, action } = planned;
        let (id, of_request) = (row.id, context.clone());
        let plan = self.store.write(move |database| {
            table::plan(database, &row)?;
            if let Some((submission, plan)) = follower {
                plan(database, id, &submission, &of_request)?;
            }
            Ok(())
        });
        plan.await.map_err(internal)?;
        let detail = value!({ "evaluations": submissions.len() });
        if let Err(refused) = self.intake.accept_as(context, submissions).await {
            let discarded = self.store.write(move |database| table::discard(database, id)).await;
            if let Err(error) = discarded {
                tracing::warn!(%error, "a batch that was refused is removed at the next start");
            }
            return Err(refused);
        }
        let entry = Intake::entry(context, action, id, &detail);
        let accept = self.store.write(move |database| {
            table::accept(database, id)?;
            entry.map(|entry| audit::table::append(database, &entry)).transpose()
        });
        accept.await.map(drop).map_err(internal)
    }
    // ANCHOR_END: accept

    /// The batch of this kind and id, if the principal of the request may see it.
    pub(crate) async fn find(
        &self,
        context: &RequestContext,
        kind: BatchKind,
        id: Uuid,
    ) -> Result<Row, EvaluationsError> {
        let found = self.store.read(move |database| table::get(database, id)).await;
        let row = found.map_err(internal)?.filter(|row| row.kind == kind);
        let row = row.ok_or(EvaluationsError::NotFound)?;
        match context.principal.as_deref() {
            Some(key) if key != row.owner && !self.keys.is_admin(key) => {
                Err(EvaluationsError::NotFound)
            }
            _ => Ok(row),
        }
    }

    /// Cancels these evaluations. What has ended, or is not there, stays as it is.
    pub(crate) async fn cancel(
        &self,
        context: &RequestContext,
        ids: Vec<Uuid>,
    ) -> Result<(), EvaluationsError> {
        let platform = &self.platform;
        let cancel_one = move |id: Uuid| async move { platform.cancel(context, id).await };
        let ids = stream::iter(ids);
        let mut cancellations = Box::pin(ids.map(cancel_one).buffer_unordered(MAX_CANCELLING));
        while let Some(result) = cancellations.next().await {
            match result {
                Ok(_) | Err(EvaluationsError::NotFound | EvaluationsError::AlreadyEnded(_)) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }
}

/// A batch with ids, before it is accepted.
struct Planned {
    row: Row,
    submissions: Vec<(Uuid, Submission)>,
    follower: Option<(Submission, PlanFollower)>,
    action: &'static str,
}

/// What makes a request the same one again. That of a batch is as it always was: a key is remembered for hours, also
/// over the start of a newer version.
fn fingerprint(kind: BatchKind, detail: &str, submissions: &[&Submission]) -> Value {
    match kind {
        BatchKind::Batch => value!(submissions),
        _ => value!([kind, detail, submissions]),
    }
}

/// 200 for what has ended, and 202 for what has not, with its place and the wait that was honoured.
pub(crate) fn accepted(
    has_ended: bool,
    location: &str,
    wait: Option<std::time::Duration>,
    answer: &impl Serialize,
) -> Result<Response, Problem> {
    let status = if has_ended { StatusCode::OK } else { StatusCode::ACCEPTED };
    let mut response = json(status, answer)?;
    let value = |text: &str| HeaderValue::from_str(text).map_err(|error| Problem::internal(&error));
    response.headers_mut().insert(header::LOCATION, value(location)?);
    if let Some(limit) = wait {
        let applied = format!("wait={}", limit.as_secs());
        response.headers_mut().insert("preference-applied", value(&applied)?);
    }
    Ok(response)
}

pub(crate) fn internal(error: StoreError) -> EvaluationsError {
    EvaluationsError::Internal(error.into())
}
