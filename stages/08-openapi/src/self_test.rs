//! The contract verifies itself: what changes nothing on the live API that is checked against it, and
//! the rest on the routes of a scratch platform, so that no client's place or metric is touched.

use std::sync::Arc;

use http::{Method, Request, StatusCode};
use http_body_util::BodyExt;
use serde_json::{Value, json};
use shared::component::{CheckResult, SelfTestResult};
use shared::http::{ApiService, Response, Router};
use shared::{BoxFuture, TestCase, TestableComponent};
use stage_06_advanced::{ScratchError, ScratchPlatform};

use crate::operation::Operation;
use crate::validated::OpenApiValidatedApi;
use crate::violation::Part;

/// The result of a check that has no engine to run programs on.
const NO_ENGINE: &str = "workers elsewhere run programs";

impl<A: ApiService> TestableComponent for OpenApiValidatedApi<A> {
    fn name(&self) -> &'static str {
        "contract"
    }

    fn self_test(&self) -> BoxFuture<'_, SelfTestResult> {
        Box::pin(async {
            let count = self.contract.operations().len();
            match self.get("/health").await? {
                (StatusCode::OK, _) => Ok(format!("{count} operations, and one of them was asked")),
                (status, body) => Err(format!("GET /health was answered {status}: {body}").into()),
            }
        })
    }

    fn test_suite(&self) -> Vec<TestCase<'_>> {
        vec![
            TestCase::new(
                "all violations of a request come at once, without its values",
                self.lists_violations(),
            ),
            TestCase::new("what can be looked at is what the contract says", self.reads()),
            TestCase::new("a program goes through, in and out", self.evaluates()),
        ]
    }
}

impl<A: ApiService> OpenApiValidatedApi<A> {
    /// Sends a request as the endpoint does: the head first, then the body.
    async fn send(&self, request: http::Request<String>) -> Response {
        let (mut head, body) = request.into_parts();
        match self.admit(&mut head).await {
            Ok(_) => self.call(Request::from_parts(head, body.into())).await,
            Err(problem) => problem.into_response(""),
        }
    }

    async fn get(&self, path: &str) -> Result<(StatusCode, Value), String> {
        let request = Request::builder().method(Method::GET).uri(path).body(String::new());
        read(self.send(request.map_err(|error| error.to_string())?).await).await
    }

    /// The routes of a scratch platform, checked against the same contract.
    async fn scratch(&self) -> Result<Option<Scratch>, String> {
        let platform = self.platform.as_ref().ok_or("this API has no platform")?;
        let owner = match platform.scratch().await {
            Err(ScratchError::NoEngine) => return Ok(None),
            owner => owner.map_err(|error| error.to_string())?,
        };
        let (routes, contract) = (Arc::new(owner.platform().router()), Arc::clone(&self.contract));
        let api = OpenApiValidatedApi::new(routes, contract, false);
        Ok(Some(Scratch { api, _owner: owner }))
    }

    async fn lists_violations(&self) -> CheckResult {
        let Some(scratch) = self.scratch().await? else { return Ok(NO_ENGINE.to_owned()) };
        let secret = "hunter2";
        let wrong = json!({ "code": 7, "stdin": { "text": secret }, "image": secret });
        let (status, body) = scratch.submit(&wrong).await?;
        let pointers: Vec<_> = body["errors"]
            .as_array()
            .map(|errors| errors.iter().filter_map(|error| error["pointer"].as_str()).collect())
            .unwrap_or_default();
        let all = ["/code", "/stdin", "/image"];
        let is_listed = |place: &&&str| pointers.iter().any(|found| found.starts_with(**place));
        if status != StatusCode::BAD_REQUEST || !all.iter().all(|place| is_listed(&place)) {
            Err(format!("violations at {all:?} were answered {status}: {body}"))
        } else if body.to_string().contains(secret) {
            Err(format!("the answer repeats a value: {body}"))
        } else {
            Ok(format!("{} violations in one answer", pointers.len()))
        }
    }

    /// Reads everything that needs neither a parameter nor a change, and whose response ends.
    async fn reads(&self) -> CheckResult {
        let is_plain = |operation: &Operation| {
            let needs_parameter = operation.parameters_in(Part::Path).next().is_some();
            operation.method == Method::GET && !needs_parameter && !operation.has_events()
        };
        let before = self.metrics.violations();
        let mut asked = 0;
        for operation in self.contract.operations().iter().filter(|one| is_plain(one)) {
            let (status, body) = self.get(&operation.path).await?;
            if !status.is_success() {
                return Err(format!("GET {} was answered {status}: {body}", operation.path));
            }
            asked += 1;
        }
        match self.metrics.violations() - before {
            0 => Ok(format!("{asked} of them were asked")),
            broken => Err(format!("{broken} answers break the contract; the log says how")),
        }
    }

    async fn evaluates(&self) -> CheckResult {
        let Some(scratch) = self.scratch().await? else { return Ok(NO_ENGINE.to_owned()) };
        let (status, evaluation) = scratch.submit(&json!({ "code": "print(6 * 7)" })).await?;
        if status != StatusCode::OK || evaluation["stdout"]["text"] != "42\n" {
            return Err(format!("a program that prints 42 was answered {status}: {evaluation}"));
        }
        let path = format!("/eval/{}/events", evaluation["id"].as_str().unwrap_or_default());
        let request = Request::get(path).body(String::new()).map_err(|error| error.to_string())?;
        let events = scratch.api.send(request).await.into_body().collect().await;
        let events = events.map_err(|error| error.to_string())?.to_bytes();
        let count = String::from_utf8_lossy(&events).matches("event: ").count();
        match (count, scratch.api.metrics.violations()) {
            (0, _) => Err("its stream has no events".to_owned()),
            (_, 0) => Ok(format!("its answer and {count} events are what the contract says")),
            (_, broken) => Err(format!("{broken} messages break the contract; the log says how")),
        }
    }
}

/// An API for one check.
struct Scratch {
    api: OpenApiValidatedApi<Arc<Router>>,
    /// Closes the queue behind it.
    _owner: ScratchPlatform,
}

impl Scratch {
    async fn submit(&self, body: &Value) -> Result<(StatusCode, Value), String> {
        let request = Request::post("/eval").header("prefer", "wait=30");
        let request = request.header("content-type", "application/json").body(body.to_string());
        read(self.api.send(request.map_err(|error| error.to_string())?).await).await
    }
}

async fn read(response: Response) -> Result<(StatusCode, Value), String> {
    let status = response.status();
    let body = response.into_body().collect().await.map_err(|error| error.to_string())?;
    Ok((status, serde_json::from_slice(&body.to_bytes()).unwrap_or_default()))
}
