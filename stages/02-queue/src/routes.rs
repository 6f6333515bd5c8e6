//! The HTTP API of every stage from here on: submit, look, list, cancel.

use std::sync::Arc;
use std::time::Duration;

use http::{HeaderValue, Method, StatusCode, header};
use shared::evaluations::Query;
use shared::http::{Call, Problem, Response, Router, bytes, json, page};
use shared::{Bounds, Evaluations, Status, Submission};
use uuid::Uuid;

/// The longest a client may wait for an answer with `Prefer: wait`, in seconds.
const MAX_WAIT: u64 = 300;
/// How long `DELETE` waits for a running program to be gone before it answers 202.
const CANCEL_WAIT: Duration = Duration::from_secs(5);
/// Evaluations on one page of the list, unless asked otherwise, and at most.
const PAGE: (usize, usize) = (20, 100);

// ANCHOR: routes
/// The routes over `evaluations`. Submissions are held to `bounds`.
pub fn routes(evaluations: Arc<dyn Evaluations>, bounds: Bounds) -> Router {
    let api = Api { evaluations, bounds };
    Router::new()
        .route(Method::POST, "/eval", api.handler(Api::submit))
        .route(Method::GET, "/eval", api.handler(Api::list))
        .route(Method::GET, "/eval/{id}", api.handler(Api::get))
        .route(Method::DELETE, "/eval/{id}", api.handler(Api::cancel))
        .route(Method::GET, "/queue", api.handler(Api::queue))
}
// ANCHOR_END: routes

/// The page of this stage.
///
/// Attack: a program prints `<script>` → the page shows output as text only, and its policy lets
/// nothing run but the page's own file.
pub fn page_routes() -> Router {
    let policy = "default-src 'none'; connect-src 'self'; script-src 'self'; style-src 'self'; \
                  frame-ancestors 'none'; base-uri 'none'; form-action 'none'";
    let file = |content_type, text: &'static str| {
        move |_| async move { Ok(bytes(StatusCode::OK, content_type, text)) }
    };
    Router::new()
        .route(
            Method::GET,
            "/",
            move |_| async move { Ok(page(include_str!("page.html"), policy)) },
        )
        .route(Method::GET, "/page.js", file("text/javascript", include_str!("page.js")))
        .route(Method::GET, "/page.css", file("text/css", include_str!("page.css")))
}

#[derive(Clone)]
struct Api {
    evaluations: Arc<dyn Evaluations>,
    bounds: Bounds,
}

type Answer = Result<Response, Problem>;

#[allow(clippy::unused_async, reason = "all handlers have one shape, waiting or not")]
impl Api {
    fn handler<F>(&self, method: fn(Self, Call) -> F) -> impl Fn(Call) -> F + Send + Sync + use<F>
    where
        F: Future<Output = Answer>,
    {
        let api = self.clone();
        move |call| method(api.clone(), call)
    }

    // ANCHOR: submit
    async fn submit(self, call: Call) -> Answer {
        require_json(&call)?;
        let [] = call.query([])?;
        let wait = preferred_wait(&call)?;
        let submission = Submission::parse(call.request.body(), &self.bounds)?;
        let mut evaluation = self.evaluations.submit(submission, None)?;
        let mut status = StatusCode::ACCEPTED;
        if let Some(limit) = wait
            && self.wait(evaluation.id, limit).await
            && let Some(ended) = self.evaluations.get(evaluation.id)
        {
            (evaluation, status) = (ended, StatusCode::OK);
        }
        let location = HeaderValue::from_str(&format!("/eval/{}", evaluation.id));
        let mut response = json(status, &evaluation);
        let headers = response.headers_mut();
        headers.insert(header::LOCATION, location.map_err(|error| Problem::internal(&error))?);
        if let Some(limit) = wait
            && let Ok(applied) = HeaderValue::try_from(format!("wait={}", limit.as_secs()))
        {
            headers.insert("preference-applied", applied);
        }
        Ok(response)
    }
    // ANCHOR_END: submit

    /// Waits until the evaluation has ended. False when it has not within `limit`.
    async fn wait(&self, id: Uuid, limit: Duration) -> bool {
        let Some(finished) = self.evaluations.finished(id) else { return false };
        tokio::time::timeout(limit, finished.cancelled()).await.is_ok()
    }

    async fn get(self, call: Call) -> Answer {
        let [] = call.query([])?;
        let found = self.evaluations.get(call.param("id")?);
        Ok(json(StatusCode::OK, &found.ok_or_else(Problem::unknown_evaluation)?))
    }

    async fn list(self, call: Call) -> Answer {
        let [status, limit, cursor] = call.query(["status", "limit", "cursor"])?;
        Ok(json(StatusCode::OK, &self.evaluations.list(list_query(status, limit, cursor)?)))
    }

    async fn cancel(self, call: Call) -> Answer {
        let [] = call.query([])?;
        let id = call.param("id")?;
        let evaluation = self.evaluations.cancel(id)?;
        if !self.wait(id, CANCEL_WAIT).await {
            return Ok(json(StatusCode::ACCEPTED, &evaluation));
        }
        Ok(json(StatusCode::OK, &self.evaluations.get(id).unwrap_or(evaluation)))
    }

    async fn queue(self, call: Call) -> Answer {
        let [] = call.query([])?;
        Ok(json(StatusCode::OK, &self.evaluations.queue_stats()))
    }
}

/// What `GET /eval` asks for, by the texts of its query parameters.
///
/// # Errors
///
/// 400 when one of them is not what it should be.
pub fn list_query(
    status: Option<String>,
    limit: Option<String>,
    cursor: Option<String>,
) -> Result<Query, Problem> {
    let bad = |detail: &str| Problem::new(StatusCode::BAD_REQUEST, detail);
    let status = status.map(|text| {
        serde_json::from_value::<Status>(text.into())
            .map_err(|_| bad("status is one of: queued, running, completed, failed, cancelled"))
    });
    let limit = limit.map_or(Ok(PAGE.0), |text| {
        let number = text.parse().ok().filter(|number| (1..=PAGE.1).contains(number));
        number.ok_or_else(|| bad("limit is a number from 1 to 100"))
    });
    let cursor = cursor.map(|text| {
        text.parse::<Uuid>().map_err(|_| bad("cursor is the next_cursor of the page before"))
    });
    let (status, limit, cursor) = (status.transpose()?, limit?, cursor.transpose()?);
    Ok(Query { status, limit, cursor, ..Query::default() })
}

/// A page of another site can post a form or plain text here without asking; JSON it cannot.
fn require_json(call: &Call) -> Result<(), Problem> {
    let media = call.header("content-type").unwrap_or_default();
    let media = media.split(';').next().unwrap_or_default().trim();
    if media.eq_ignore_ascii_case("application/json") {
        return Ok(());
    }
    let detail = "send JSON, with the header Content-Type: application/json";
    Err(Problem::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, detail))
}

/// The wait of `Prefer: wait=N` (RFC 7240), if asked for. Other preferences are not ours.
fn preferred_wait(call: &Call) -> Result<Option<Duration>, Problem> {
    let header = call.header("prefer").unwrap_or_default();
    for preference in header.split(',') {
        let (name, value) = preference.trim().split_once('=').unwrap_or_default();
        if name.trim().eq_ignore_ascii_case("wait") {
            let seconds = value.trim().parse().ok().filter(|it| *it <= MAX_WAIT);
            let seconds = seconds.ok_or_else(|| {
                let detail = format!("Prefer: wait takes whole seconds, at most {MAX_WAIT}");
                Problem::new(StatusCode::BAD_REQUEST, detail)
            })?;
            return Ok(Some(Duration::from_secs(seconds)));
        }
    }
    Ok(None)
}
