//! What this stage adds to the HTTP API: event streams, metrics, and a page that shows them.

use std::sync::Arc;

use http::{Method, StatusCode, header};
use shared::http::{MatchedRequest, Problem, Response, Router, bytes};
use shared::{Evaluations, EvaluationsError};
use stage_02_queue::UNAVAILABLE_RETRY_SECONDS;
use uuid::Uuid;

use crate::client_streams::ClientStreams;
use crate::event_log::{Filter, SubscribeError};
pub use crate::page::StageInfo;
use crate::service::MonitoringService;
use crate::{page, sse};

/// The content type of the `OpenMetrics` text format.
const OPEN_METRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

// ANCHOR: routes
/// The routes over `monitor`, to be merged over those of the queue, and the page of `stage`.
pub fn routes(
    monitor: Arc<dyn MonitoringService>,
    evaluations: Arc<dyn Evaluations>,
    stage: StageInfo,
) -> Router {
    let source: &'static str = stage.name;
    let streams = Arc::default();
    let events: Router = Router::with_state(Api { monitor, evaluations, source, streams })
        .route(Method::GET, "/eval/{id}/events", Api::evaluation_events)
        .route(Method::GET, "/events", Api::all_events)
        .route(Method::GET, "/metrics", Api::metrics)
        .into();
    events.merge(page::routes(stage))
}
// ANCHOR_END: routes

#[derive(Clone)]
struct Api {
    monitor: Arc<dyn MonitoringService>,
    evaluations: Arc<dyn Evaluations>,
    source: &'static str,
    streams: Arc<ClientStreams>,
}

type Answer = Result<Response, Problem>;

impl Api {
    async fn evaluation_events(self, request: MatchedRequest) -> Answer {
        let id: Uuid = request.param("id")?;
        self.follow(&request, Filter::Evaluation(id)).await
    }

    async fn all_events(self, request: MatchedRequest) -> Answer {
        self.follow(&request, Filter::Everything).await
    }

    // ANCHOR: resume
    async fn follow(&self, request: &MatchedRequest, filter: Filter) -> Answer {
        let [] = request.query([])?;
        let too_many = |detail: &'static str| {
            let problem = Problem::new(StatusCode::SERVICE_UNAVAILABLE, detail);
            problem.with_header(header::RETRY_AFTER, UNAVAILABLE_RETRY_SECONDS)
        };
        let slot = self.streams.acquire(request.context().peer);
        let slot = slot.ok_or_else(|| {
            too_many("this address has all the event streams that it may have; close some")
        })?;
        match self.monitor.subscribe(filter, last_event_id(request)?).await {
            Ok(subscription) => Ok(sse::response(subscription, self.source, slot)),
            Err(SubscribeError::Ended) => Ok(sse::no_more()),
            Err(SubscribeError::Unknown) => Err(self.unknown(request, filter).await),
            Err(SubscribeError::FutureId { newest }) => {
                let detail =
                    format!("Last-Event-ID is not an id of this server, which is at {newest}");
                // Well formed, and in conflict with the log as it is: 400 would blame the form.
                Err(Problem::new(StatusCode::CONFLICT, detail))
            }
            Err(SubscribeError::TooMany) => {
                Err(too_many("every place for a reader of events is taken; try again"))
            }
            Err(error @ SubscribeError::Unavailable(_)) => Err(Problem::internal(&error)),
        }
    }
    // ANCHOR_END: resume

    async fn unknown(&self, request: &MatchedRequest, filter: Filter) -> Problem {
        let Filter::Evaluation(id) = filter else {
            return EvaluationsError::NotFound.into();
        };
        match self.evaluations.get(&request.context(), id).await {
            Ok(_) => {
                let detail = "the events of this evaluation are not kept any more; \
                              GET /eval/{id} has its output and outcome";
                Problem::new(StatusCode::GONE, detail)
            }
            Err(error) => error.into(),
        }
    }

    async fn metrics(self, request: MatchedRequest) -> Answer {
        let [] = request.query([])?;
        self.monitor.counted().await;
        let text = self.monitor.metrics(self.evaluations.queue_stats().await?);
        let text = text.ok_or_else(|| {
            Problem::new(StatusCode::NOT_FOUND, "this server's monitor does not count")
        })?;
        Ok(bytes(StatusCode::OK, OPEN_METRICS, text))
    }
}

/// The number of the last event that the client has, if it has one.
fn last_event_id(request: &MatchedRequest) -> Result<Option<u64>, Problem> {
    let Some(value) = request.request.headers().get("last-event-id") else { return Ok(None) };
    let number = value.to_str().ok().and_then(|text| text.parse().ok());
    number.map(Some).ok_or_else(|| {
        let detail = "Last-Event-ID takes the number of an id: line; leave it out to start anew";
        Problem::new(StatusCode::BAD_REQUEST, detail)
    })
}
