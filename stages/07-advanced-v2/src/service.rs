//! The one trait of every API.
//!
//! What a host owes an API beside the translation, because only a host has time and a connection:
//!
//! | attack | what the host does | test |
//! |---|---|---|
//! | half a header or half a body, then silence | a deadline for each | `a_client_that_is_slow_or_led_astray_is_cut_off` |
//! | a body of a gigabyte | counts while it reads, and stops | the same |
//! | thousands of connections | lets so many in, and no more | `one_connection_too_many_waits` |
//! | a reader of events that is gone | drops the stream, and with it the place | `a_reader_that_leaves_frees_its_place` |
//! | a stream without an end keeps the server from ending | ends it when the server is told to stop | `what_runs_is_ended_and_told_before_the_server_goes` |
//!
//! The rest an API guards by itself, and `without_a_host_the_api_still_guards_itself` holds it to that.

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
