//! An API behind axum: to be served by itself, or to be nested in an application that is there.
//!
//! `axum::serve` sets no timer, so hyper's deadline for the header never fires, and a client that
//! sends half a header holds its connection for ever. [`serve_axum`] therefore accepts connections
//! the way the server of the stages below does. Whoever nests the router brings that along too.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::State;
use hyper_util::service::TowerToHyperService;
use shared::http::{Response, ServerOptions, accept, seal, until};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use crate::service::ApiService;

// ANCHOR: host
struct Hosted {
    api: Arc<dyn ApiService>,
    options: ServerOptions,
    stop: CancellationToken,
}

/// `api`, as an axum router. Its streams end when `stop` fires.
pub fn axum_router(
    api: Arc<dyn ApiService>,
    options: ServerOptions,
    stop: CancellationToken,
) -> axum::Router {
    let hosted = Arc::new(Hosted { api, options, stop });
    axum::Router::new().fallback(answer).with_state(hosted)
}

async fn answer(
    State(hosted): State<Arc<Hosted>>,
    request: axum::extract::Request,
) -> http::Response<Body> {
    let mut response: Response = match hosted.options.read(request).await {
        Ok(request) => hosted.api.handle(request.into()).await.into(),
        Err(problem) => problem.into_response(),
    };
    seal(response.headers_mut());
    until(response, hosted.stop.clone()).map(Body::new)
}

/// Serves `api` through axum until `stop` fires.
pub async fn serve_axum(
    api: Arc<dyn ApiService>,
    listener: TcpListener,
    options: ServerOptions,
    stop: CancellationToken,
) {
    let router = axum_router(api, options.clone(), stop.clone());
    accept(listener, &options, stop, TowerToHyperService::new(router)).await;
}
// ANCHOR_END: host
