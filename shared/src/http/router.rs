//! From a method and a path to a handler.

use std::collections::BTreeMap;
use std::sync::Arc;

use http::{HeaderValue, Method, StatusCode, header};

use super::{Call, Problem, Request, Response, Service};
use crate::BoxFuture;

type Handler = Arc<dyn Fn(Call) -> BoxFuture<'static, Result<Response, Problem>> + Send + Sync>;

/// The routes of a stage. Each layer brings its own, and [`Router::merge`] puts them together.
#[derive(Clone, Default)]
pub struct Router {
    handlers: BTreeMap<String, Vec<(Method, Handler)>>,
    paths: matchit::Router<String>,
}

impl Router {
    /// A router without routes.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a route, such as `GET /eval/{id}`. The same method and path again replaces the handler:
    /// that is how a later stage puts its own page in the place of an earlier one's.
    #[must_use]
    pub fn route<F, Fut>(self, method: Method, path: &str, handler: F) -> Self
    where
        F: Fn(Call) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<Response, Problem>> + Send + 'static,
    {
        self.insert(method, path, Arc::new(move |call| Box::pin(handler(call))))
    }

    /// These routes and the others'; where both have one, the others' stands.
    #[must_use]
    pub fn merge(self, others: Router) -> Self {
        others.handlers.into_iter().fold(self, |all, (path, handlers)| {
            let add = |all: Self, (method, handler)| all.insert(method, &path, handler);
            handlers.into_iter().fold(all, add)
        })
    }

    /// The method and the path of each route.
    pub fn routes(&self) -> impl Iterator<Item = (&Method, &str)> {
        self.handlers
            .iter()
            .flat_map(|(path, all)| all.iter().map(move |(method, _)| (method, path.as_str())))
    }

    fn insert(mut self, method: Method, path: &str, handler: Handler) -> Self {
        if !self.handlers.contains_key(path)
            && let Err(error) = self.paths.insert(path, path.to_owned())
        {
            // A route is written by a developer, so the stage's first test run shows this.
            tracing::error!(path, %error, "a route was left out");
        }
        let handlers = self.handlers.entry(path.to_owned()).or_default();
        handlers.retain(|(existing, _)| *existing != method);
        handlers.push((method, handler));
        self
    }

    /// Answers one request.
    pub async fn handle(&self, request: Request) -> Response {
        self.dispatch(request).await.unwrap_or_else(Problem::into_response)
    }

    async fn dispatch(&self, request: Request) -> Result<Response, Problem> {
        let found = self
            .paths
            .at(request.uri().path())
            .map_err(|_| Problem::new(StatusCode::NOT_FOUND, "there is nothing at this path"))?;
        let handlers = self.handlers.get(found.value).map(Vec::as_slice).unwrap_or_default();
        // HEAD is GET without the body, which the server leaves out by itself.
        let method = if request.method() == Method::HEAD { &Method::GET } else { request.method() };
        let Some((_, handler)) = handlers.iter().find(|(known, _)| known == method) else {
            let allowed: Vec<_> = handlers.iter().map(|(known, _)| known.as_str()).collect();
            let detail = format!("use one of: {}", allowed.join(", "));
            let problem = Problem::new(StatusCode::METHOD_NOT_ALLOWED, detail);
            return Err(match HeaderValue::from_str(&allowed.join(", ")) {
                Ok(value) => problem.with_header(header::ALLOW, value),
                Err(_) => problem,
            });
        };
        let own = |(key, value): (&str, &str)| (key.to_owned(), value.to_owned());
        let params = found.params.iter().map(own).collect();
        handler(Call { request, params }).await
    }
}

impl Service for Router {
    fn call(&self, request: Request) -> BoxFuture<'_, Response> {
        Box::pin(self.handle(request))
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;
    use crate::http::bytes as answer;

    fn says(text: &'static str) -> impl Fn(Call) -> BoxFuture<'static, Result<Response, Problem>> {
        move |_| Box::pin(async move { Ok(answer(StatusCode::OK, "text/plain", text)) })
    }

    async fn ask(router: &Router, method: Method, path: &str) -> (StatusCode, String) {
        use http_body_util::BodyExt;
        let request = http::Request::builder().method(method).uri(path).body(Bytes::new()).unwrap();
        let response = router.handle(request).await;
        let status = response.status();
        let body = response.into_body().collect().await.unwrap().to_bytes();
        (status, String::from_utf8_lossy(&body).into_owned())
    }

    #[tokio::test]
    async fn merged_routes_replace_and_add() {
        let first = Router::new().route(Method::GET, "/", says("old page")).route(
            Method::GET,
            "/eval/{id}",
            says("one"),
        );
        let second = Router::new().route(Method::GET, "/", says("new page")).route(
            Method::DELETE,
            "/eval/{id}",
            says("gone"),
        );
        let router = first.merge(second);
        assert_eq!(ask(&router, Method::GET, "/").await.1, "new page");
        assert_eq!(ask(&router, Method::HEAD, "/eval/7").await.1, "one");
        assert_eq!(ask(&router, Method::DELETE, "/eval/7").await.1, "gone");
        let all: Vec<_> =
            router.routes().map(|(method, path)| format!("{method} {path}")).collect();
        assert_eq!(all, ["GET /", "GET /eval/{id}", "DELETE /eval/{id}"]);
    }

    #[tokio::test]
    async fn a_wrong_path_or_method_is_a_problem() {
        let router = Router::new().route(Method::GET, "/eval", says("list"));
        assert_eq!(ask(&router, Method::GET, "/evil").await.0, StatusCode::NOT_FOUND);
        let (status, body) = ask(&router, Method::PUT, "/eval").await;
        assert_eq!(status, StatusCode::METHOD_NOT_ALLOWED);
        assert!(body.contains("use one of: GET"), "{body}");
    }

    #[tokio::test]
    async fn unknown_and_repeated_query_parameters_are_refused() {
        let router = Router::new().route(Method::GET, "/eval", |call: Call| async move {
            let [limit] = call.query(["limit"])?;
            Ok(answer(StatusCode::OK, "text/plain", limit.unwrap_or_default()))
        });
        assert_eq!(ask(&router, Method::GET, "/eval?limit=%37").await.1, "7");
        for query in ["limt=7", "limit=7&limit=8"] {
            let (status, _) = ask(&router, Method::GET, &format!("/eval?{query}")).await;
            assert_eq!(status, StatusCode::BAD_REQUEST, "{query}");
        }
    }
}
