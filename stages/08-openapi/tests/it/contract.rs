//! The contract around the API as it is served.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use http::Method;
use serde_json::json;
use shared::TestableComponent as _;
use shared::http::ServerOptions;
use stage_07_advanced_v2::RestfulApi;
use stage_08_openapi::{OpenApiValidatedApi, docs_routes};

use crate::in_process::{
    FixedApi, ask, bytes, contract, endpoint, fixed, get, health, platform, request, send, served,
};

#[tokio::test]
async fn the_contract_has_every_route_of_the_platform_and_no_other() {
    let (platform, contract) = (platform().await, contract());
    let router = platform.router().merge(docs_routes(contract.clone()));
    let served = router.routes().map(|(method, path)| (method.to_string(), path.to_owned()));
    let served: BTreeSet<_> = served.collect();
    let operations = contract.operations().iter();
    let named: BTreeSet<_> =
        operations.map(|one| (one.method.to_string(), one.path.to_string())).collect();
    assert_eq!(served, named);
    assert!(served.len() > 15, "{served:?}");
    let api = endpoint(RestfulApi::new(&platform, router, ServerOptions::default()));
    for path in ["/openapi.yaml", "/openapi.json", "/docs", "/docs/docs.js", "/docs/index.css"] {
        assert_eq!(ask(&api, get(path)).await.0, 200, "{path}");
    }
}

#[tokio::test]
async fn what_the_contract_does_not_name_does_not_exist() {
    let api = fixed(|| health("alive"), true);
    for path in ["/debug", "/health/", "/eval/x/y", "/docs/other.js", "/%68ealth"] {
        let (status, problem) = ask(&api, get(path)).await;
        assert_eq!((status, &problem["status"]), (404, &json!(404)), "{path}");
    }
    for (method, path, allowed) in [
        (Method::PUT, "/eval", "GET, POST"),
        (Method::OPTIONS, "/eval", "GET, POST"),
        (Method::TRACE, "/health", "GET"),
        (Method::PATCH, "/eval/1", "GET, DELETE"),
    ] {
        let response = send(&api, (request(method, path), "")).await;
        assert_eq!(response.status(), 405);
        assert_eq!(response.headers()["allow"], allowed, "{path}");
    }
}

#[tokio::test]
async fn head_is_get_without_a_body_also_where_it_is_rejected() {
    let (_, api, _platform) = served().await;
    for (path, status) in [
        ("/health", 200),
        ("/openapi.json", 200),
        ("/nowhere", 404),
        ("/docs", 200),
        ("/metrics", 200),
    ] {
        let with_id = |method| (request(method, path).header("x-request-id", "r-1"), "");
        let head = send(&api, with_id(Method::HEAD)).await;
        let get = send(&api, with_id(Method::GET)).await;
        assert_eq!((head.status(), get.status().as_u16()), (get.status(), status), "{path}");
        let length = head.headers()["content-length"].clone();
        if path != "/metrics" {
            assert_eq!(length, bytes(get).await.len().to_string(), "{path}");
        }
        assert!(bytes(head).await.is_empty());
    }
}

#[tokio::test]
async fn a_problem_has_the_id_of_its_request() {
    let (_, api, _platform) = served().await;
    for target in ["/nowhere", "/eval?limt=1", "/eval/00000000-0000-7000-8000-000000000000"] {
        let request = request(Method::GET, target).header("x-request-id", "trace-1");
        let response = send(&api, (request, "")).await;
        assert_eq!(response.headers()["x-request-id"], "trace-1");
        let problem: serde_json::Value = serde_json::from_slice(&bytes(response).await).unwrap();
        assert_eq!(problem["request_id"], "trace-1", "{target}: {problem}");
    }
}

#[tokio::test]
async fn the_contract_verifies_itself_with_the_platform() {
    let (api, _, platform) = served().await;
    for case in api.test_suite() {
        let name = case.name;
        let result = case.run.await;
        assert!(result.is_ok(), "{name}: {result:?}");
    }
    let run = platform.health().start_self_test(false).unwrap();
    let report = platform.health().wait_for_self_test(run.id, Duration::MAX).await.unwrap();
    assert_eq!(report.passed, Some(true), "{report:#?}");
    assert!(report.checks.iter().any(|check| check.component == "contract"), "{report:#?}");
    // One whose responses violate the contract fails.
    let broken = OpenApiValidatedApi::new(FixedApi(|| health("dead")), contract(), true);
    assert!(Arc::new(broken).self_test().await.is_err());
}
