//! What the operations of this stage need; those of stage 09 need what they needed.

use http::Method;
use stage_09_frontier::{Access, Scope};

/// What a request for this method and template of a path needs.
pub fn required(method: &Method, template: &str) -> Access {
    let (is_read, is_post) =
        (matches!(*method, Method::GET | Method::HEAD), *method == Method::POST);
    match template {
        "/events/history" | "/webhooks" | "/webhooks/{id}" | "/webhooks/{id}/deliveries"
            if is_read =>
        {
            Access::Scope(Scope::Read)
        }
        "/webhooks" | "/webhooks/{id}/rotate" | "/webhooks/{id}/redeliver" if is_post => {
            Access::Scope(Scope::Submit)
        }
        "/webhooks/{id}" if *method == Method::DELETE => Access::Scope(Scope::Submit),
        "/workers/{id}" if matches!(*method, Method::PUT | Method::DELETE) => {
            Access::Scope(Scope::Worker)
        }
        "/workers/{id}/sync"
        | "/workers/{id}/claim"
        | "/workers/{id}/output"
        | "/workers/{id}/files"
        | "/workers/{id}/result"
            if is_post =>
        {
            Access::Scope(Scope::Worker)
        }
        _ => stage_09_frontier::required(method, template),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn workers_need_their_scope_and_people_need_admin() {
        let worker = Access::Scope(Scope::Worker);
        assert_eq!(required(&Method::PUT, "/workers/{id}"), worker);
        assert_eq!(required(&Method::POST, "/workers/{id}/result"), worker);
        let admin = Access::Scope(Scope::Admin);
        for (method, path) in [
            (Method::GET, "/workers"),
            (Method::POST, "/workers/{id}/drain"),
            (Method::POST, "/workers/{id}"),
            (Method::GET, "/workers/{id}/claim"),
        ] {
            assert_eq!(required(&method, path), admin, "{method} {path}");
        }
    }
}
