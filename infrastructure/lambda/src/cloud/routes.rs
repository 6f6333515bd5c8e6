//! The routes beside those of stage 02: liveness, files, and the protocol of stage 10's workers.

use std::sync::Arc;

use http::{Method, StatusCode};
use serde::de::DeserializeOwned;
use serde_json::json as value;
use shared::Evaluations as _;
use shared::http::{MatchedRequest, Problem, Response, Router, StatefulRouter, full, json};
use stage_08_openapi::parsed_body;
use stage_10_frontier_events::{
    Announcement, ClaimRequest, FileRequest, OutputRequest, ResultRequest, SyncRequest,
};

use super::Cloud;
use super::workers::Caller;

type Answer = Result<Response, Problem>;

/// All routes of a function.
pub(crate) fn routes(cloud: &Arc<Cloud>) -> Router {
    let own: StatefulRouter<Arc<Cloud>> = Router::with_state(Arc::clone(cloud))
        .route(Method::GET, "/eval", page)
        .route(Method::GET, "/eval/{id}/artifacts", Cloud::artifacts)
        .route(Method::GET, "/eval/{id}/artifacts/{number}", Cloud::artifact)
        .route(Method::GET, "/workers", list)
        .route(Method::PUT, "/workers/{id}", announce)
        .route(Method::DELETE, "/workers/{id}", leave)
        .route(Method::POST, "/workers/{id}/drain", drain)
        .route(Method::POST, "/workers/{id}/sync", sync)
        .route(Method::POST, "/workers/{id}/claim", claim)
        .route(Method::POST, "/workers/{id}/output", output)
        .route(Method::POST, "/workers/{id}/files", files)
        .route(Method::POST, "/workers/{id}/result", result);
    stage_02_queue::routes(cloud.clone(), cloud.options.bounds)
        .route(Method::GET, "/health", health)
        .merge(own)
}

/// The process lives. It has nothing that could not be ready.
async fn health(request: MatchedRequest) -> Answer {
    let [_ready] = request.query(["ready"])?;
    json(StatusCode::OK, &value!({ "status": "alive" }))
}

async fn page(cloud: Arc<Cloud>, request: MatchedRequest) -> Answer {
    let query = stage_06_advanced::filtered_query(&request)?;
    stage_02_queue::page_response(cloud.list(&request.context(), query).await?).await
}

async fn list(cloud: Arc<Cloud>, request: MatchedRequest) -> Answer {
    let [] = request.query([])?;
    json(StatusCode::OK, &value!({ "items": cloud.workers().await? }))
}

async fn announce(cloud: Arc<Cloud>, mut request: MatchedRequest) -> Answer {
    let caller = caller(&request)?;
    let announcement: Announcement = body(&mut request)?;
    json(StatusCode::OK, &cloud.announce(&caller, announcement).await?)
}

async fn leave(cloud: Arc<Cloud>, request: MatchedRequest) -> Answer {
    cloud.leave(&caller(&request)?).await?;
    Ok(done())
}

async fn drain(cloud: Arc<Cloud>, request: MatchedRequest) -> Answer {
    cloud.drain(caller(&request)?.worker).await?;
    Ok(done())
}

async fn sync(cloud: Arc<Cloud>, mut request: MatchedRequest) -> Answer {
    let caller = caller(&request)?;
    let sync: SyncRequest = body(&mut request)?;
    json(StatusCode::OK, &cloud.sync(&caller, &sync).await?)
}

async fn claim(cloud: Arc<Cloud>, mut request: MatchedRequest) -> Answer {
    let caller = caller(&request)?;
    let claim: ClaimRequest = body(&mut request)?;
    json(StatusCode::OK, &cloud.claim(&caller, &claim).await?)
}

async fn output(cloud: Arc<Cloud>, mut request: MatchedRequest) -> Answer {
    let caller = caller(&request)?;
    let OutputRequest { token, pieces } = body(&mut request)?;
    cloud.push(&caller, &token, pieces).await?;
    Ok(done())
}

async fn files(cloud: Arc<Cloud>, mut request: MatchedRequest) -> Answer {
    let caller = caller(&request)?;
    let part: FileRequest = body(&mut request)?;
    cloud.file(&caller, &part).await?;
    Ok(done())
}

async fn result(cloud: Arc<Cloud>, mut request: MatchedRequest) -> Answer {
    let caller = caller(&request)?;
    let result: ResultRequest = body(&mut request)?;
    cloud.result(&caller, result).await?;
    Ok(done())
}

/// The worker that a request is from or about.
fn caller(request: &MatchedRequest) -> Result<Caller, Problem> {
    let [] = request.query([])?;
    let principal = request.context().principal.unwrap_or_default();
    Ok(Caller { worker: request.param("id")?, principal })
}

/// The body, which the contract has checked and parsed.
fn body<T: DeserializeOwned>(request: &mut MatchedRequest) -> Result<T, Problem> {
    parsed_body(request)
        .map_err(|error| Problem::new(StatusCode::UNPROCESSABLE_ENTITY, error.to_string()))
}

fn done() -> Response {
    let mut response = Response::new(full(""));
    *response.status_mut() = StatusCode::NO_CONTENT;
    response
}
