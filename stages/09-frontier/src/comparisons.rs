//! `POST /compare`: one program in two environments, and what differs between the two runs.
//!
//! Both are ordinary evaluations, accepted together as those of a batch are: quotas, owners and the audit log treat
//! them so. A server has one engine, so what can differ is the environment; two equal ones show whether a program
//! does the same twice.
//!
//! | attack | setting | test |
//! |---|---|---|
//! | two outputs whose difference takes a minute to find | so many lines and bytes of each are compared | `the_difference_of_two_hostile_outputs_is_bounded` |
//! | the id of another key's comparison | it is found for its owner only | `another_keys_comparison_does_not_exist` |

mod difference;
mod wire;

use std::sync::Arc;
use std::time::Duration;

use http::{Method, StatusCode};
use jiff::Timestamp;
use serde::Serialize;
use shared::evaluation::Usage;
use shared::http::{MatchedRequest, Problem, Response, Router, StatefulRouter, json};
use shared::{
    Evaluation, Evaluations as _, EvaluationsError, Outcome, RequestContext, SandboxInfo,
};
use stage_02_queue::preferred_wait;
use tokio::time::Instant;
use uuid::Uuid;

use crate::audit::actions;
use crate::batches::{BatchKind, Groups, Plan, Row, accepted};
use difference::Differences;

/// Compares the runs of a program in two environments.
pub(crate) struct Comparisons {
    groups: Arc<Groups>,
}

/// A comparison as clients see it.
#[derive(Debug, Serialize)]
struct Comparison {
    id: Uuid,
    status: &'static str,
    created_at: Timestamp,
    evaluations: Vec<Compared>,
    /// None until both have ended, and when one is no longer stored.
    differences: Option<Differences>,
}

/// One of the two evaluations.
#[derive(Debug, Serialize)]
struct Compared {
    environment: String,
    id: Uuid,
    /// A status, or `deleted`.
    status: String,
    outcome: Option<Outcome>,
    exit_code: Option<i32>,
    signal: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    usage: Option<Usage>,
    #[serde(skip_serializing_if = "Option::is_none")]
    sandbox: Option<SandboxInfo>,
}

type Answer = Result<Response, Problem>;

impl Comparisons {
    pub(crate) fn new(groups: Arc<Groups>) -> Arc<Self> {
        Arc::new(Self { groups })
    }

    /// The routes, to be merged over those of the platform.
    pub(crate) fn routes(self: &Arc<Self>) -> Router {
        let routes: StatefulRouter<Arc<Self>> = Router::with_state(Arc::clone(self))
            .route(Method::POST, "/compare", Self::submit)
            .route(Method::GET, "/compare/{id}", Self::get);
        routes.into()
    }

    async fn submit(self: Arc<Self>, mut request: MatchedRequest) -> Answer {
        let [] = request.query([])?;
        let (wait, context) = (preferred_wait(&request)?, request.context());
        let (environments, submissions) = self.groups.parsed(&mut request, wire::parse).await?;
        self.groups.check_health()?;
        let plan = Plan {
            kind: BatchKind::Comparison,
            detail: environments.join(" "),
            submissions,
            follower: None,
            action: actions::COMPARISON_SUBMIT,
        };
        let row = self.groups.accept(&context, plan).await?;
        let comparison = self.comparison(&context, &row, wait.unwrap_or_default()).await?;
        let has_ended = wait.is_some() && comparison.status == "ended";
        accepted(has_ended, &format!("/compare/{}", row.id), wait, &comparison)
    }

    async fn get(self: Arc<Self>, request: MatchedRequest) -> Answer {
        let [] = request.query([])?;
        let (id, context) = (request.param("id")?, request.context());
        let row = self.groups.find(&context, BatchKind::Comparison, id).await?;
        json(StatusCode::OK, &self.comparison(&context, &row, Duration::ZERO).await?)
    }

    /// The comparison as it is, or as it is when both have ended within `wait`.
    async fn comparison(
        &self,
        context: &RequestContext,
        row: &Row,
        wait: Duration,
    ) -> Result<Comparison, EvaluationsError> {
        let deadline = Instant::now() + wait;
        let (mut found, mut evaluations) = (Vec::new(), Vec::new());
        for (id, environment) in row.members.iter().zip(row.detail.split(' ')) {
            let left = deadline.saturating_duration_since(Instant::now());
            let evaluation = match self.groups.platform.wait(context, *id, left).await {
                Ok(evaluation) => Some(evaluation),
                Err(EvaluationsError::NotFound) => None, // no longer stored
                Err(error) => return Err(error),
            };
            evaluations.push(Compared::new(*id, environment, evaluation.as_ref()));
            found.push(evaluation);
        }
        let has_ended = |evaluation: &Option<Evaluation>| {
            evaluation.as_ref().is_none_or(|evaluation| evaluation.status.is_final())
        };
        let is_ended = found.iter().all(has_ended);
        let differences = match <[_; 2]>::try_from(found) {
            Ok([Some(one), Some(other)]) if is_ended => {
                let compare = move || Differences::between(&one, &other);
                let compared = tokio::task::spawn_blocking(compare).await;
                Some(compared.map_err(|error| EvaluationsError::Internal(error.into()))?)
            }
            _ => None,
        };
        Ok(Comparison {
            id: row.id,
            status: if is_ended { "ended" } else { "running" },
            created_at: row.created_at,
            evaluations,
            differences,
        })
    }
}

impl Compared {
    fn new(id: Uuid, environment: &str, evaluation: Option<&Evaluation>) -> Self {
        let status = evaluation.and_then(|found| serde_json::to_value(found.status).ok());
        Self {
            environment: environment.to_owned(),
            id,
            status: status
                .as_ref()
                .and_then(serde_json::Value::as_str)
                .unwrap_or("deleted")
                .to_owned(),
            outcome: evaluation.and_then(|found| found.outcome),
            exit_code: evaluation.and_then(|found| found.exit_code),
            signal: evaluation.and_then(|found| found.signal.clone()),
            usage: evaluation.and_then(|found| found.usage),
            sandbox: evaluation.and_then(|found| found.sandbox.clone()),
        }
    }
}
