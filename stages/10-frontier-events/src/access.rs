//! What the operations of this stage need; those of stage 09 need what they needed.

use http::Method;
use stage_09_frontier::{Access, Scope};

/// What a request for this method and template of a path needs.
pub fn required(method: &Method, template: &str) -> Access {
    let is_read = matches!(*method, Method::GET | Method::HEAD);
    match template {
        "/webhooks" | "/webhooks/{id}" | "/webhooks/{id}/deliveries" if is_read => {
            Access::Scope(Scope::Read)
        }
        "/webhooks" | "/webhooks/{id}/rotate" | "/webhooks/{id}/redeliver"
            if *method == Method::POST =>
        {
            Access::Scope(Scope::Submit)
        }
        "/webhooks/{id}" if *method == Method::DELETE => Access::Scope(Scope::Submit),
        _ => stage_09_frontier::required(method, template),
    }
}
