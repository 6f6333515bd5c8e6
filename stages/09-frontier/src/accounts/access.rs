//! What each operation needs: nothing, or a scope. The contract has the same, and a test compares them.

use http::Method;

use super::record::Scope;

/// What a request needs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Access {
    /// No key: liveness, the pages and the contract.
    Public,
    /// A key with this scope.
    Scope(Scope),
}

/// What a request for this method and template of a path needs.
///
/// Attack: a route is added, and its scope is forgotten → what is not listed here needs `admin`. Test:
/// `an_unknown_route_needs_admin`.
pub fn required(method: &Method, template: &str) -> Access {
    let is_read = matches!(*method, Method::GET | Method::HEAD);
    match template {
        "/"
        | "/page.js"
        | "/page.css"
        | "/web/{directory}/{file}"
        | "/docs"
        | "/docs/{file}"
        | "/openapi.yaml"
        | "/openapi.json"
        | "/health"
            if is_read =>
        {
            Access::Public
        }
        "/eval"
        | "/eval/{id}"
        | "/eval/{id}/submission"
        | "/eval/{id}/events"
        | "/eval/{id}/artifacts"
        | "/eval/{id}/artifacts/{number}"
        | "/events"
        | "/environments"
        | "/queue"
        | "/status"
        | "/metrics"
        | "/batches/{id}"
        | "/batches/{id}/results"
        | "/compare/{id}"
        | "/verify/{id}"
            if is_read =>
        {
            Access::Scope(Scope::Read)
        }
        "/eval" | "/batches" | "/compare" | "/verify" if *method == Method::POST => {
            Access::Scope(Scope::Submit)
        }
        "/sandboxes"
        | "/sandboxes/{id}"
        | "/sandboxes/{id}/renew"
        | "/sandboxes/{id}/execs"
        | "/sandboxes/{id}/execs/{exec_id}"
        | "/sandboxes/{id}/execs/{exec_id}/stdin"
        | "/sandboxes/{id}/execs/{exec_id}/stdout"
        | "/sandboxes/{id}/execs/{exec_id}/stderr"
        | "/sandboxes/{id}/execs/{exec_id}/events"
        | "/sandboxes/{id}/execs/{exec_id}/signal"
        | "/sandboxes/{id}/file"
        | "/sandboxes/{id}/tar"
        | "/sandboxes/{id}/diff" => Access::Scope(Scope::Submit),
        "/eval/{id}" | "/batches/{id}" if *method == Method::DELETE => Access::Scope(Scope::Submit),
        _ => Access::Scope(Scope::Admin),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_unknown_route_needs_admin() {
        let admin = Access::Scope(Scope::Admin);
        for (method, template) in [
            (Method::GET, "/keys"),
            (Method::GET, "/audit"),
            (Method::GET, "/eval/{id}/secrets"),
            (Method::PUT, "/eval/{id}"),
            (Method::PATCH, "/eval"),
            (Method::POST, "/health"),
            (Method::POST, "/self-test"),
            (Method::DELETE, "/eval"),
            (Method::GET, ""),
        ] {
            assert_eq!(required(&method, template), admin, "{method} {template}");
        }
    }

    #[test]
    fn reading_and_submitting_are_two_scopes() {
        assert_eq!(required(&Method::HEAD, "/eval/{id}"), Access::Scope(Scope::Read));
        assert_eq!(required(&Method::GET, "/eval"), Access::Scope(Scope::Read));
        assert_eq!(required(&Method::POST, "/eval"), Access::Scope(Scope::Submit));
        assert_eq!(required(&Method::DELETE, "/eval/{id}"), Access::Scope(Scope::Submit));
        assert_eq!(required(&Method::GET, "/health"), Access::Public);
        for method in [Method::GET, Method::PUT, Method::DELETE] {
            let path = "/sandboxes/{id}/execs/{exec_id}";
            assert_eq!(required(&method, path), Access::Scope(Scope::Submit));
        }
    }
}
