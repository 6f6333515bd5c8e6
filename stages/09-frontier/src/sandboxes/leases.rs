//! The routes of sandboxes: open, find, renew, remove.

use std::sync::Arc;
use std::time::Duration;

use http::{HeaderValue, Method, StatusCode, header};
use jiff::SignedDuration;
use serde::Serialize;
use serde_json::json as value;
use shared::http::{MatchedRequest, Problem, Response, Router, StatefulRouter, json};
use uuid::Uuid;

use super::problem::{Failure, answer};
use super::state::{EndReason, Record, Status, now};
use super::table::Query;
use super::wire::{parse_create, parse_renewal};
use super::{Sandboxes, body, table};
use crate::audit::actions;

/// Sandboxes on one page.
const DEFAULT_PAGE_SIZE: usize = 20;
const MAX_PAGE_SIZE: usize = 100;

#[derive(Serialize)]
struct Page<T> {
    items: Vec<T>,
    next_cursor: Option<Uuid>,
}

impl Sandboxes {
    pub(super) fn lease_routes(self: &Arc<Self>) -> Router {
        let routes: StatefulRouter<Arc<Self>> = Router::with_state(Arc::clone(self))
            .route(Method::POST, "/sandboxes", Self::post)
            .route(Method::GET, "/sandboxes", Self::list)
            .route(Method::GET, "/sandboxes/{id}", Self::get)
            .route(Method::DELETE, "/sandboxes/{id}", Self::delete)
            .route(Method::POST, "/sandboxes/{id}/renew", Self::renew);
        routes.into()
    }

    async fn post(self: Arc<Self>, mut request: MatchedRequest) -> Result<Response, Problem> {
        let id = request.context().request_id;
        answer(&id, self.opened(&mut request).await)
    }

    async fn opened(self: &Arc<Self>, request: &mut MatchedRequest) -> Result<Response, Failure> {
        let [] = request.query([])?;
        let context = request.context();
        let create = parse_create(body(request)?, &self.engine()?.support())?;
        if !self.platform.health().all_passed() {
            let detail = "a part of the platform fails its test; GET /status says which";
            let problem = Failure::new(StatusCode::SERVICE_UNAVAILABLE, "unhealthy", detail);
            return Err(problem.retry_after(5));
        }
        let id = self.create(&context, create).await?;
        let (record, status) = self.record_of(id).await?;
        let mut response = json(StatusCode::CREATED, &record.view(status))?;
        let location = HeaderValue::from_str(&format!("/sandboxes/{id}"));
        let location = location.map_err(|error| Problem::internal(&error))?;
        response.headers_mut().insert(header::LOCATION, location);
        Ok(response)
    }

    /// The sandbox with this id, wherever it is.
    async fn record_of(&self, id: Uuid) -> Result<(Record, Status), Failure> {
        if let Some(lease) = self.live().get(&id) {
            return Ok(lease.record());
        }
        let found = self.store.read(move |database| table::get(database, id)).await?;
        let record = found.ok_or_else(|| {
            let detail = "the sandbox of this Idempotency-Key is no longer stored";
            Failure::plain(StatusCode::CONFLICT, detail)
        })?;
        Ok((record, Status::Ended))
    }

    async fn list(self: Arc<Self>, request: MatchedRequest) -> Result<Response, Problem> {
        let id = request.context().request_id;
        answer(&id, self.page(&request).await)
    }

    async fn page(&self, request: &MatchedRequest) -> Result<Response, Failure> {
        let bad = |detail: &str| Failure::plain(StatusCode::BAD_REQUEST, detail);
        let [label, status, limit, cursor] =
            request.query(["label", "status", "limit", "cursor"])?;
        let limit = limit.map_or(Some(DEFAULT_PAGE_SIZE), |text| text.parse().ok());
        let limit = limit.filter(|limit| (1..=MAX_PAGE_SIZE).contains(limit));
        let limit = limit.ok_or_else(|| bad("limit is a number from 1 to 100"))?;
        let before = cursor.map(|text| text.parse::<Uuid>()).transpose();
        let before = before.map_err(|_| bad("cursor is the next_cursor of the page before"))?;
        let label = label.map(|label| {
            let label = label.split_once('=');
            label.map(|(key, value)| (key.to_owned(), value.to_owned()))
        });
        if label == Some(None) {
            return Err(bad("label is a key, =, and its value"));
        }
        let status = status.map(|name| serde_json::from_value::<Status>(name.into()));
        let status = status.transpose().map_err(|_| bad("status is starting, ready or ended"))?;
        let key = request.context().principal.filter(|key| !self.keys.is_admin(key));
        let is_ended = status.map(|status| status == Status::Ended);
        let query =
            Query { owner: key, label: label.flatten(), is_ended, before, limit: limit + 1 };
        let mut found = self.store.read(move |database| table::list(database, &query)).await?;
        let next_cursor = if found.len() > limit {
            found.truncate(limit);
            found.last().map(|record| record.id)
        } else {
            None
        };
        // The newest state is that of the leases.
        let found: Vec<_> = found
            .into_iter()
            .map(|record| match self.live().get(&record.id) {
                Some(lease) => lease.record(),
                None => (record, Status::Ended),
            })
            .filter(|(record, live)| {
                let seen = if record.ended.is_some() { Status::Ended } else { *live };
                status.is_none_or(|status| status == seen)
            })
            .collect();
        let items = found.iter().map(|(record, live)| record.view(*live)).collect();
        Ok(json(StatusCode::OK, &Page { items, next_cursor })?)
    }

    async fn get(self: Arc<Self>, request: MatchedRequest) -> Result<Response, Problem> {
        let id = request.context().request_id;
        answer(&id, self.got(&request).await)
    }

    async fn got(&self, request: &MatchedRequest) -> Result<Response, Failure> {
        let [] = request.query([])?;
        let (record, lease) = self.find(request).await?;
        let (record, status) = lease.map_or((record, Status::Ended), |lease| lease.record());
        Ok(json(StatusCode::OK, &record.view(status))?)
    }

    async fn delete(self: Arc<Self>, request: MatchedRequest) -> Result<Response, Problem> {
        let id = request.context().request_id;
        answer(&id, self.removed(&request).await)
    }

    async fn removed(&self, request: &MatchedRequest) -> Result<Response, Failure> {
        let [] = request.query([])?;
        let (mut record, lease) = self.find(request).await?;
        if let Some(lease) = lease {
            self.record(&request.context(), actions::SANDBOX_REMOVE, lease.id, &value!({}));
            lease.end(EndReason::Removed);
            let ended = lease.ended().await;
            record = ended.ok_or_else(|| Failure::gone(Some(EndReason::ServerStopped)))?;
        }
        Ok(json(StatusCode::OK, &record.view(Status::Ended))?)
    }

    async fn renew(self: Arc<Self>, mut request: MatchedRequest) -> Result<Response, Problem> {
        let id = request.context().request_id;
        answer(&id, self.renewed(&mut request).await)
    }

    /// Starts the lifetime anew. The whole life is never longer than the operator allows.
    async fn renewed(&self, request: &mut MatchedRequest) -> Result<Response, Failure> {
        let [] = request.query([])?;
        let lease = self.find_live(request).await?;
        let (_usage, channel) = lease.use_it()?;
        let max = self.engine()?.support().max_lifetime_seconds;
        let (mut record, _) = lease.record();
        let asked = parse_renewal(body(request)?, max)?.unwrap_or(record.lifetime_seconds);
        let max = i64::try_from(max).unwrap_or(i64::MAX);
        let last = record.created_at + SignedDuration::from_secs(max);
        let asked_until = now() + SignedDuration::from_secs(i64::try_from(asked).unwrap_or(0));
        record.lifetime_seconds = asked;
        record.expires_at = asked_until.min(last);
        let left = record.expires_at.duration_since(now());
        let left = Duration::try_from(left).unwrap_or_default();
        let stored = record.clone();
        self.store.write(move |database| table::renew(database, &stored)).await?;
        channel.set_lifetime(left + super::open::LIFETIME_GRACE);
        lease.renew(left, &record);
        let (record, status) = lease.record();
        Ok(json(StatusCode::OK, &record.view(status))?)
    }
}
