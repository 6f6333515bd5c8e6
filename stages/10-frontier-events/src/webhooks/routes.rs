//! Webhooks over HTTP.

use std::sync::Arc;

use http::{HeaderValue, Method, StatusCode, header};
use jiff::{SignedDuration, Timestamp};
use serde::Deserialize;
use serde_json::{Value, json as value};
use shared::RequestContext;
use shared::http::{MatchedRequest, Problem, Response, Router, StatefulRouter, json};
use stage_08_openapi::parsed_body;
use stage_09_frontier::{AuditEntry, StoreError};
use uuid::Uuid;

use super::Webhooks;
use super::backlog::{self, Delivery};
use super::secret::Secret;
use super::table::{self, FIXED_PREFIX, Webhook};
use crate::bus::Topic;

/// Webhooks of one key.
const MAX_OF_KEY: usize = 20;
/// Topics of one webhook.
const MAX_TOPICS: usize = 20;
/// Characters of a URL.
const MAX_URL: usize = 2_000;
/// How long the old secret signs as well.
const ROTATION_GRACE: SignedDuration = SignedDuration::from_hours(24);
const DEFAULT_PAGE_SIZE: usize = 20;
const MAX_PAGE_SIZE: usize = 100;

type Answer = Result<Response, Problem>;

/// What a client sends.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct NewWebhook {
    url: String,
    events: Vec<String>,
}

impl Webhooks {
    /// The routes, to be merged over those of the platform.
    pub fn routes(self: &Arc<Self>) -> Router {
        let routes: StatefulRouter<Arc<Self>> = Router::with_state(Arc::clone(self))
            .route(Method::POST, "/webhooks", Self::create)
            .route(Method::GET, "/webhooks", Self::get_all)
            .route(Method::GET, "/webhooks/{id}", Self::get)
            .route(Method::DELETE, "/webhooks/{id}", Self::remove)
            .route(Method::POST, "/webhooks/{id}/rotate", Self::rotate)
            .route(Method::POST, "/webhooks/{id}/redeliver", Self::redeliver)
            .route(Method::GET, "/webhooks/{id}/deliveries", Self::deliveries);
        routes.into()
    }

    async fn create(self: Arc<Self>, mut request: MatchedRequest) -> Answer {
        let [] = request.query([])?;
        let context = request.context();
        let NewWebhook { url, events } =
            parsed_body(&mut request).map_err(|error| bad(error.to_string()))?;
        if url.len() > MAX_URL || events.is_empty() || events.len() > MAX_TOPICS {
            let limits = format!("{MAX_URL} characters, events 1 to {MAX_TOPICS} types");
            return Err(bad(format!("url has at most {limits}")));
        }
        self.options.policy.check(&url).map_err(|error| bad(format!("url: {error}")))?;
        let topics = events.iter().map(|event| event.parse::<Topic>());
        let topics = topics.collect::<Result<_, _>>();
        let topics = topics.map_err(|error| bad(format!("events: {error}")))?;
        let owner = context.principal.clone();
        let secret = Secret::generate().map_err(|error| Problem::internal(&error))?;
        let webhook = Webhook {
            id: Uuid::now_v7().to_string(),
            sees_all: self.sees_all(&context),
            owner,
            url,
            topics,
            secret: Some(secret.clone()),
            old_secret: None,
            created_at: Timestamp::now(),
        };
        let (stored, sealed) = (webhook.clone(), self.seal(&webhook.id, &secret)?);
        let insert = self.store.write(move |db| {
            // In the transaction of the insertion, so that requests at the same time do not pass it together.
            let has_room = table::count_of(db, stored.owner.as_deref())? < MAX_OF_KEY;
            if has_room {
                table::insert(db, &stored, &sealed)?;
            }
            Ok(has_room)
        });
        if !insert.await.map_err(internal)? {
            let detail = format!("a key has at most {MAX_OF_KEY} webhooks; delete one");
            return Err(Problem::new(StatusCode::CONFLICT, detail));
        }
        self.changed(&context, "webhook.create", &webhook.id).await?;
        let mut answer = self.item(&webhook).await?;
        answer["secret"] = secret.reveal().into();
        let mut response = json(StatusCode::CREATED, &answer)?;
        let location = HeaderValue::try_from(format!("/webhooks/{}", webhook.id));
        let location = location.map_err(|error| Problem::internal(&error))?;
        response.headers_mut().insert(header::LOCATION, location);
        Ok(response)
    }

    async fn get_all(self: Arc<Self>, request: MatchedRequest) -> Answer {
        let [] = request.query([])?;
        let (context, mut items) = (request.context(), Vec::new());
        for webhook in self.list().iter().filter(|webhook| self.is_visible(&context, webhook)) {
            items.push(self.item(webhook).await?);
        }
        json(StatusCode::OK, &value!({ "items": items }))
    }

    async fn get(self: Arc<Self>, request: MatchedRequest) -> Answer {
        let [] = request.query([])?;
        json(StatusCode::OK, &self.item(&*self.find(&request)?).await?)
    }

    async fn remove(self: Arc<Self>, request: MatchedRequest) -> Answer {
        let [] = request.query([])?;
        let webhook = self.find_own(&request)?;
        let id = webhook.id.clone();
        self.store.write(move |db| table::delete(db, &id)).await.map_err(internal)?;
        self.changed(&request.context(), "webhook.delete", &webhook.id).await?;
        json(StatusCode::OK, &value!({ "id": webhook.id }))
    }

    async fn rotate(self: Arc<Self>, request: MatchedRequest) -> Answer {
        let [] = request.query([])?;
        let webhook = self.find_own(&request)?;
        let secret = Secret::generate().map_err(|error| Problem::internal(&error))?;
        let until = Timestamp::now() + ROTATION_GRACE;
        let (id, new) = (webhook.id.clone(), self.seal(&webhook.id, &secret)?);
        let write = self.store.write(move |db| table::rotate(db, &id, &new, until));
        write.await.map_err(internal)?;
        self.changed(&request.context(), "webhook.rotate", &webhook.id).await?;
        let answer = value!({ "secret": secret.reveal(), "old_secret_until": until });
        json(StatusCode::OK, &answer)
    }

    async fn redeliver(self: Arc<Self>, request: MatchedRequest) -> Answer {
        let [] = request.query([])?;
        let webhook = self.find(&request)?;
        let (id, now) = (webhook.id.clone(), Timestamp::now());
        let write = self.store.write(move |db| backlog::redeliver(db, &id, now));
        let count = write.await.map_err(internal)?;
        self.due.notify_one();
        json(StatusCode::OK, &value!({ "redelivered": count }))
    }

    async fn deliveries(self: Arc<Self>, request: MatchedRequest) -> Answer {
        let [limit, cursor] = request.query(["limit", "cursor"])?;
        let limit = limit.map_or(Ok(DEFAULT_PAGE_SIZE), |text| text.parse());
        let limit = limit.ok().filter(|limit| (1..=MAX_PAGE_SIZE).contains(limit));
        let limit = limit.ok_or_else(|| bad(format!("limit: 1 to {MAX_PAGE_SIZE}")))?;
        let after = cursor.map_or(Ok(0), |text| text.parse());
        let after = after.map_err(|_| bad("cursor: the next_cursor of another page"))?;
        let id = self.find(&request)?.id.clone();
        let read = self.store.read(move |db| backlog::page(db, &id, after, limit + 1));
        let mut page = read.await.map_err(internal)?;
        let next = (page.len() > limit).then(|| page[limit - 1].number);
        page.truncate(limit);
        let items: Vec<_> = page.iter().map(delivery_item).collect();
        json(StatusCode::OK, &value!({ "items": items, "next_cursor": next }))
    }

    /// Whether a client sees the events of all evaluations: an administrator, or one without a key where
    /// none is needed.
    fn sees_all(&self, context: &RequestContext) -> bool {
        context.principal.as_deref().is_none_or(|principal| self.keys.is_admin(principal))
    }

    fn is_visible(&self, context: &RequestContext, webhook: &Webhook) -> bool {
        self.sees_all(context) || webhook.owner == context.principal
    }

    /// The webhook of a path. That of another key is answered as one that does not exist.
    fn find(&self, request: &MatchedRequest) -> Result<Arc<Webhook>, Problem> {
        let (id, context) = (request.param::<String>("id")?, request.context());
        let list = self.list();
        let found = list.iter().find(|webhook| webhook.id == id);
        let found = found.filter(|webhook| self.is_visible(&context, webhook));
        found.cloned().ok_or_else(|| Problem::new(StatusCode::NOT_FOUND, "no such webhook"))
    }

    /// The same, if a request may change it.
    fn find_own(&self, request: &MatchedRequest) -> Result<Arc<Webhook>, Problem> {
        let webhook = self.find(request)?;
        if webhook.id.starts_with(FIXED_PREFIX) {
            let detail = "this webhook is in the rule file of the server, which alone changes it";
            return Err(Problem::new(StatusCode::CONFLICT, detail));
        }
        Ok(webhook)
    }

    fn seal(&self, id: &str, secret: &Secret) -> Result<String, Problem> {
        self.vault.seal(id, secret).map_err(|error| Problem::internal(&error))
    }

    /// Reads the list again, and records who has changed it.
    async fn changed(
        &self,
        context: &RequestContext,
        action: &str,
        id: &str,
    ) -> Result<(), Problem> {
        self.reload().await.map_err(internal)?;
        let entry = AuditEntry::of(context, action, id, &value!({}));
        self.audit.record(entry).await.map_err(internal)
    }

    async fn item(&self, webhook: &Webhook) -> Result<Value, Problem> {
        let id = webhook.id.clone();
        let counts = self.store.read(move |db| backlog::counts(db, &id)).await.map_err(internal)?;
        let events: Vec<_> = webhook.topics.iter().map(ToString::to_string).collect();
        Ok(value!({
            "id": webhook.id,
            "url": webhook.url,
            "events": events,
            "created_at": webhook.created_at,
            "delivered": counts.delivered,
            "waiting": counts.pending - counts.parked.min(counts.pending),
            "parked": counts.parked,
            "dropped": counts.dropped,
        }))
    }
}

fn delivery_item(delivery: &Delivery) -> Value {
    value!({
        "id": delivery.id,
        "type": delivery.kind,
        "state": if delivery.is_parked { "parked" } else { "waiting" },
        "attempts": delivery.attempts,
        "created_at": delivery.created_at,
        "next_attempt_at": if delivery.is_parked { None } else { Some(delivery.due_at) },
        "error": delivery.error,
    })
}

fn bad(detail: impl Into<String>) -> Problem {
    Problem::new(StatusCode::BAD_REQUEST, detail)
}

#[expect(clippy::needless_pass_by_value, reason = "for map_err")]
fn internal(error: StoreError) -> Problem {
    Problem::internal(&error)
}
