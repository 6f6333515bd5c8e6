//! What this stage adds to the HTTP API: event streams, metrics, and a page that shows them.

use std::future::{Ready, ready};
use std::sync::Arc;

use http::{Method, StatusCode, header};
use shared::Evaluations;
use shared::http::{Call, Problem, Response, Router, bytes};
use uuid::Uuid;

pub use crate::page::StageInfo;
use crate::service::MonitoringService;
use crate::subscription::{Filter, SubscribeError};
use crate::{page, sse};

/// The content type of the `OpenMetrics` text format.
const OPEN_METRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";
/// How long a reader that found no place should stay away, in seconds.
const RETRY_AFTER: u64 = 5;

// ANCHOR: routes
/// The routes over `monitor`, to be merged over those of the queue, and the page of `stage`.
pub fn routes(
    monitor: Arc<dyn MonitoringService>,
    evaluations: Arc<dyn Evaluations>,
    stage: StageInfo,
) -> Router {
    let source: &'static str = stage.name;
    let api = Api { monitor, evaluations, source };
    Router::new()
        .route(Method::GET, "/eval/{id}/events", api.handler(Api::evaluation_events))
        .route(Method::GET, "/events", api.handler(Api::all_events))
        .route(Method::GET, "/metrics", api.handler(Api::metrics))
        .merge(page::routes(stage))
}
// ANCHOR_END: routes

#[derive(Clone)]
struct Api {
    monitor: Arc<dyn MonitoringService>,
    evaluations: Arc<dyn Evaluations>,
    source: &'static str,
}

type Answer = Result<Response, Problem>;

impl Api {
    fn handler(
        &self,
        answer: fn(&Self, &Call) -> Answer,
    ) -> impl Fn(Call) -> Ready<Answer> + Send + Sync + use<> {
        let api = self.clone();
        move |call| ready(answer(&api, &call))
    }

    fn evaluation_events(&self, call: &Call) -> Answer {
        let id: Uuid = call.param("id")?;
        self.follow(call, Filter::Evaluation(id))
    }

    fn all_events(&self, call: &Call) -> Answer {
        self.follow(call, Filter::Everything)
    }

    // ANCHOR: resume
    fn follow(&self, call: &Call, filter: Filter) -> Answer {
        let [] = call.query([])?;
        match self.monitor.subscribe(filter, last_event_id(call)?) {
            Ok(subscription) => Ok(sse::response(subscription, self.source)),
            Err(SubscribeError::Ended) => Ok(sse::no_more()),
            Err(SubscribeError::Unknown) => Err(self.unknown(filter)),
            Err(SubscribeError::FutureId { newest }) => {
                let detail =
                    format!("Last-Event-ID is not an id of this server, which is at {newest}");
                Err(Problem::new(StatusCode::BAD_REQUEST, detail))
            }
            Err(SubscribeError::TooMany) => {
                let detail = "every place for a reader of events is taken; try again";
                let problem = Problem::new(StatusCode::SERVICE_UNAVAILABLE, detail);
                Err(problem.with_header(header::RETRY_AFTER, RETRY_AFTER))
            }
        }
    }
    // ANCHOR_END: resume

    fn unknown(&self, filter: Filter) -> Problem {
        match filter {
            Filter::Evaluation(id) if self.evaluations.get(id).is_some() => {
                let detail = "the events of this evaluation are not kept any more; \
                              GET /eval/{id} has its output and outcome";
                Problem::new(StatusCode::GONE, detail)
            }
            _ => Problem::unknown_evaluation(),
        }
    }

    fn metrics(&self, call: &Call) -> Answer {
        let [] = call.query([])?;
        let text = self.monitor.metrics(self.evaluations.queue_stats());
        let text = text.ok_or_else(|| {
            Problem::new(StatusCode::NOT_FOUND, "this server's monitor does not count")
        })?;
        Ok(bytes(StatusCode::OK, OPEN_METRICS, text))
    }
}

/// The number of the last event the client has, if it has one.
fn last_event_id(call: &Call) -> Result<Option<u64>, Problem> {
    let Some(value) = call.request.headers().get("last-event-id") else { return Ok(None) };
    let number = value.to_str().ok().and_then(|text| text.parse().ok());
    number.map(Some).ok_or_else(|| {
        let detail = "Last-Event-ID takes the number of an id: line; leave it out to start anew";
        Problem::new(StatusCode::BAD_REQUEST, detail)
    })
}
