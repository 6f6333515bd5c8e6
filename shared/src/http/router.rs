//! Routes: from a method and a path to a handler.

use std::collections::BTreeMap;
use std::str::FromStr;
use std::sync::Arc;

use http::request::Parts;
use http::{HeaderValue, Method, StatusCode, header};

use super::{ApiService, BodyPolicy, Problem, Request, Response};
use crate::{BoxFuture, RequestContext};

type Handler =
    Arc<dyn Fn(MatchedRequest) -> BoxFuture<'static, Result<Response, Problem>> + Send + Sync>;

#[derive(Clone)]
struct Route {
    method: Method,
    body: BodyPolicy,
    handler: Handler,
}

/// The routes of a stage. Each layer has its own, and [`Router::merge`] combines them.
#[derive(Clone, Default)]
pub struct Router {
    /// By the template of the path, such as `/eval/{id}`.
    routes: BTreeMap<Arc<str>, Vec<Route>>,
    templates: matchit::Router<Arc<str>>,
}

/// Which route a request has matched: a layer that matches puts it into the extensions of the
/// request, and no layer below matches again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RouteMatch {
    /// The template of the path, such as `/eval/{id}`.
    pub template: Arc<str>,
    /// The parts of the path that stand for the names in the template.
    pub params: Vec<(String, String)>,
}

/// A request that matched a route: what a handler gets.
pub struct MatchedRequest {
    /// The request.
    pub request: Request,
    params: Vec<(String, String)>,
}

impl Router {
    /// A router without routes.
    pub fn new() -> Self {
        Self::default()
    }

    /// A router whose handlers all get a clone of `state`.
    pub fn with_state<S: Clone + Send + Sync + 'static>(state: S) -> StatefulRouter<S> {
        StatefulRouter { state, router: Self::new() }
    }

    /// Adds a route, such as `GET /eval/{id}`. The same method and path again replaces the handler:
    /// that is how a later stage replaces the page of an earlier one.
    #[must_use]
    pub fn route<F, Fut>(self, method: Method, path: &str, handler: F) -> Self
    where
        F: Fn(MatchedRequest) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<Response, Problem>> + Send + 'static,
    {
        let body = BodyPolicy::Buffered { max_bytes: None };
        let handler: Handler = Arc::new(move |request| Box::pin(handler(request)));
        self.insert(path.into(), Route { method, body, handler })
    }

    /// How the body of a request for `method` and `path` is read, for a route that exists.
    #[must_use]
    pub fn body_policy(mut self, method: &Method, path: &str, body: BodyPolicy) -> Self {
        let routes = self.routes.get_mut(path).map(Vec::as_mut_slice).unwrap_or_default();
        for route in routes.iter_mut().filter(|route| route.method == *method) {
            route.body = body;
        }
        self
    }

    /// These routes and the others; where both have one, the others' replaces it.
    #[must_use]
    pub fn merge(self, others: impl Into<Router>) -> Self {
        others.into().routes.into_iter().fold(self, |all, (path, routes)| {
            routes.into_iter().fold(all, |all, route| all.insert(path.clone(), route))
        })
    }

    /// The method and the path of each route.
    pub fn routes(&self) -> impl Iterator<Item = (&Method, &str)> {
        self.routes
            .iter()
            .flat_map(|(path, routes)| routes.iter().map(move |route| (&route.method, &**path)))
    }

    fn insert(mut self, path: Arc<str>, route: Route) -> Self {
        if !self.routes.contains_key(&path)
            && let Err(error) = self.templates.insert(&*path, Arc::clone(&path))
        {
            // A route is written by a developer, so the stage's first test run shows this.
            tracing::error!(%path, %error, "a route was left out");
        }
        let routes = self.routes.entry(path).or_default();
        routes.retain(|existing| existing.method != route.method);
        routes.push(route);
        self
    }

    /// The match in the extensions, or a new one.
    fn find(&self, head: &Parts) -> Result<(RouteMatch, &Route), Problem> {
        let known = head.extensions.get::<RouteMatch>().cloned();
        let found = known.map_or_else(|| self.match_path(head.uri.path()), Ok)?;
        let routes = self.routes.get(&found.template).map(Vec::as_slice).unwrap_or_default();
        // HEAD is GET; the endpoint removes the body.
        let method = if head.method == Method::HEAD { &Method::GET } else { &head.method };
        match routes.iter().find(|route| route.method == *method) {
            Some(route) => Ok((found, route)),
            None if routes.is_empty() => Err(Problem::unknown_path()),
            None => Err(Problem::method_not_allowed(routes.iter().map(|route| &route.method))),
        }
    }

    fn match_path(&self, path: &str) -> Result<RouteMatch, Problem> {
        let found = self.templates.at(path).map_err(|_| Problem::unknown_path())?;
        let owned = |(key, value): (&str, &str)| (key.to_owned(), value.to_owned());
        let params = found.params.iter().map(owned).collect();
        Ok(RouteMatch { template: Arc::clone(found.value), params })
    }
}

impl ApiService for Router {
    fn admit<'a>(&'a self, head: &'a mut Parts) -> BoxFuture<'a, Result<BodyPolicy, Problem>> {
        let policy = self.find(head).map(|(found, route)| {
            head.extensions.insert(found);
            route.body
        });
        Box::pin(std::future::ready(policy))
    }

    fn call(&self, request: Request) -> BoxFuture<'_, Response> {
        Box::pin(async move {
            let (head, body) = request.into_parts();
            let context = head.extensions.get::<RequestContext>();
            let id = context.map(|context| context.request_id.clone()).unwrap_or_default();
            let answer = match self.find(&head) {
                Ok((found, route)) => {
                    let request = Request::from_parts(head, body);
                    (route.handler)(MatchedRequest { request, params: found.params }).await
                }
                Err(problem) => Err(problem),
            };
            answer.unwrap_or_else(|problem| problem.into_response(&id))
        })
    }
}

/// A router whose handlers all get the same state.
pub struct StatefulRouter<S> {
    state: S,
    router: Router,
}

impl<S: Clone + Send + Sync + 'static> StatefulRouter<S> {
    /// Adds a route to a handler that takes the state and the request.
    #[must_use]
    pub fn route<F, Fut>(self, method: Method, path: &str, handler: F) -> Self
    where
        F: Fn(S, MatchedRequest) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<Response, Problem>> + Send + 'static,
    {
        let state = self.state.clone();
        let handler = move |request| handler(state.clone(), request);
        Self { router: self.router.route(method, path, handler), ..self }
    }
}

impl<S> From<StatefulRouter<S>> for Router {
    fn from(stateful: StatefulRouter<S>) -> Self {
        stateful.router
    }
}

impl MatchedRequest {
    /// The context of the request.
    pub fn context(&self) -> RequestContext {
        self.request.extensions().get().cloned().unwrap_or_else(RequestContext::internal)
    }

    /// The part of the path that stands for `{name}` in the route.
    ///
    /// # Errors
    ///
    /// 404 when it is not of type `T`: then no such resource can exist.
    pub fn param<T: FromStr>(&self, name: &str) -> Result<T, Problem> {
        let text = self.params.iter().find(|(key, _)| key == name);
        text.and_then(|(_, value)| value.parse().ok()).ok_or_else(|| {
            Problem::new(StatusCode::NOT_FOUND, format!("the {name} in this path is not valid"))
        })
    }

    /// The text of a header, if it is there and is text.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.request.headers().get(name)?.to_str().ok()
    }

    /// The values of the query parameters in `names`, in that order.
    ///
    /// # Errors
    ///
    /// 400 when the query has another parameter, or one of them twice: a misspelt filter that is
    /// ignored would answer with too much.
    pub fn query<const N: usize>(&self, names: [&str; N]) -> Result<[Option<String>; N], Problem> {
        let mut values = [const { None }; N];
        let query = self.request.uri().query().unwrap_or_default();
        for (key, value) in form_urlencoded::parse(query.as_bytes()) {
            let Some(at) = names.iter().position(|name| *name == key) else {
                let known = names.join(", ");
                let detail = format!("unknown query parameter; this path takes: {known}");
                return Err(Problem::new(StatusCode::BAD_REQUEST, detail));
            };
            if values[at].replace(value.into_owned()).is_some() {
                let detail = format!("give the query parameter {} once", names[at]);
                return Err(Problem::new(StatusCode::BAD_REQUEST, detail));
            }
        }
        Ok(values)
    }
}

impl Problem {
    /// No route matches the path.
    pub fn unknown_path() -> Self {
        Self::new(StatusCode::NOT_FOUND, "there is nothing at this path")
    }

    /// The path exists, but only with these methods.
    pub fn method_not_allowed<'a>(methods: impl Iterator<Item = &'a Method>) -> Self {
        let methods: Vec<_> = methods.map(Method::as_str).collect();
        let methods = methods.join(", ");
        let detail = format!("use one of: {methods}");
        let problem = Self::new(StatusCode::METHOD_NOT_ALLOWED, detail);
        match HeaderValue::from_str(&methods) {
            Ok(value) => problem.with_header(header::ALLOW, value),
            Err(_) => problem, // no name of a method can be an invalid header value
        }
    }
}

#[cfg(test)]
mod tests;
