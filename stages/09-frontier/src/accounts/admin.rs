//! What administrators read: the keys, and the audit log. Both only read; keys are made and revoked by commands.

use std::sync::Arc;

use http::{Method, StatusCode};
use jiff::Timestamp;
use serde_json::{Value, json as value};
use shared::http::{MatchedRequest, Problem, Response, Router, StatefulRouter, json};
use uuid::Uuid;

use super::record::KeyRecord;
use super::table;
use crate::audit::{self, AuditRow};
use crate::store::{Store, StoreError};

const DEFAULT_PAGE_SIZE: usize = 20;
const MAX_PAGE_SIZE: usize = 100;

/// The routes of administrators.
pub struct Administration {
    store: Arc<Store>,
}

type Answer = Result<Response, Problem>;

impl Administration {
    /// Keys and audit log in `store`.
    pub(crate) fn new(store: Arc<Store>) -> Arc<Self> {
        Arc::new(Self { store })
    }

    /// The routes, to be merged over those of the platform.
    pub fn routes(self: Arc<Self>) -> Router {
        let routes: StatefulRouter<Arc<Self>> = Router::with_state(self)
            .route(Method::GET, "/keys", Self::keys)
            .route(Method::GET, "/audit", Self::audit);
        routes.into()
    }

    async fn keys(self: Arc<Self>, request: MatchedRequest) -> Answer {
        let (limit, cursor) = page_of::<Uuid>(&request)?;
        let keys = self.store.read(table::list).await.map_err(|error| internal(&error))?;
        // An id is a UUIDv7: the newest key has the highest one.
        let cursor = cursor.map(|cursor| cursor.to_string());
        let mut keys: Vec<_> =
            keys.into_iter().filter(|key| cursor.as_ref().is_none_or(|id| key.id < *id)).collect();
        keys.sort_unstable_by(|one, other| other.id.cmp(&one.id));
        let next = (keys.len() > limit).then(|| keys[limit - 1].id.clone());
        keys.truncate(limit);
        let now = Timestamp::now();
        let items: Vec<_> = keys.iter().map(|key| key_item(key, now)).collect();
        json(StatusCode::OK, &value!({ "items": items, "next_cursor": next }))
    }

    async fn audit(self: Arc<Self>, request: MatchedRequest) -> Answer {
        let (limit, cursor) = page_of::<u64>(&request)?;
        let before = cursor.map_or(i64::MAX, |cursor| i64::try_from(cursor).unwrap_or(i64::MAX));
        let read = move |database: &_| audit::rows_before(database, before, limit + 1);
        let mut rows = self.store.read(read).await.map_err(|error| internal(&error))?;
        let next = (rows.len() > limit).then(|| rows[limit - 1].number);
        rows.truncate(limit);
        let items: Vec<_> = rows.iter().map(row_item).collect();
        json(StatusCode::OK, &value!({ "items": items, "next_cursor": next }))
    }
}

fn internal(error: &StoreError) -> Problem {
    Problem::internal(error)
}

/// The parameters `limit` and `cursor` of a request.
fn page_of<T: std::str::FromStr>(request: &MatchedRequest) -> Result<(usize, Option<T>), Problem> {
    let [limit, cursor] = request.query(["limit", "cursor"])?;
    let limit = limit.map_or(Ok(DEFAULT_PAGE_SIZE), |text| text.parse());
    let limit =
        limit.ok().filter(|limit| (1..=MAX_PAGE_SIZE).contains(limit)).ok_or_else(|| {
            let detail = format!("limit: give a number from 1 to {MAX_PAGE_SIZE}");
            Problem::new(StatusCode::BAD_REQUEST, detail)
        })?;
    let cursor = cursor.map(|text| text.parse()).transpose().map_err(|_| {
        Problem::new(StatusCode::BAD_REQUEST, "cursor: give the next_cursor of another page")
    })?;
    Ok((limit, cursor))
}

fn key_item(key: &KeyRecord, now: Timestamp) -> Value {
    let scopes = key.scopes.names();
    value!({
        "id": key.id,
        "name": key.name,
        "scopes": scopes.split_whitespace().collect::<Vec<_>>(),
        "state": key.state(now),
        "created_at": key.created_at,
        "expires_at": key.expires_at,
        "revoked_at": key.revoked_at,
        "last_used_at": key.last_used_at,
    })
}

fn row_item(AuditRow { number, entry, hash }: &AuditRow) -> Value {
    value!({
        "number": number,
        "time": Timestamp::from_microsecond(entry.time).unwrap_or_default(),
        "actor": entry.actor,
        "peer": entry.peer,
        "request_id": entry.request_id,
        "action": entry.action,
        "target": entry.target,
        "detail": entry.detail,
        "hash": hash,
    })
}
