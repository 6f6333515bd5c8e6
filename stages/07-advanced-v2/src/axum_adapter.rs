//! The adapter for axum: to serve an API by itself, or to nest it in an axum application.
//!
//! `axum::serve` sets no timer, so hyper's timeout for the header never fires, and a client that
//! sends half a header holds its connection without limit. [`serve_axum`] therefore accepts
//! connections with [`stage_02_queue::accept`]. An application that nests the router has a server of
//! its own, and sets its timeouts there.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::State;
use hyper_util::service::TowerToHyperService;
use shared::BoxFuture;
use shared::http::Endpoint;
use stage_02_queue::accept;
use tokio::net::TcpListener;

// ANCHOR: adapter
/// `endpoint`, as an axum router.
pub fn axum_router(endpoint: Arc<Endpoint>) -> axum::Router {
    axum::Router::new().fallback(answer).with_state(endpoint)
}

async fn answer(
    State(endpoint): State<Arc<Endpoint>>,
    request: axum::extract::Request,
) -> http::Response<Body> {
    endpoint.answer(request).await.map(Body::new)
}

/// Serves `endpoint` by axum until its shutdown token is cancelled.
pub fn serve_axum(endpoint: Arc<Endpoint>, listener: TcpListener) -> BoxFuture<'static, ()> {
    Box::pin(async move {
        let (options, shutdown) = (endpoint.options().clone(), endpoint.shutdown().clone());
        let service = TowerToHyperService::new(axum_router(endpoint));
        accept(listener, &options, shutdown, service).await;
    })
}
// ANCHOR_END: adapter
