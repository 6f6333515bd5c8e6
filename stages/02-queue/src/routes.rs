//! The HTTP API of every stage from here on: submit, get, list, cancel.

use std::sync::Arc;
use std::time::Duration;

use http::{HeaderValue, Method, StatusCode, header};
use shared::evaluations::Query;
use shared::http::{MatchedRequest, ParsedJson, Problem, Response, Router, bytes, html, json};
use shared::profile::PYTHON;
use shared::{Bounds, Evaluations, Status, Submission};
use uuid::Uuid;

use crate::blocking::off_runtime;
use crate::evaluation_json::{evaluation_response, page_response};
use crate::wire::{parse_submission, submission_from_value};

/// The longest a client may wait for an answer with `Prefer: wait`, in seconds.
const MAX_WAIT_SECONDS: u64 = 300;
/// How long `DELETE` waits for a running program to be gone before it answers 202.
const CANCEL_TIMEOUT: Duration = Duration::from_secs(5);
/// Evaluations on one page of the list, if the request has no `limit`.
const DEFAULT_PAGE_SIZE: usize = 20;
/// Evaluations on one page of the list, at most.
const MAX_PAGE_SIZE: usize = 100;

// ANCHOR: routes
/// The routes over `evaluations`. Submissions are checked against `bounds`.
pub fn routes(evaluations: Arc<dyn Evaluations>, bounds: Bounds) -> Router {
    Router::with_state(Api { evaluations, bounds })
        .route(Method::POST, "/eval", Api::submit)
        .route(Method::GET, "/eval", Api::list)
        .route(Method::GET, "/eval/{id}", Api::get)
        .route(Method::DELETE, "/eval/{id}", Api::cancel)
        .route(Method::GET, "/queue", Api::queue)
        .into()
}
// ANCHOR_END: routes

/// The page of this stage, and its files.
///
/// Attack: a program prints `<script>` → the page shows output as text only, and its policy allows
/// no script but the page's own file.
pub fn index_routes() -> Router {
    let policy = "default-src 'none'; connect-src 'self'; script-src 'self'; style-src 'self'; \
                  frame-ancestors 'none'; base-uri 'none'; form-action 'none'";
    let file = |content_type, text: &'static str| {
        move |_| async move { Ok(bytes(StatusCode::OK, content_type, text)) }
    };
    Router::new()
        .route(
            Method::GET,
            "/",
            move |_| async move { Ok(html(include_str!("page.html"), policy)) },
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

impl Api {
    // ANCHOR: submit
    async fn submit(self, request: MatchedRequest) -> Answer {
        require_json(&request)?;
        let [] = request.query([])?;
        let (wait, context) = (preferred_wait(&request)?, request.context());
        let submission = self.submission(request).await?;
        let accepted = self.evaluations.submit(&context, submission, None).await?;
        let (id, mut ended) = (accepted.id, None);
        if let Some(limit) = wait
            && let Ok(now) = self.evaluations.wait(&context, id, limit).await
            && now.status.is_final()
        {
            // It was accepted: if its output cannot be sent now, it can be requested later.
            ended = evaluation_response(StatusCode::OK, now).await.ok();
        }
        let mut response = match ended {
            Some(response) => response,
            None => evaluation_response(StatusCode::ACCEPTED, accepted).await?,
        };
        let location = HeaderValue::from_str(&format!("/eval/{id}"));
        let location = location.map_err(|error| Problem::internal(&error))?;
        response.headers_mut().insert(header::LOCATION, location);
        if let Some(limit) = wait
            && let Ok(applied) = HeaderValue::try_from(format!("wait={}", limit.as_secs()))
        {
            response.headers_mut().insert("preference-applied", applied);
        }
        Ok(response)
    }
    // ANCHOR_END: submit

    /// The submission in the body: parsed here, unless a layer above has parsed it already. The
    /// request is dropped with its body, since a client may wait for minutes.
    async fn submission(&self, request: MatchedRequest) -> Result<Submission, Problem> {
        let (mut head, body) = request.request.into_parts();
        let (parsed, bounds) = (head.extensions.remove::<ParsedJson>(), self.bounds);
        let bytes = body.len();
        let parse = move || match parsed {
            Some(ParsedJson(value)) => {
                submission_from_value(Arc::unwrap_or_clone(value), &bounds, &PYTHON)
            }
            None => parse_submission(&body, &bounds, &PYTHON),
        };
        let parsed = off_runtime(bytes, parse).await;
        Ok(parsed.map_err(|error| Problem::internal(&error))??)
    }

    async fn get(self, request: MatchedRequest) -> Answer {
        let [] = request.query([])?;
        let id = request.param("id")?;
        let evaluation = self.evaluations.get(&request.context(), id).await?;
        evaluation_response(StatusCode::OK, evaluation).await
    }

    async fn list(self, request: MatchedRequest) -> Answer {
        let [status, limit, cursor] = request.query(["status", "limit", "cursor"])?;
        let query = list_query(status, limit, cursor)?;
        page_response(self.evaluations.list(&request.context(), query).await?).await
    }

    async fn cancel(self, request: MatchedRequest) -> Answer {
        let [] = request.query([])?;
        let (id, context) = (request.param("id")?, request.context());
        let mut evaluation = self.evaluations.cancel(&context, id).await?;
        if let Ok(now) = self.evaluations.wait(&context, id, CANCEL_TIMEOUT).await {
            evaluation = now; // otherwise the archive has removed it already
        }
        let is_final = evaluation.status.is_final();
        let status = if is_final { StatusCode::OK } else { StatusCode::ACCEPTED };
        evaluation_response(status, evaluation).await
    }

    async fn queue(self, request: MatchedRequest) -> Answer {
        let [] = request.query([])?;
        json(StatusCode::OK, &self.evaluations.queue_stats().await?)
    }
}

/// The query of `GET /eval`, from the texts of its parameters.
///
/// # Errors
///
/// 400 when one of them is invalid.
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
    let limit = limit.map_or(Ok(DEFAULT_PAGE_SIZE), |text| {
        let number = text.parse().ok().filter(|number| (1..=MAX_PAGE_SIZE).contains(number));
        number.ok_or_else(|| bad("limit is a number from 1 to 100"))
    });
    let cursor = cursor.map(|text| {
        text.parse::<Uuid>().map_err(|_| bad("cursor is the next_cursor of the page before"))
    });
    let (status, limit, cursor) = (status.transpose()?, limit?, cursor.transpose()?);
    Ok(Query { status, limit, cursor, ..Query::default() })
}

/// Attack: a page of another site posts a form or plain text here, which browsers allow without a
/// preflight request → only JSON is accepted, which needs one.
fn require_json(request: &MatchedRequest) -> Result<(), Problem> {
    let media = request.header("content-type").unwrap_or_default();
    let media = media.split(';').next().unwrap_or_default().trim();
    if media.eq_ignore_ascii_case("application/json") {
        return Ok(());
    }
    let detail = "send JSON, with the header Content-Type: application/json";
    Err(Problem::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, detail))
}

/// The wait of `Prefer: wait=N` (RFC 7240), if there is one. Other preferences are ignored. The header
/// may have several lines, which are one list, and of two waits the first counts.
///
/// # Errors
///
/// 400 when N is not a number of seconds that a client may wait.
pub fn preferred_wait(request: &MatchedRequest) -> Result<Option<Duration>, Problem> {
    let lines = request.request.headers().get_all("prefer").iter();
    let preferences = lines.flat_map(|line| line.to_str().unwrap_or_default().split(','));
    for preference in preferences {
        let (name, value) = preference.trim().split_once('=').unwrap_or_default();
        if name.trim().eq_ignore_ascii_case("wait") {
            let seconds = value.trim().parse().ok().filter(|seconds| *seconds <= MAX_WAIT_SECONDS);
            let seconds = seconds.ok_or_else(|| {
                let detail =
                    format!("Prefer: wait takes whole seconds, at most {MAX_WAIT_SECONDS}");
                Problem::new(StatusCode::BAD_REQUEST, detail)
            })?;
            return Ok(Some(Duration::from_secs(seconds)));
        }
    }
    Ok(None)
}
