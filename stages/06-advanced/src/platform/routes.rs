//! What this stage adds to the HTTP API: liveness, status, self tests, and filters on the list.

use std::collections::BTreeMap;
use std::sync::Arc;

use http::{HeaderValue, Method, StatusCode, header};
use jiff::Timestamp;
use serde::Serialize;
use serde_json::json as value;
use shared::http::{MatchedRequest, Problem, Response, Router, json};
use shared::{Evaluations, EvaluationsError, Outcome, Query, QueueStats, SandboxInfo};

use super::Platform;
use super::health::ComponentHealth;
use super::self_test_run::SelfTestRun;
use crate::storage::StorageUsage;

/// What runs on what, and whether it can work.
#[derive(Debug, Clone, Serialize)]
pub struct PlatformStatus {
    /// The stage, by the name of its package.
    pub stage: &'static str,
    /// Its version.
    pub version: &'static str,
    /// Whether it accepts work now.
    pub ready: bool,
    /// One line on what isolates a program from the machine.
    pub isolation: &'static str,
    /// The same in detail: engine, runtime and its version, image. Absent without an engine.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sandbox: Option<SandboxInfo>,
    /// When the platform was started.
    pub started_at: Timestamp,
    /// How long ago that was, in seconds.
    pub uptime_seconds: u64,
    /// The state of the queue.
    pub queue: QueueStats,
    /// How much is stored.
    pub storage: StorageUsage,
    /// The last self test of each component, by its name; null for one that was not tested since the
    /// start.
    pub components: BTreeMap<String, Option<ComponentHealth>>,
}

// ANCHOR: routes
/// The routes over `platform`, to be merged over those of the layers below.
pub(super) fn routes(platform: &Arc<Platform>) -> Router {
    Router::with_state(Arc::clone(platform))
        .route(Method::GET, "/health", health)
        .route(Method::GET, "/status", status)
        .route(Method::GET, "/eval", list)
        .route(Method::POST, "/self-test", start_self_test)
        .route(Method::GET, "/self-test/{id}", self_test)
        .into()
}
// ANCHOR_END: routes

type Answer = Result<Response, Problem>;

/// Liveness is always 200; `ready=true` answers 503 while no work is accepted, for a load balancer.
async fn health(platform: Arc<Platform>, request: MatchedRequest) -> Answer {
    let [ready] = request.query(["ready"])?;
    if is_true(ready.as_deref(), "ready")? && !platform.health.is_ready() {
        let detail = "alive, but no work is taken; GET /status says why";
        return Err(Problem::new(StatusCode::SERVICE_UNAVAILABLE, detail));
    }
    json(StatusCode::OK, &value!({ "status": "alive" }))
}

async fn status(platform: Arc<Platform>, request: MatchedRequest) -> Answer {
    let [] = request.query([])?;
    json(StatusCode::OK, &platform.status().await?)
}

async fn list(platform: Arc<Platform>, request: MatchedRequest) -> Answer {
    let query = filtered_query(&request)?;
    stage_02_queue::page_response(platform.list(&request.context(), query).await?).await
}

/// The query of `GET /eval` with all filters of the contract.
///
/// # Errors
///
/// 400 when a parameter is invalid, unknown, or there twice.
pub fn filtered_query(request: &MatchedRequest) -> Result<Query, Problem> {
    let names = ["status", "outcome", "label", "limit", "cursor"];
    let [status, outcome, label, limit, cursor] = request.query(names)?;
    let bad = |detail: &str| Problem::new(StatusCode::BAD_REQUEST, detail);
    let outcome = outcome.map(|text| {
        serde_json::from_value::<Outcome>(text.into())
            .map_err(|_| bad("outcome is one of those an evaluation can have, such as exited"))
    });
    let label = label.map(|text| match text.split_once(':') {
        Some((key, value)) => Ok((key.to_owned(), value.to_owned())),
        None => Err(bad("label is the key and the value of one label: key:value")),
    });
    let query = stage_02_queue::list_query(status, limit, cursor)?;
    Ok(Query { outcome: outcome.transpose()?, label: label.transpose()?, ..query })
}

// ANCHOR: self_test
/// Starts a run, or joins the one that is under way. With `Prefer: wait` the response is 200 if the run
/// ends in time, whatever its result: that a component is broken is not an error of this request.
async fn start_self_test(platform: Arc<Platform>, request: MatchedRequest) -> Answer {
    let [suite] = request.query(["suite"])?;
    let suite = is_true(suite.as_deref(), "suite")?;
    let wait = stage_02_queue::preferred_wait(&request)?;
    let run = platform.health.start_self_test(suite).map_err(EvaluationsError::from)?;
    let location = format!("/self-test/{}", run.id);
    let ended = match wait {
        Some(limit) => platform.health.wait_for_self_test(run.id, limit).await,
        None => None,
    };
    let mut response = match ended.filter(SelfTestRun::is_final) {
        Some(run) => json(StatusCode::OK, &run)?,
        None => json(StatusCode::ACCEPTED, &run)?,
    };
    let value = |text: &str| HeaderValue::from_str(text).map_err(|error| Problem::internal(&error));
    response.headers_mut().insert(header::LOCATION, value(&location)?);
    if let Some(limit) = wait {
        let applied = format!("wait={}", limit.as_secs());
        response.headers_mut().insert("preference-applied", value(&applied)?);
    }
    Ok(response)
}
// ANCHOR_END: self_test

async fn self_test(platform: Arc<Platform>, request: MatchedRequest) -> Answer {
    let [] = request.query([])?;
    let run = platform.health.self_test_run(request.param("id")?).ok_or_else(|| {
        let detail = "there is no run of the self tests with this id, or it is too old to be kept";
        Problem::new(StatusCode::NOT_FOUND, detail)
    })?;
    json(StatusCode::OK, &run)
}

fn is_true(text: Option<&str>, name: &str) -> Result<bool, Problem> {
    match text {
        None | Some("false") => Ok(false),
        Some("true") => Ok(true),
        Some(_) => {
            let detail = format!("{name} is true or false");
            Err(Problem::new(StatusCode::BAD_REQUEST, detail))
        }
    }
}

impl Platform {
    /// What runs on what, and whether it can work.
    ///
    /// # Errors
    ///
    /// When the queue cannot be read.
    pub async fn status(&self) -> Result<PlatformStatus, EvaluationsError> {
        Ok(PlatformStatus {
            stage: self.options.stage,
            version: env!("CARGO_PKG_VERSION"),
            ready: self.health.is_ready(),
            isolation: self.options.isolation,
            sandbox: self.components.engine.as_ref().map(|engine| engine.sandbox()),
            started_at: self.started.0,
            uptime_seconds: self.started.1.elapsed().as_secs(),
            queue: self.queue_stats().await?,
            storage: self.components.storage.usage(),
            components: self.health.results(),
        })
    }
}
