//! What the contract has and a function does not serve: answered 501, and not 404, because the operation exists.

use std::collections::HashSet;

use http::request::Parts;
use http::{Method, StatusCode};
use shared::BoxFuture;
use shared::http::{ApiService, BodyPolicy, Problem, Request, Response, RouteMatch, Router};

/// The routes of a function, below the contract of stage 10.
pub(crate) struct Served {
    router: Router,
    routes: HashSet<(Method, String)>,
}

impl Served {
    pub(crate) fn new(router: Router) -> Self {
        let routes = router.routes().map(|(method, path)| (method.clone(), path.to_owned()));
        Self { routes: routes.collect(), router }
    }

    fn check(&self, head: &Parts) -> Result<(), Problem> {
        let Some(route) = head.extensions.get::<RouteMatch>() else { return Ok(()) };
        let method = if head.method == Method::HEAD { Method::GET } else { head.method.clone() };
        if self.routes.contains(&(method, route.template.to_string())) {
            return Ok(());
        }
        let detail = if route.template.ends_with("/events") {
            "a Lambda function cannot send a stream of events: read GET /eval/{id} again, or wait for the end with \
             the header Prefer: wait=20"
        } else {
            "this API runs on Lambda, which serves evaluations, their files, the queue and workers; stage 10 on a \
             machine serves the rest"
        };
        Err(Problem::new(StatusCode::NOT_IMPLEMENTED, detail))
    }
}

impl ApiService for Served {
    fn admit<'a>(&'a self, head: &'a mut Parts) -> BoxFuture<'a, Result<BodyPolicy, Problem>> {
        Box::pin(async move {
            self.check(head)?;
            self.router.admit(head).await
        })
    }

    fn call(&self, request: Request) -> BoxFuture<'_, Response> {
        self.router.call(request)
    }
}
