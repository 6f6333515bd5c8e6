//! An API checked against a contract in both directions.
//!
//! | attack | defence | test |
//! |---|---|---|
//! | a route that was forgotten, or left over from an experiment, answers clients | what is not in the contract does not exist, whatever the API below would answer | `what_the_contract_does_not_name_does_not_exist` |
//! | a client sends a large body with a request that is wrong in its head | the head is checked before the body is read | `a_head_outside_the_contract_costs_no_body` |
//! | a body of two megabytes keeps a runtime thread busy | large bodies are parsed and checked on a blocking thread, a few at a time | `a_large_body_is_checked_off_the_runtime` |
//! | a response of megabytes is parsed again for its check, for each of many clients | large responses are checked by their [`outline`] while they are sent | `a_large_response_is_checked_by_its_outline` |
//! | a change below makes a response contain more than it should | a field or a header that the contract does not name is logged, counted, and in strict mode not sent | `a_response_outside_the_contract_is_not_sent` |
//! | an error repeats the value that caused it, and so a secret, or a script | details are made from the contract, never from the value | `schema::values_are_never_repeated` |
//!
//! What it does not protect against: whatever is within the contract.

use std::sync::Arc;

use http::request::Parts;
use http::{StatusCode, header};
use http_body::Body as _;
use http_body_util::BodyExt;
use shared::http::{ApiService, Body, BodyPolicy, ParsedJson, Problem, Request, Response, full};
use shared::{BoxFuture, RequestContext};
use stage_02_queue::off_runtime;
use stage_06_advanced::Platform;

use crate::contract::Contract;
use crate::contract_metrics::ContractMetrics;
use crate::media;
use crate::operation::{Content, Operation};
use crate::outline;
use crate::response::{ExpectedBody, check_body};
use crate::schema::Schema;
use crate::stream::EventValidator;
use crate::violation::{Kind, Part, Violation, Violations};

/// The operation whose response gets the metrics of this layer.
const METRICS: &str = "getMetrics";
/// The label of requests that match no operation.
const NO_OPERATION: &str = "none";
/// A response of JSON that is larger is checked by its outline, while it is sent.
const MAX_WHOLE_BYTES: u64 = 32 << 10;

/// An API, and the contract that it is checked against.
pub struct OpenApiValidatedApi<A> {
    inner: A,
    pub(crate) contract: Arc<Contract>,
    strict: bool,
    pub(crate) metrics: Arc<ContractMetrics>,
    /// For the self tests, which submit to a scratch platform. None for an API without one.
    pub(crate) platform: Option<Arc<Platform>>,
}

/// The operation of a request, in its extensions from `admit` to `call`.
#[derive(Clone)]
struct MatchedOperation(Arc<Operation>);

/// A request was passed to `call` without `admit`.
#[derive(Debug, thiserror::Error)]
#[error("a request was not admitted before it was answered")]
struct NotAdmitted;

impl<A: ApiService> OpenApiValidatedApi<A> {
    /// Checks `inner` against `contract`. A response that violates it is logged and counted; with
    /// `strict` it is answered 500 instead of being sent.
    pub fn new(inner: A, contract: Arc<Contract>, strict: bool) -> Self {
        let metrics = Arc::new(ContractMetrics::new(contract.operations()));
        Self { inner, contract, strict, metrics, platform: None }
    }

    /// The same. From now on `platform` verifies it with its own components.
    pub fn registered(
        inner: A,
        contract: Arc<Contract>,
        strict: bool,
        platform: &Arc<Platform>,
    ) -> Arc<Self>
    where
        A: 'static,
    {
        let mut api = Self::new(inner, contract, strict);
        api.platform = Some(Arc::clone(platform));
        let api = Arc::new(api);
        platform.health().register_component(api.clone());
        api
    }

    // ANCHOR: match_and_check
    /// Matches the operation, once for all layers, and checks the head against it. The match is left in the head
    /// also when the check fails: a layer above may have a reason of its own to refuse the operation.
    fn match_and_check(&self, head: &mut Parts) -> Result<BodyPolicy, Problem> {
        let (operation, route) = self
            .contract
            .find(&head.method, head.uri.path())
            .map_err(|problem| self.reject(NO_OPERATION, problem))?;
        head.extensions.insert(MatchedOperation(Arc::clone(operation)));
        head.extensions.insert(route.clone());
        operation
            .check_head(&route.params, head)
            .map_err(|rejection| self.reject(&operation.id, rejection.into()))
    }
    // ANCHOR_END: match_and_check

    // ANCHOR: parse_body
    /// Parses the body and checks it, once for all layers.
    async fn parse_body(
        &self,
        operation: &Arc<Operation>,
        mut request: Request,
    ) -> Result<Request, Problem> {
        let (media, body) = (media::of(request.headers()), request.body().clone());
        let shared = Arc::clone(operation);
        let check = move || shared.check_body(&media, &body);
        let checked = off_runtime(request.body().len(), check).await;
        let checked = checked.map_err(|error| Problem::internal(&error))?;
        let value = checked.map_err(|rejection| self.reject(&operation.id, rejection.into()))?;
        if let Some(value) = value {
            request.extensions_mut().insert(ParsedJson(Arc::new(value)));
        }
        Ok(request)
    }
    // ANCHOR_END: parse_body

    fn reject(&self, operation: &str, problem: Problem) -> Problem {
        self.metrics.rejected(operation, problem.status());
        problem
    }

    // ANCHOR: check_response
    /// Checks a response: a whole body at once, a stream event by event, bytes not at all.
    async fn check_response(
        &self,
        operation: Arc<Operation>,
        response: Response,
    ) -> Result<Response, Problem> {
        let (mut head, mut body) = response.into_parts();
        if operation.id == METRICS {
            head.headers.remove(header::CONTENT_LENGTH);
            body = self.with_metrics(body).await?;
        }
        let mut violations = Violations::default();
        let is_whole = body.size_hint().exact().is_some();
        match operation.check_response_head(head.status, &head.headers, &mut violations) {
            ExpectedBody::Content(Content::Events(schemas)) => {
                let (schemas, metrics) = (schemas.clone(), Arc::clone(&self.metrics));
                let operation = Arc::clone(&operation);
                body = EventValidator::new(schemas, operation, metrics, self.strict).wrap(body);
            }
            ExpectedBody::Content(Content::Value(schema)) if is_whole => {
                let (schema, media) = (Arc::clone(schema), media::of(&head.headers));
                let length = body.size_hint().exact().unwrap_or_default();
                if length > MAX_WHOLE_BYTES && media::is_json(&media) {
                    body = outline::wrap(
                        body,
                        length,
                        schema,
                        self.late_report(&operation, head.status),
                    );
                } else {
                    (body, violations) = check_whole(body, schema, media, violations).await?;
                }
            }
            ExpectedBody::Content(Content::Value(_)) => {
                let detail = "this answer is not a stream";
                violations.add(Violation::of(Part::Body, Kind::Shape, detail));
            }
            ExpectedBody::Empty if body.size_hint().exact() != Some(0) => {
                let detail = "this answer has no body";
                violations.add(Violation::of(Part::Body, Kind::Shape, detail));
            }
            ExpectedBody::Content(Content::Binary)
            | ExpectedBody::Empty
            | ExpectedBody::Unknown => {}
        }
        let is_violation = report(&self.metrics, &operation, head.status, &violations);
        if self.strict && is_violation {
            let detail = "the answer breaks the contract, so it is not sent; the log says how";
            return Err(Problem::new(StatusCode::INTERNAL_SERVER_ERROR, detail));
        }
        Ok(Response::from_parts(head, body))
    }
    // ANCHOR_END: check_response

    /// Reports the violations of a response that is being sent. In strict mode they end it.
    fn late_report(&self, operation: &Arc<Operation>, status: StatusCode) -> outline::Report {
        let (metrics, strict) = (Arc::clone(&self.metrics), self.strict);
        let operation = Arc::clone(operation);
        Box::new(move |violations| {
            let is_violation = report(&metrics, &operation, status, violations);
            if strict && is_violation {
                Err("the response breaks the contract".into())
            } else {
                Ok(())
            }
        })
    }

    /// The response to `GET /metrics` with the metrics of this layer.
    async fn with_metrics(&self, body: Body) -> Result<Body, Problem> {
        if body.size_hint().exact().is_none() {
            return Ok(body);
        }
        let bytes = collect(body).await?;
        Ok(full(self.metrics.append_to(&bytes).unwrap_or(bytes)))
    }
}

// ANCHOR: service
impl<A: ApiService> ApiService for OpenApiValidatedApi<A> {
    fn admit<'a>(&'a self, head: &'a mut Parts) -> BoxFuture<'a, Result<BodyPolicy, Problem>> {
        Box::pin(async move {
            let own = self.match_and_check(head)?;
            let inner = self.inner.admit(head).await?;
            Ok(stricter(own, inner))
        })
    }

    fn call(&self, request: Request) -> BoxFuture<'_, Response> {
        Box::pin(async move {
            let context = request.extensions().get::<RequestContext>();
            let id = context.map(|context| context.request_id.clone()).unwrap_or_default();
            let Some(MatchedOperation(operation)) = request.extensions().get().cloned() else {
                return Problem::internal(&NotAdmitted).into_response(&id);
            };
            let answer = match self.parse_body(&operation, request).await {
                Ok(request) => {
                    let response = self.inner.call(request).await;
                    self.check_response(operation, response).await
                }
                Err(problem) => Err(problem),
            };
            answer.unwrap_or_else(|problem| problem.into_response(&id))
        })
    }
}
// ANCHOR_END: service

// ANCHOR: stricter
/// A body is a stream only if both the contract and the handler have it as one, and has the lower of
/// their limits. None is the limit of the server.
fn stricter(contract: BodyPolicy, handler: BodyPolicy) -> BodyPolicy {
    use BodyPolicy::{Buffered, Streamed};
    match (contract, handler) {
        (Streamed { max_bytes: one }, Streamed { max_bytes: other }) => {
            Streamed { max_bytes: one.min(other) }
        }
        (Buffered { max_bytes: Some(one) }, Buffered { max_bytes: Some(other) }) => {
            Buffered { max_bytes: Some(one.min(other)) }
        }
        (Buffered { max_bytes: limit }, Buffered { max_bytes: None })
        | (Buffered { max_bytes: None }, Buffered { max_bytes: limit }) => {
            Buffered { max_bytes: limit }
        }
        // One of them needs the whole body in memory, so the limit of the stream does not count.
        (Buffered { max_bytes }, Streamed { .. }) | (Streamed { .. }, Buffered { max_bytes }) => {
            Buffered { max_bytes }
        }
    }
}
// ANCHOR_END: stricter

/// Logs and counts the violations of a response. False when it has none.
fn report(
    metrics: &ContractMetrics,
    operation: &Operation,
    status: StatusCode,
    violations: &Violations,
) -> bool {
    let operation = &operation.id;
    for violation in violations.as_slice() {
        tracing::error!(operation, %status, %violation, "a response breaks the contract");
    }
    if !violations.is_empty() {
        metrics.response_violation(operation);
    }
    !violations.is_empty()
}

/// Checks a body that fits into memory.
async fn check_whole(
    body: Body,
    schema: Arc<Schema>,
    media: String,
    mut violations: Violations,
) -> Result<(Body, Violations), Problem> {
    let bytes = collect(body).await?;
    let body = full(bytes.clone());
    let check = move || {
        check_body(&schema, &media, &bytes, &mut violations);
        violations
    };
    let length = body.size_hint().exact().unwrap_or_default();
    let checked = off_runtime(usize::try_from(length).unwrap_or(usize::MAX), check).await;
    Ok((body, checked.map_err(|error| Problem::internal(&error))?))
}

async fn collect(body: Body) -> Result<bytes::Bytes, Problem> {
    let collected = body.collect().await;
    collected
        .map(http_body_util::Collected::to_bytes)
        .map_err(|error| Problem::internal(error.as_ref()))
}
