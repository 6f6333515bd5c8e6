//! The history of events over HTTP: `GET /events/history`.
//!
//! | attack | setting | test |
//! |---|---|---|
//! | a key reads the events of another key's evaluations | as in the streams: its own, and those of the platform | `a_key_finds_its_own_events_only` |
//! | a filter that matches nothing has the whole log read | a page ends after 2,000 events, and has a next one | `a_page_ends_after_events_that_do_not_match` |
//! | a page of large outputs | a page ends after 1 MiB | `a_page_ends_when_it_is_large` |

use std::sync::Arc;

use http::{Method, StatusCode};
use serde::Serialize;
use serde_json::value::RawValue;
use shared::RequestContext;
use shared::http::{MatchedRequest, Problem, Response, Router, StatefulRouter, json};
use stage_03_monitoring::{Gap, SequencedEvent};
use stage_09_frontier::{Accounts, Keys, Owners};
use uuid::Uuid;

use super::{EventBus, HistoryPage, Topic};

/// What the envelope of an event names as its source: the same as in the streams.
pub(crate) const SOURCE: &str = "stage-10-frontier-events";

const DEFAULT_PAGE_SIZE: usize = 20;
const MAX_PAGE_SIZE: usize = 100;
/// Events without an evaluation that every reader gets, by the beginning of their type.
const PUBLIC_TYPES: &str = "platform.";

type Answer = Result<Response, Problem>;

/// The stored events, for clients.
pub(crate) struct EventHistory {
    bus: Arc<EventBus>,
    keys: Arc<Keys>,
    owners: Arc<Owners>,
}

/// One page, as it is sent.
#[derive(Serialize)]
struct EventsPage {
    items: Vec<Box<RawValue>>,
    missed: Vec<Gap>,
    next_cursor: Option<u64>,
}

impl EventHistory {
    /// What `bus` has, for the keys of `accounts`.
    pub(crate) fn new(bus: &Arc<EventBus>, accounts: &Accounts) -> Arc<Self> {
        let (keys, owners) = (Arc::clone(&accounts.keys), Arc::clone(&accounts.owners));
        Arc::new(Self { bus: Arc::clone(bus), keys, owners })
    }

    /// The route, to be merged over those of the platform.
    pub(crate) fn routes(self: &Arc<Self>) -> Router {
        let routes: StatefulRouter<Arc<Self>> =
            Router::with_state(Arc::clone(self)).route(Method::GET, "/events/history", Self::page);
        routes.into()
    }

    // ANCHOR: page
    async fn page(self: Arc<Self>, request: MatchedRequest) -> Answer {
        let [kind, evaluation, limit, cursor] =
            request.query(["type", "evaluation", "limit", "cursor"])?;
        let kind = kind.map(|text| text.parse::<Topic>()).transpose();
        let kind = kind.map_err(|error| bad(format!("type: {error}")))?;
        let id = evaluation.map(|text| text.parse::<Uuid>()).transpose();
        let id = id.map_err(|_| bad("evaluation: the id of an evaluation"))?;
        let limit = limit.map_or(Ok(DEFAULT_PAGE_SIZE), |text| text.parse());
        let limit = limit.ok().filter(|limit| (1..=MAX_PAGE_SIZE).contains(limit));
        let limit = limit.ok_or_else(|| bad(format!("limit: 1 to {MAX_PAGE_SIZE}")))?;
        let after = cursor.map_or(Ok(0), |text| text.parse());
        let after =
            after.map_err(|_| bad("cursor: the next_cursor of another page, or an event's id"))?;
        let topics: Vec<_> = kind.into_iter().chain(id.map(Topic::Evaluation)).collect();
        let page = self.bus.history(&topics, after, limit).await;
        let page = page.map_err(|error| Problem::internal(&error))?;
        json(StatusCode::OK, &self.visible(&request.context(), page).await?)
    }
    // ANCHOR_END: page

    /// What a client may see of a page.
    async fn visible(
        &self,
        context: &RequestContext,
        page: HistoryPage,
    ) -> Result<EventsPage, Problem> {
        let principal = context.principal.as_deref();
        let reader = principal.filter(|principal| !self.keys.is_admin(principal));
        let HistoryPage { events, missed, next: next_cursor } = page;
        let mut items = Vec::with_capacity(events.len());
        for event in events {
            if self.is_shown(reader, &event).await? {
                let text = RawValue::from_string(event.to_json(SOURCE));
                items.push(text.map_err(|error| Problem::internal(&error))?);
            }
        }
        Ok(EventsPage { items, missed, next_cursor })
    }

    /// Whether an event is shown to a key. None sees everything.
    async fn is_shown(
        &self,
        reader: Option<&str>,
        event: &SequencedEvent,
    ) -> Result<bool, Problem> {
        let Some(principal) = reader else { return Ok(true) };
        match event.event.subject {
            Some(id) => Ok(self.owners.is_owner(principal, id).await?),
            None => Ok(event.event.kind.as_str().starts_with(PUBLIC_TYPES)),
        }
    }
}

fn bad(detail: impl Into<String>) -> Problem {
    Problem::new(StatusCode::BAD_REQUEST, detail)
}
