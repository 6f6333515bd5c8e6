//! Any API, held to the contract in both directions.
//!
//! | attack | defence | test |
//! |---|---|---|
//! | a route that somebody forgot, or left over from an experiment, answers strangers | what is not in the contract does not exist, whatever the API below would answer | `what_the_contract_does_not_name_does_not_exist` |
//! | a change below makes an answer tell more than it should | a field or a header that the contract does not name is logged, counted, and in strict mode not sent | `a_response_outside_the_contract_is_not_sent` |
//! | an error repeats the value that caused it, and so a secret, or a script | details come from the contract, never from the value | `schema::values_are_never_repeated` |
//!
//! What it does not protect against: whatever is within the contract.

use std::sync::Arc;

use bytes::BytesMut;
use http::{HeaderValue, Method, StatusCode, header};
use shared::BoxFuture;
use shared::http::seal;
use stage_06_advanced::Platform;
use stage_07_advanced_v2::{ApiBody, ApiRequest, ApiResponse, ApiService};

use crate::contract::{Contract, Lookup};
use crate::counts::Counts;
use crate::operation::Operation;
use crate::problem::problem;
use crate::stream::Watch;

/// The operation whose answer takes our counters along.
const METRICS: &str = "getMetrics";

/// An API, and the contract that it is held to.
pub struct OpenApiValidatedApi<A> {
    inner: A,
    pub(crate) contract: Arc<Contract>,
    strict: bool,
    pub(crate) counts: Arc<Counts>,
}

impl<A: ApiService> OpenApiValidatedApi<A> {
    /// Holds `inner` to `contract`. A response that breaks it is logged and counted; with `strict`
    /// it is answered 500 instead of being sent.
    pub fn new(inner: A, contract: Arc<Contract>, strict: bool) -> Self {
        let counts = Arc::new(Counts::new(contract.operations()));
        Self { inner, contract, strict, counts }
    }

    /// The same, verified together with `platform` from now on.
    pub fn verified(
        inner: A,
        contract: Arc<Contract>,
        strict: bool,
        platform: &Platform,
    ) -> Arc<Self>
    where
        A: 'static,
    {
        let api = Arc::new(Self::new(inner, contract, strict));
        platform.also_verify(Arc::<Self>::downgrade(&api));
        api
    }

    // ANCHOR: judge
    /// Holds a response to the contract.
    fn judge(&self, operation: &Operation, head: bool, response: ApiResponse) -> ApiResponse {
        let response = self.with_counts(operation, head, response);
        let ApiResponse { status, headers, body } = response;
        let known = match &body {
            ApiBody::Bytes(bytes) => Some(&bytes[..]),
            ApiBody::Stream(_) => None,
        };
        let violations = operation.check_response(status, &headers, known, head);
        if !violations.is_empty() {
            self.counts.broken_response(&operation.id);
            for violation in violations.as_slice() {
                let operation = &operation.id;
                tracing::error!(operation, %status, %violation, "a response breaks the contract");
            }
            if self.strict {
                let detail = "the answer breaks the contract, so it is not sent; the log says how";
                return problem(StatusCode::INTERNAL_SERVER_ERROR, detail, &[]);
            }
        }
        let item = operation.content(status, &headers).and_then(|content| content.item.clone());
        let body = match (body, item) {
            (ApiBody::Stream(pieces), Some(item)) => ApiBody::Stream(
                Watch {
                    item,
                    operation: operation.id.clone(),
                    counts: Arc::clone(&self.counts),
                    strict: self.strict,
                    kept: BytesMut::new(),
                }
                .over(pieces),
            ),
            (body, _) => body,
        };
        ApiResponse { status, headers, body }
    }
    // ANCHOR_END: judge

    /// The answer of `GET /metrics` takes our counters along.
    fn with_counts(
        &self,
        operation: &Operation,
        head: bool,
        mut response: ApiResponse,
    ) -> ApiResponse {
        if operation.id != METRICS {
            return response;
        }
        if head {
            // It is the length of what is below, without ours.
            response.headers.remove(header::CONTENT_LENGTH);
        } else if let ApiBody::Bytes(text) = &response.body
            && let Some(all) = self.counts.beside(text)
        {
            response.body = ApiBody::Bytes(all);
        }
        response
    }

    // ANCHOR: admit
    /// The operation that is asked for, if there is one and the request is what the contract says.
    fn admit(&self, request: &ApiRequest) -> Result<&Operation, Box<ApiResponse>> {
        let (operation, params) = match self.contract.find(&request.method, &request.path) {
            Lookup::Found(operation, params) => (operation, params),
            Lookup::Only(methods) => return Err(self.refuse("none", not_allowed(&methods))),
            Lookup::Nowhere => {
                let detail = "there is nothing at this path";
                return Err(self.refuse("none", problem(StatusCode::NOT_FOUND, detail, &[])));
            }
        };
        match operation.check_request(&params, request) {
            Ok(()) => Ok(operation),
            Err(refusal) => Err(self.refuse(&operation.id, refusal.into_response())),
        }
    }
    // ANCHOR_END: admit

    fn refuse(&self, operation: &str, response: ApiResponse) -> Box<ApiResponse> {
        self.counts.refused(operation, response.status);
        Box::new(response)
    }
}

// ANCHOR: handle
impl<A: ApiService> ApiService for OpenApiValidatedApi<A> {
    fn handle(&self, request: ApiRequest) -> BoxFuture<'_, ApiResponse> {
        Box::pin(async move {
            let head = request.method == Method::HEAD;
            let mut response = match self.admit(&request) {
                Ok(operation) => self.judge(operation, head, self.inner.handle(request).await),
                Err(refused) => *refused,
            };
            seal(&mut response.headers);
            // What is below answers HEAD without a body; what is said here has one.
            let has_body = !matches!(&response.body, ApiBody::Bytes(bytes) if bytes.is_empty());
            if head && has_body { response.without_body() } else { response }
        })
    }
}
// ANCHOR_END: handle

fn not_allowed(methods: &[Method]) -> ApiResponse {
    let methods: Vec<_> = methods.iter().map(Method::as_str).collect();
    let methods = methods.join(", ");
    let status = StatusCode::METHOD_NOT_ALLOWED;
    let mut response = problem(status, &format!("use one of: {methods}"), &[]);
    if let Ok(methods) = HeaderValue::from_str(&methods) {
        response.headers.insert(header::ALLOW, methods);
    }
    response
}
