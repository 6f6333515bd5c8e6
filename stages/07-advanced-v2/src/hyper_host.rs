//! An API behind the server of the stages below, which is hyper and nothing else.

use shared::BoxFuture;
use shared::http::{Request, Response, Service};

use crate::service::ApiService;

// ANCHOR: host
/// `api`, as [`shared::http::Server`] takes it.
pub fn hyper_service(api: impl ApiService) -> impl Service {
    Hosted(api)
}

struct Hosted<A>(A);

impl<A: ApiService> Service for Hosted<A> {
    fn call(&self, request: Request) -> BoxFuture<'_, Response> {
        Box::pin(async { self.0.handle(request.into()).await.into() })
    }
}
// ANCHOR_END: host
