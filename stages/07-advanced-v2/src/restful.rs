//! The HTTP API of a platform, as a component.
//!
//! The rule it keeps: what guards a request guards it here, whatever it came through. A host that
//! reads a socket also has deadlines and reads no more than it may; one that does not has nothing
//! to forget.

use std::sync::Arc;

use http::Method;
use shared::BoxFuture;
use shared::http::{Router, ServerOptions, seal};
use stage_06_advanced::Platform;

use crate::request::ApiRequest;
use crate::response::ApiResponse;
use crate::service::ApiService;

/// The routes of a platform, behind [`ApiService`].
pub struct RestfulApi {
    router: Router,
    options: ServerOptions,
}

impl RestfulApi {
    /// The API of `platform`. Verified together with it from now on.
    pub fn new(platform: &Arc<Platform>, options: ServerOptions) -> Arc<Self> {
        let api = Arc::new(Self { router: platform.router(), options });
        platform.also_verify(Arc::<Self>::downgrade(&api));
        api
    }
}

// ANCHOR: handle
impl ApiService for RestfulApi {
    fn handle(&self, request: ApiRequest) -> BoxFuture<'_, ApiResponse> {
        Box::pin(async move {
            let is_head = request.method == Method::HEAD;
            let checked = shared::http::Request::try_from(request)
                .and_then(|request| self.options.check(&request).map(|()| request));
            let answer = match checked {
                Ok(request) => self.router.handle(request).await,
                Err(problem) => problem.into_response(),
            };
            let mut response = ApiResponse::from_http(answer).await;
            seal(&mut response.headers);
            if is_head { response.without_body() } else { response }
        })
    }
}
// ANCHOR_END: handle
