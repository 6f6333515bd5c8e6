//! Batches: up to a thousand evaluations that are accepted together, and found by one id.

use std::collections::HashMap;
use std::sync::Arc;

use http::{Method, StatusCode};
use jiff::Timestamp;
use serde::Serialize;
use serde_json::json as value;
use shared::http::{BodyPolicy, MatchedRequest, Problem, Response, Router, StatefulRouter, json};
use shared::{Evaluations as _, EvaluationsError, Page, RequestContext};
use stage_02_queue::{MAX_PAGE_BYTES, page_response};
use stage_06_advanced::Platform;
use uuid::Uuid;

use super::group::{Groups, Plan, accepted, internal};
use super::table::{self, BatchKind, Row};
use super::wire::parse;
use crate::accounts::{Intake, Keys};
use crate::audit::actions;
use crate::comparisons::Comparisons;
use crate::environments::Selection;
use crate::storage::SqliteStorage;
use crate::store::{Store, StoreError};
use crate::verifications::Verifications;

/// The largest body of `POST /batches`, in bytes. The contract has the same number.
const MAX_BODY_BYTES: usize = 16 << 20;
/// Evaluations on one page of the results.
const DEFAULT_PAGE_SIZE: usize = 20;
const MAX_PAGE_SIZE: usize = 100;

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
    /// Where what has ended is stored, if that is durable.
    pub stored: Option<Arc<SqliteStorage>>,
}

/// Accepts batches, comparisons and verifications, and finds what became of them.
pub struct Batches {
    groups: Arc<Groups>,
    comparisons: Arc<Comparisons>,
    verifications: Arc<Verifications>,
}

impl BatchParts {
    /// Batches of `platform`. What a crash has left is decided first, and what was to be verified goes on.
    ///
    /// # Errors
    ///
    /// When the database cannot be used.
    pub async fn start(self, platform: &Arc<Platform>) -> Result<Arc<Batches>, StoreError> {
        let Self { store, intake, keys, selection, stored } = self;
        store.write(table::recover).await?;
        intake.idempotency.recover().await?;
        let (platform, selection) = (Arc::clone(platform), Arc::new(selection));
        let groups = Arc::new(Groups { store, intake, keys, platform, selection });
        let comparisons = Comparisons::new(Arc::clone(&groups));
        let verifications = Verifications::start(Arc::clone(&groups), stored).await?;
        Ok(Arc::new(Batches { groups, comparisons, verifications }))
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
        Router::from(routes)
            .body_policy(&Method::POST, "/batches", body)
            .merge(self.comparisons.routes())
            .merge(self.verifications.routes())
    }

    async fn submit(self: Arc<Self>, mut request: MatchedRequest) -> Answer {
        let [] = request.query([])?;
        let context = request.context();
        let submissions = self.groups.parsed(&mut request, parse).await?;
        self.groups.check_health()?;
        let plan = Plan {
            kind: BatchKind::Batch,
            detail: String::new(),
            submissions,
            follower: None,
            action: actions::BATCH_SUBMIT,
        };
        let row = self.groups.accept(&context, plan).await?;
        accepted(false, &format!("/batches/{}", row.id), None, &self.batch(&row).await?)
    }

    async fn get(self: Arc<Self>, request: MatchedRequest) -> Answer {
        let [] = request.query([])?;
        let row =
            self.groups.find(&request.context(), BatchKind::Batch, request.param("id")?).await?;
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
        let row = self.groups.find(&context, BatchKind::Batch, request.param("id")?).await?;
        // Ids rise in the order of submission.
        let first = row.members.partition_point(|id| cursor.is_some_and(|cursor| *id <= cursor));
        let (mut page, mut bytes) = (Page::default(), 0);
        for (at, id) in row.members.iter().enumerate().skip(first) {
            match self.groups.platform.get(&context, *id).await {
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
        let row = self.groups.find(&context, BatchKind::Batch, request.param("id")?).await?;
        let detail = value!({ "evaluations": row.members.len() });
        self.groups.intake.record(&context, actions::BATCH_CANCEL, row.id, &detail).await?;
        self.groups.cancel(&context, row.members.clone()).await?;
        json(StatusCode::OK, &self.batch(&row).await?)
    }

    async fn batch(&self, row: &Row) -> Result<Batch, EvaluationsError> {
        let id = row.id;
        let stored = self.groups.store.read(move |database| table::statuses(database, id)).await;
        let stored: HashMap<_, _> = stored.map_err(internal)?.into_iter().collect();
        let mut counts = Counts::default();
        for member in &row.members {
            let status = match stored.get(member) {
                Some(status) => serde_json::from_value(status.as_str().into()).ok(),
                // With `--storage memory` no evaluation is in the database.
                None => {
                    match self.groups.intake.tasks.get(&RequestContext::internal(), *member).await {
                        Ok(evaluation) => Some(evaluation.status),
                        Err(EvaluationsError::NotFound) => None,
                        Err(error) => return Err(error),
                    }
                }
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
