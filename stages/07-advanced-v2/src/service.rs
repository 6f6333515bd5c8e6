//! The one trait of every API.

use std::sync::Arc;

use shared::BoxFuture;

use crate::request::ApiRequest;
use crate::response::ApiResponse;

// ANCHOR: service
/// Answers requests.
///
/// Whatever hosts an API (a web server, a function in the cloud, a test) brings it plain values, and
/// whatever wraps one (a validator, a limiter) is one itself. Each request is answered: what goes
/// wrong is a response as well.
pub trait ApiService: Send + Sync {
    /// Answers one request.
    ///
    /// Cancel safety: the future may be dropped at any point, as when a client goes away. What was
    /// accepted stays accepted.
    fn handle(&self, request: ApiRequest) -> BoxFuture<'_, ApiResponse>;
}
// ANCHOR_END: service

impl<T: ApiService + ?Sized> ApiService for Arc<T> {
    fn handle(&self, request: ApiRequest) -> BoxFuture<'_, ApiResponse> {
        (**self).handle(request)
    }
}
