//! The HTTP API of a platform, as a component: it verifies itself with no socket and no server.

use std::sync::Arc;

use http::request::Parts;
use shared::BoxFuture;
use shared::http::{
    ApiService, BodyPolicy, Endpoint, Problem, Request, Response, Router, ServerOptions,
};
use stage_06_advanced::Platform;
use tokio_util::sync::CancellationToken;

// ANCHOR: restful
/// The routes of a platform as one service.
pub struct RestfulApi {
    router: Arc<Router>,
    /// For the self test: what every adapter passes requests to, over the same routes.
    pub(crate) endpoint: Endpoint,
    /// For the suite, which submits to a scratch platform. The routes hold the platform too, until
    /// the shutdown.
    pub(crate) platform: Arc<Platform>,
}

impl RestfulApi {
    /// The API with the routes of `router`, served within `options`. From now on `platform` verifies
    /// it with its own components.
    pub fn new(platform: &Arc<Platform>, router: Router, options: ServerOptions) -> Arc<Self> {
        let router = Arc::new(router);
        let endpoint = Endpoint::new(router.clone(), options, CancellationToken::new());
        let api = Arc::new(Self { router, endpoint, platform: Arc::clone(platform) });
        platform.health().register_component(api.clone());
        api
    }
}

impl ApiService for RestfulApi {
    fn admit<'a>(&'a self, head: &'a mut Parts) -> BoxFuture<'a, Result<BodyPolicy, Problem>> {
        self.router.admit(head)
    }

    fn call(&self, request: Request) -> BoxFuture<'_, Response> {
        self.router.call(request)
    }
}
// ANCHOR_END: restful
