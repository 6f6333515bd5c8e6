//! Tests of the router.

use bytes::Bytes;

use super::*;
use crate::http::bytes as answer;

fn text_handler(
    text: &'static str,
) -> impl Fn(MatchedRequest) -> BoxFuture<'static, Result<Response, Problem>> {
    move |_| Box::pin(async move { Ok(answer(StatusCode::OK, "text/plain", text)) })
}

async fn send(router: &Router, method: Method, path: &str) -> (StatusCode, String) {
    use http_body_util::BodyExt;
    let request = http::Request::builder().method(method).uri(path).body(Bytes::new()).unwrap();
    let response = router.call(request).await;
    let status = response.status();
    let body = response.into_body().collect().await.unwrap().to_bytes();
    (status, String::from_utf8_lossy(&body).into_owned())
}

#[tokio::test]
async fn merged_routes_replace_and_add() {
    let first = Router::new().route(Method::GET, "/", text_handler("old page")).route(
        Method::GET,
        "/eval/{id}",
        text_handler("one"),
    );
    let second = Router::new().route(Method::GET, "/", text_handler("new page")).route(
        Method::DELETE,
        "/eval/{id}",
        text_handler("gone"),
    );
    let router = first.merge(second);
    assert_eq!(send(&router, Method::GET, "/").await.1, "new page");
    assert_eq!(send(&router, Method::HEAD, "/eval/7").await.1, "one");
    assert_eq!(send(&router, Method::DELETE, "/eval/7").await.1, "gone");
    let all: Vec<_> = router.routes().map(|(method, path)| format!("{method} {path}")).collect();
    assert_eq!(all, ["GET /", "GET /eval/{id}", "DELETE /eval/{id}"]);
}

#[tokio::test]
async fn a_wrong_path_or_method_is_a_problem() {
    let router = Router::new().route(Method::GET, "/eval", text_handler("list"));
    assert_eq!(send(&router, Method::GET, "/evil").await.0, StatusCode::NOT_FOUND);
    let (status, body) = send(&router, Method::PUT, "/eval").await;
    assert_eq!(status, StatusCode::METHOD_NOT_ALLOWED);
    assert!(body.contains("use one of: GET"), "{body}");
}

#[tokio::test]
async fn unknown_and_repeated_query_parameters_are_refused() {
    let router = Router::new().route(Method::GET, "/eval", |request: MatchedRequest| async move {
        let [limit] = request.query(["limit"])?;
        Ok(answer(StatusCode::OK, "text/plain", limit.unwrap_or_default()))
    });
    assert_eq!(send(&router, Method::GET, "/eval?limit=%37").await.1, "7");
    for query in ["limt=7", "limit=7&limit=8"] {
        let (status, _) = send(&router, Method::GET, &format!("/eval?{query}")).await;
        assert_eq!(status, StatusCode::BAD_REQUEST, "{query}");
    }
}
