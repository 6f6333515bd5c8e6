//! The contract verifies itself, on the live API that it is held over.

use http::{Method, StatusCode};
use serde_json::{Value, json};
use shared::component::CheckResult;
use shared::{BoxFuture, TestCase, TestableComponent};
use stage_07_advanced_v2::{ApiRequest, ApiService};

use crate::operation::Operation;
use crate::validated::OpenApiValidatedApi;
use crate::violation::Part;

impl<A: ApiService> TestableComponent for OpenApiValidatedApi<A> {
    fn name(&self) -> &'static str {
        "contract"
    }

    fn self_test(&self) -> BoxFuture<'_, CheckResult> {
        Box::pin(async {
            let count = self.contract.operations().len();
            match self.ask(ApiRequest::new(Method::GET, "/health")).await {
                (StatusCode::OK, _) => Ok(format!("{count} operations, and one of them was asked")),
                (status, body) => Err(format!("GET /health was answered {status}: {body}")),
            }
        })
    }

    fn test_suite(&self) -> Vec<TestCase<'_>> {
        vec![
            TestCase::new(
                "all violations of a request come at once, without its values",
                self.tells(),
            ),
            TestCase::new("what can be looked at is what the contract says", self.looks()),
            TestCase::new("a program goes through, in and out", self.evaluates()),
        ]
    }
}

impl<A: ApiService> OpenApiValidatedApi<A> {
    async fn ask(&self, request: ApiRequest) -> (StatusCode, Value) {
        let response = self.handle(request).await;
        let body = response.body.collect().await;
        (response.status, serde_json::from_slice(&body).unwrap_or_default())
    }

    async fn tells(&self) -> CheckResult {
        let secret = "hunter2";
        let wrong = json!({ "code": 7, "stdin": { "text": secret }, "image": secret });
        let request = ApiRequest::new(Method::POST, "/eval?dry=1").with_json(&wrong);
        let (status, body) = self.ask(request).await;
        let pointers: Vec<_> = body["errors"]
            .as_array()
            .map(|errors| errors.iter().filter_map(|error| error["pointer"].as_str()).collect())
            .unwrap_or_default();
        let all = ["/dry", "/code", "/stdin", "/image"];
        let missed = all.iter().find(|place| !pointers.iter().any(|it| it.starts_with(**place)));
        if status != StatusCode::BAD_REQUEST || missed.is_some() {
            Err(format!("violations at {all:?} were answered {status}: {body}"))
        } else if body.to_string().contains(secret) {
            Err(format!("the answer repeats a value: {body}"))
        } else {
            Ok(format!("{} violations in one answer", pointers.len()))
        }
    }

    /// Asks for everything that needs neither a parameter nor a change, and does not go on for ever.
    async fn looks(&self) -> CheckResult {
        let plain = |operation: &&Operation| {
            let needs = operation.parameters_in(Part::Path).next().is_some();
            operation.method == Method::GET && !needs && operation.path != "/events"
        };
        let broken = self.counts.broken();
        let mut asked = 0;
        for operation in self.contract.operations().iter().filter(plain) {
            let (status, body) = self.ask(ApiRequest::new(Method::GET, &operation.path)).await;
            if !status.is_success() {
                return Err(format!("GET {} was answered {status}: {body}", operation.path));
            }
            asked += 1;
        }
        match self.counts.broken() - broken {
            0 => Ok(format!("{asked} of them were asked")),
            broken => Err(format!("{broken} answers break the contract; the log says how")),
        }
    }

    async fn evaluates(&self) -> CheckResult {
        let broken = self.counts.broken();
        let request = ApiRequest::new(Method::POST, "/eval")
            .with_header("prefer", "wait=30")
            .with_json(&json!({ "code": "print(6 * 7)" }));
        let (status, ended) = self.ask(request).await;
        if status != StatusCode::OK || ended["stdout"]["text"] != "42\n" {
            return Err(format!("a program that prints 42 was answered {status}: {ended}"));
        }
        let path = format!("/eval/{}/events", ended["id"].as_str().unwrap_or_default());
        let events = self.handle(ApiRequest::new(Method::GET, &path)).await.body.collect().await;
        let count = String::from_utf8_lossy(&events).matches("event: ").count();
        match (count, self.counts.broken() - broken) {
            (0, _) => Err("its stream has no events".to_owned()),
            (_, 0) => Ok(format!("its answer and {count} events are what the contract says")),
            (_, broken) => Err(format!("{broken} messages break the contract; the log says how")),
        }
    }
}
