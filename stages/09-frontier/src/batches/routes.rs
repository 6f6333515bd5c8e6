//! Batches: up to a thousand evaluations that are accepted together, and found by one id.

use std::collections::HashMap;
use std::sync::Arc;

use futures_util::{StreamExt as _, stream};
use http::{HeaderValue, Method, StatusCode, header};
use jiff::Timestamp;
use serde::Serialize;
use serde_json::json as value;
use shared::http::{
    BodyPolicy, MatchedRequest, ParsedJson, Problem, Response, Router, StatefulRouter, json,
};
use shared::submission::InvalidSubmission;
use shared::{Evaluations as _, EvaluationsError, Page, RequestContext, Submission};
use stage_02_queue::{MAX_PAGE_BYTES, page_response};
use stage_06_advanced::Platform;
use uuid::Uuid;

use super::options::SubmitOptions;
use super::table::{self, Row};
use super::wire::parse;
use crate::accounts::{Intake, Keys, spawn};
use crate::audit::{self, actions};
use crate::environments::Selection;
use crate::idempotency::{Begin, Kind};
use crate::store::{Store, StoreError};

/// The largest body of `POST /batches`, in bytes. The contract has the same number.
const MAX_BODY_BYTES: usize = 16 << 20;
/// Evaluations on one page of the results.
const DEFAULT_PAGE_SIZE: usize = 20;
const MAX_PAGE_SIZE: usize = 100;
/// Cancellations at one moment: they share flushes to the disk.
const MAX_CANCELLING: usize = 64;

/// What batches are connected to.
pub struct BatchParts {
    /// Where they are stored.
    pub store: Arc<Store>,
    /// What accepts their evaluations.
    pub intake: Arc<Intake>,
    /// Which keys see all of them.
    pub keys: Arc<Keys>,
    /// What their submissions may choose, and their bounds.
    pub selection: Selection,
}

/// Accepts batches, and finds what became of them.
pub struct Batches {
    store: Arc<Store>,
    intake: Arc<Intake>,
    keys: Arc<Keys>,
    platform: Arc<Platform>,
    selection: Arc<Selection>,
}

impl BatchParts {
    /// Batches of `platform`. What a crash has left is decided first.
    ///
    /// # Errors
    ///
    /// When the database cannot be used.
    pub async fn start(self, platform: &Arc<Platform>) -> Result<Arc<Batches>, StoreError> {
        let Self { store, intake, keys, selection } = self;
        store.write(table::recover).await?;
        intake.idempotency.recover().await?;
        let platform = Arc::clone(platform);
        Ok(Arc::new(Batches { store, intake, keys, platform, selection: Arc::new(selection) }))
    }
}

/// A batch as clients see it.
#[derive(Debug, Serialize)]
struct Batch {
    id: Uuid,
    status: &'static str,
    created_at: Timestamp,
    total: usize,
    counts: Counts,
    evaluations: Vec<Uuid>,
}

/// How many evaluations are where.
#[derive(Debug, Default, PartialEq, Eq, Serialize)]
struct Counts {
    queued: usize,
    running: usize,
    completed: usize,
    failed: usize,
    cancelled: usize,
    /// No longer stored.
    deleted: usize,
}

type Answer = Result<Response, Problem>;

impl Batches {
    /// The routes, to be merged over those of the platform.
    pub fn routes(self: &Arc<Self>) -> Router {
        let routes: StatefulRouter<Arc<Self>> = Router::with_state(Arc::clone(self))
            .route(Method::POST, "/batches", Self::submit)
            .route(Method::GET, "/batches/{id}", Self::get)
            .route(Method::GET, "/batches/{id}/results", Self::results)
            .route(Method::DELETE, "/batches/{id}", Self::cancel);
        let body = BodyPolicy::Buffered { max_bytes: Some(MAX_BODY_BYTES) };
        Router::from(routes).body_policy(&Method::POST, "/batches", body)
    }

    async fn submit(self: Arc<Self>, mut request: MatchedRequest) -> Answer {
        let [] = request.query([])?;
        let context = request.context();
        let body = match request.request.extensions_mut().remove::<ParsedJson>() {
            Some(ParsedJson(body)) => Arc::unwrap_or_clone(body),
            None => serde_json::from_slice(request.request.body())
                .map_err(|error| InvalidSubmission::Malformed(error.to_string()))?,
        };
        let selection = Arc::clone(&self.selection);
        let parsed = tokio::task::spawn_blocking(move || parse(body, &selection)).await;
        let submissions = parsed.map_err(|error| Problem::internal(&error))??;
        if !self.platform.health().all_passed() {
            let detail = "a part of the platform fails its test; GET /status says which";
            let problem = Problem::new(StatusCode::SERVICE_UNAVAILABLE, detail);
            return Err(problem.with_header(header::RETRY_AFTER, 5));
        }
        let row = self.accept(&context, submissions).await?;
        let mut response = json(StatusCode::ACCEPTED, &self.batch(&row).await?)?;
        let location = HeaderValue::try_from(format!("/batches/{}", row.id));
        let location = location.map_err(|error| Problem::internal(&error))?;
        response.headers_mut().insert(header::LOCATION, location);
        Ok(response)
    }

    // ANCHOR: accept
    /// Accepts a batch, or returns the one that the first request with the same key has made.
    async fn accept(
        self: &Arc<Self>,
        context: &RequestContext,
        submissions: Vec<(SubmitOptions, Submission)>,
    ) -> Result<Row, EvaluationsError> {
        let submissions: Vec<_> = submissions
            .into_iter()
            .map(|(options, mut submission)| {
                options.store_in(&mut submission, context);
                (Uuid::now_v7(), submission)
            })
            .collect();
        let row = Row {
            id: Uuid::now_v7(),
            owner: context.principal.clone().unwrap_or_default(),
            created_at: Timestamp::now(),
            members: submissions.iter().map(|(id, _)| *id).collect(),
        };
        let mut record = None;
        if let Some(key) = &context.idempotency_key {
            let request: Vec<_> = submissions.iter().map(|(_, submission)| submission).collect();
            let (owner, plan) = (context.principal.as_deref(), (Kind::Batch, row.id));
            match self.intake.idempotency.begin(owner, key, &request, plan).await? {
                Begin::Replay(id) => return self.find(context, id).await,
                Begin::New(new) => record = Some(new),
            }
        }
        let (batches, context) = (Arc::clone(self), context.clone());
        spawn(async move {
            let accepted = batches.commit(&context, &row, submissions).await;
            match (record, &accepted) {
                (Some(record), Ok(())) => batches.intake.idempotency.complete(record).await,
                (Some(record), Err(_)) => batches.intake.idempotency.forget(record).await,
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
        row: &Row,
        submissions: Vec<(Uuid, Submission)>,
    ) -> Result<(), EvaluationsError> {
        let (planned, id) = (row.clone(), row.id);
        self.store
            .write(move |database| table::plan(database, &planned))
            .await
            .map_err(internal)?;
        if let Err(refused) = self.intake.accept_as(context, submissions).await {
            let discarded = self.store.write(move |database| table::discard(database, id)).await;
            if let Err(error) = discarded {
                tracing::warn!(%error, "a batch that was refused is removed at the next start");
            }
            return Err(refused);
        }
        let detail = value!({ "evaluations": row.members.len() });
        let entry = Intake::entry(context, actions::BATCH_SUBMIT, id, &detail);
        let accept = self.store.write(move |database| {
            table::accept(database, id)?;
            entry.map(|entry| audit::table::append(database, &entry)).transpose()
        });
        accept.await.map(drop).map_err(internal)
    }
    // ANCHOR_END: accept

    async fn get(self: Arc<Self>, request: MatchedRequest) -> Answer {
        let [] = request.query([])?;
        let row = self.find(&request.context(), request.param("id")?).await?;
        json(StatusCode::OK, &self.batch(&row).await?)
    }

    /// The evaluations of a batch with their outputs, in the order in which they were submitted.
    async fn results(self: Arc<Self>, request: MatchedRequest) -> Answer {
        let [limit, cursor] = request.query(["limit", "cursor"])?;
        let bad = |detail: &str| Problem::new(StatusCode::BAD_REQUEST, detail);
        let limit = limit.map_or(Some(DEFAULT_PAGE_SIZE), |text| text.parse().ok());
        let limit = limit.filter(|limit| (1..=MAX_PAGE_SIZE).contains(limit));
        let limit = limit.ok_or_else(|| bad("limit is a number from 1 to 100"))?;
        let cursor = cursor.map(|text| text.parse::<Uuid>()).transpose();
        let cursor = cursor.map_err(|_| bad("cursor is the next_cursor of the page before"))?;
        let context = request.context();
        let row = self.find(&context, request.param("id")?).await?;
        // Ids rise in the order of submission.
        let first = row.members.partition_point(|id| cursor.is_some_and(|cursor| *id <= cursor));
        let (mut page, mut bytes) = (Page::default(), 0);
        for (at, id) in row.members.iter().enumerate().skip(first) {
            match self.platform.get(&context, *id).await {
                Ok(evaluation) => {
                    bytes += evaluation.stdout.text.len() + evaluation.stderr.text.len();
                    page.items.push(Arc::new(evaluation));
                }
                Err(EvaluationsError::NotFound) => {} // no longer stored
                Err(error) => return Err(error.into()),
            }
            if page.items.len() == limit || bytes >= MAX_PAGE_BYTES {
                page.next_cursor = (at + 1 < row.members.len()).then_some(*id);
                break;
            }
        }
        page_response(page).await
    }

    async fn cancel(self: Arc<Self>, request: MatchedRequest) -> Answer {
        let [] = request.query([])?;
        let context = request.context();
        let row = self.find(&context, request.param("id")?).await?;
        let detail = value!({ "evaluations": row.members.len() });
        self.intake.record(&context, actions::BATCH_CANCEL, row.id, &detail).await?;
        let (platform, caller) = (&self.platform, &context);
        let cancel_one = move |id: Uuid| async move { platform.cancel(caller, id).await };
        let ids = stream::iter(row.members.clone());
        let mut cancellations = Box::pin(ids.map(cancel_one).buffer_unordered(MAX_CANCELLING));
        while let Some(result) = cancellations.next().await {
            match result {
                Ok(_) | Err(EvaluationsError::NotFound | EvaluationsError::AlreadyEnded(_)) => {}
                Err(error) => return Err(error.into()),
            }
        }
        json(StatusCode::OK, &self.batch(&row).await?)
    }

    /// The batch with this id, if the principal of the request may see it.
    async fn find(&self, context: &RequestContext, id: Uuid) -> Result<Row, EvaluationsError> {
        let found = self.store.read(move |database| table::get(database, id)).await;
        let row = found.map_err(internal)?.ok_or(EvaluationsError::NotFound)?;
        match context.principal.as_deref() {
            Some(key) if key != row.owner && !self.keys.is_admin(key) => {
                Err(EvaluationsError::NotFound)
            }
            _ => Ok(row),
        }
    }

    async fn batch(&self, row: &Row) -> Result<Batch, EvaluationsError> {
        let id = row.id;
        let stored = self.store.read(move |database| table::statuses(database, id)).await;
        let stored: HashMap<_, _> = stored.map_err(internal)?.into_iter().collect();
        let mut counts = Counts::default();
        for member in &row.members {
            let status = match stored.get(member) {
                Some(status) => serde_json::from_value(status.as_str().into()).ok(),
                // With `--storage memory` no evaluation is in the database.
                None => match self.intake.tasks.get(&RequestContext::internal(), *member).await {
                    Ok(evaluation) => Some(evaluation.status),
                    Err(EvaluationsError::NotFound) => None,
                    Err(error) => return Err(error),
                },
            };
            counts.add(status);
        }
        let is_live = counts.queued + counts.running > 0;
        Ok(Batch {
            id,
            status: if is_live { "running" } else { "ended" },
            created_at: row.created_at,
            total: row.members.len(),
            counts,
            evaluations: row.members.clone(),
        })
    }
}

impl Counts {
    fn add(&mut self, status: Option<shared::Status>) {
        use shared::Status::{Cancelled, Completed, Failed, Queued, Running};
        *match status {
            Some(Queued) => &mut self.queued,
            Some(Running) => &mut self.running,
            Some(Completed) => &mut self.completed,
            Some(Failed) => &mut self.failed,
            Some(Cancelled) => &mut self.cancelled,
            None => &mut self.deleted,
        } += 1;
    }
}

fn internal(error: StoreError) -> EvaluationsError {
    EvaluationsError::Internal(error.into())
}
