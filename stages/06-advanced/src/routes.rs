//! What this stage adds to the HTTP API: liveness, status, self tests, and filters on the list.

use std::sync::Arc;

use http::{Method, StatusCode};
use serde_json::json as value;
use shared::http::{Call, Problem, Response, Router, json};
use shared::{Evaluations, Outcome, Query};

use crate::health::PlatformStatus;
use crate::platform::Platform;

// ANCHOR: routes
/// The routes over `platform`, to be merged over those of the layers below.
pub(crate) fn routes(platform: &Arc<Platform>) -> Router {
    let route = |answer: fn(Arc<Platform>, Call) -> Answer| {
        let platform = platform.clone();
        move |call| std::future::ready(answer(platform.clone(), call))
    };
    let testing = platform.clone();
    Router::new()
        .route(Method::GET, "/health", route(health))
        .route(Method::GET, "/status", route(status))
        .route(Method::GET, "/eval", route(list))
        .route(Method::POST, "/self-test", move |call| self_test(testing.clone(), call))
}
// ANCHOR_END: routes

type Answer = Result<Response, Problem>;

/// Alive is who answers. With `ready=true` the answer is 503 while no work is taken, for whoever
/// sends requests where they are taken.
#[allow(clippy::needless_pass_by_value, reason = "all handlers have one shape")]
fn health(platform: Arc<Platform>, call: Call) -> Answer {
    let [ready] = call.query(["ready"])?;
    if is_true(ready.as_deref(), "ready")? && !platform.health.is_ready() {
        let detail = "alive, but no work is taken; GET /status says why";
        return Err(Problem::new(StatusCode::SERVICE_UNAVAILABLE, detail));
    }
    Ok(json(StatusCode::OK, &value!({ "status": "alive" })))
}

#[allow(clippy::needless_pass_by_value, reason = "all handlers have one shape")]
fn status(platform: Arc<Platform>, call: Call) -> Answer {
    let [] = call.query([])?;
    Ok(json(StatusCode::OK, &platform.status()))
}

#[allow(clippy::needless_pass_by_value, reason = "all handlers have one shape")]
fn list(platform: Arc<Platform>, call: Call) -> Answer {
    let names = ["status", "outcome", "label", "limit", "cursor"];
    let [status, outcome, label, limit, cursor] = call.query(names)?;
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
    let query = Query { outcome: outcome.transpose()?, label: label.transpose()?, ..query };
    Ok(json(StatusCode::OK, &platform.list(query)))
}

/// One run at a time: each costs sandboxes, and whoever asks twice learns nothing new.
async fn self_test(platform: Arc<Platform>, call: Call) -> Answer {
    let [suite] = call.query(["suite"])?;
    let suite = is_true(suite.as_deref(), "suite")?;
    let Some(report) = platform.self_test(suite).await else {
        let detail = "a self test is running; GET /status has its results when it is over";
        return Err(Problem::new(StatusCode::CONFLICT, detail));
    };
    let status = if report.passed { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    Ok(json(status, &report))
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
    /// What runs on what, and whether it is fit for work.
    pub fn status(self: &Arc<Self>) -> PlatformStatus {
        let parts = self.components();
        PlatformStatus {
            stage: self.options.stage,
            version: env!("CARGO_PKG_VERSION"),
            ready: self.health.is_ready(),
            isolation: self.options.isolation,
            sandbox: self.sandbox.clone(),
            started_at: self.started.0,
            uptime_seconds: self.started.1.elapsed().as_secs(),
            queue: self.queue_stats(),
            storage: self.parts.storage.usage(),
            components: parts
                .iter()
                .map(|part| (part.name().to_owned(), self.health.last(part.name())))
                .collect(),
        }
    }
}
