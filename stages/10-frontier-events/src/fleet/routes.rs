//! The protocol of workers over HTTP, and the fleet for people.

use std::future::{Ready, ready};
use std::sync::Arc;

use http::{Method, StatusCode, header};
use serde::de::DeserializeOwned;
use shared::Bounds;
use shared::http::{MatchedRequest, Problem, Response, Router, StatefulRouter, full, json};
use stage_06_advanced::Platform;
use stage_08_openapi::parsed_body;

use super::Fleet;
use super::claims::ClaimError;
use super::members::{Caller, MemberError};
use super::session::{Content, ReportError};
use super::status;
use super::suite::FleetTest;
use super::wire::{
    Announcement, ClaimRequest, FileRequest, OutputRequest, ResultRequest, SyncRequest,
};
use crate::broker::BrokerTest;

/// When a request whose commit takes long should be sent again, in seconds.
const RETRY_AFTER_SECONDS: u64 = 1;

type Answer = Result<Response, Problem>;

/// What the routes are connected to.
#[derive(Clone)]
struct Routes {
    /// None where this process runs the programs itself.
    fleet: Option<Arc<Fleet>>,
    platform: Arc<Platform>,
}

/// The routes, to be merged over those of the platform, which verifies the fleet and its broker from now on. Without a
/// fleet no worker can join.
pub fn fleet_routes(fleet: Option<Arc<Fleet>>, platform: &Arc<Platform>, bounds: Bounds) -> Router {
    let broker = fleet.as_ref().map(|fleet| Arc::clone(&fleet.broker));
    platform.health().register_component(Arc::new(BrokerTest(broker)));
    let component = FleetTest { fleet: fleet.clone(), bounds };
    platform.health().register_component(Arc::new(component));
    let routes = Routes { fleet, platform: Arc::clone(platform) };
    let routes: StatefulRouter<Routes> = Router::with_state(routes)
        .route(Method::GET, "/status", Routes::status)
        .route(Method::GET, "/workers", at_once(Routes::list))
        .route(Method::PUT, "/workers/{id}", at_once(Routes::announce))
        .route(Method::DELETE, "/workers/{id}", at_once(Routes::leave))
        .route(Method::POST, "/workers/{id}/drain", at_once(Routes::drain))
        .route(Method::POST, "/workers/{id}/sync", Routes::sync)
        .route(Method::POST, "/workers/{id}/claim", Routes::claim)
        .route(Method::POST, "/workers/{id}/output", Routes::output)
        .route(Method::POST, "/workers/{id}/files", Routes::files)
        .route(Method::POST, "/workers/{id}/result", Routes::result);
    routes.into()
}

impl Routes {
    async fn status(self, request: MatchedRequest) -> Answer {
        let [] = request.query([])?;
        let status = self.platform.status().await?;
        let Some(fleet) = &self.fleet else { return json(StatusCode::OK, &status) };
        json(StatusCode::OK, &status::with_fleet(&status, fleet)?)
    }

    fn list(&self, request: &mut MatchedRequest) -> Answer {
        let [] = request.query([])?;
        let items = self.fleet.as_ref().map(|fleet| status::list(fleet)).unwrap_or_default();
        json(StatusCode::OK, &serde_json::json!({ "items": items }))
    }

    fn announce(&self, request: &mut MatchedRequest) -> Answer {
        let (fleet, caller) = self.caller(request)?;
        let announcement: Announcement = body(request)?;
        json(StatusCode::OK, &fleet.announce(&caller, announcement)?)
    }

    fn leave(&self, request: &mut MatchedRequest) -> Answer {
        let (fleet, caller) = self.caller(request)?;
        fleet.leave(&caller)?;
        Ok(done())
    }

    fn drain(&self, request: &mut MatchedRequest) -> Answer {
        let (fleet, caller) = self.caller(request)?;
        fleet.drain(caller.worker)?;
        Ok(done())
    }

    async fn sync(self, mut request: MatchedRequest) -> Answer {
        let (fleet, caller) = self.caller(&request)?;
        let sync: SyncRequest = body(&mut request)?;
        json(StatusCode::OK, &fleet.sync(&caller, &sync).await?)
    }

    async fn claim(self, mut request: MatchedRequest) -> Answer {
        let (fleet, caller) = self.caller(&request)?;
        let claim: ClaimRequest = body(&mut request)?;
        json(StatusCode::OK, &fleet.claim(&caller, &claim).await?)
    }

    async fn output(self, mut request: MatchedRequest) -> Answer {
        let (fleet, caller) = self.caller(&request)?;
        let OutputRequest { token, pieces } = body(&mut request)?;
        fleet.report(&caller, &token, Content::Output(pieces)).await?;
        Ok(done())
    }

    async fn files(self, mut request: MatchedRequest) -> Answer {
        let (fleet, caller) = self.caller(&request)?;
        let part: FileRequest = body(&mut request)?;
        fleet.report(&caller, &part.token.clone(), Content::File(part)).await?;
        Ok(done())
    }

    async fn result(self, mut request: MatchedRequest) -> Answer {
        let (fleet, caller) = self.caller(&request)?;
        let ResultRequest { token, pieces, file_parts, verdict, excess_bytes } =
            body(&mut request)?;
        let verdict = Box::new(verdict);
        let content = Content::Ended { pieces, file_parts, verdict, excess_bytes };
        fleet.report(&caller, &token, content).await?;
        Ok(done())
    }

    /// The fleet, and the worker that the request is from or about.
    fn caller(&self, request: &MatchedRequest) -> Result<(&Arc<Fleet>, Caller), Problem> {
        let [] = request.query([])?;
        let fleet = self.fleet.as_ref().ok_or_else(|| {
            let detail = "this server runs programs itself; one with --queue, and --role all or --role api, has workers";
            Problem::new(StatusCode::CONFLICT, detail)
        })?;
        let principal = request.context().principal;
        Ok((fleet, Caller { worker: request.param("id")?, principal }))
    }
}

/// A handler that waits for nothing.
fn at_once(
    handler: fn(&Routes, &mut MatchedRequest) -> Answer,
) -> impl Fn(Routes, MatchedRequest) -> Ready<Answer> {
    move |routes, mut request| ready(handler(&routes, &mut request))
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

fn later(detail: String) -> Problem {
    let problem = Problem::new(StatusCode::SERVICE_UNAVAILABLE, detail);
    problem.with_header(header::RETRY_AFTER, RETRY_AFTER_SECONDS)
}

impl From<MemberError> for Problem {
    fn from(error: MemberError) -> Self {
        let status = match error {
            MemberError::Unknown => StatusCode::NOT_FOUND,
            MemberError::Unfit(_) => StatusCode::CONFLICT,
        };
        Self::new(status, error.to_string())
    }
}

impl From<ClaimError> for Problem {
    fn from(error: ClaimError) -> Self {
        match error {
            ClaimError::UnknownWorker => Self::new(StatusCode::NOT_FOUND, error.to_string()),
            ClaimError::Refused(_) => Self::new(StatusCode::CONFLICT, error.to_string()),
            ClaimError::Later => later(error.to_string()),
        }
    }
}

impl From<ReportError> for Problem {
    fn from(error: ReportError) -> Self {
        match error {
            ReportError::Fenced => Self::new(StatusCode::GONE, error.to_string()),
            ReportError::Gap(_) => Self::new(StatusCode::CONFLICT, error.to_string()),
            ReportError::File(_) => Self::new(StatusCode::UNPROCESSABLE_ENTITY, error.to_string()),
            ReportError::Later => later(error.to_string()),
        }
    }
}
