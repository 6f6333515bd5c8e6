//! The contract over HTTP, and a page that shows it.
//!
//! The page is Swagger UI, compiled in: it works without a network, and loads nothing from elsewhere.
//!
//! | attack | defence | test |
//! |---|---|---|
//! | a link to `/docs?url=https://evil.example/openapi.json` makes this page show another contract, and send requests to its server | the page reads no address; the policy lets it connect to this server only | `the_page_can_connect_to_this_server_only` |
//! | a script is smuggled into a description | no script runs but the two files of the page | `the_page_can_connect_to_this_server_only` |

use std::borrow::Cow;
use std::sync::Arc;

use bytes::Bytes;
use http::{Method, StatusCode};
use shared::http::{MatchedRequest, Problem, Response, Router, bytes, html};
use utoipa_swagger_ui::Config;

use crate::contract::Contract;

/// Swagger UI sets styles on its elements by attribute, hence the exception for styles; it draws
/// some of its icons from `data:` URLs. No script is allowed in the page itself.
const POLICY: &str = "default-src 'none'; connect-src 'self'; script-src 'self'; \
                      style-src 'self' 'unsafe-inline'; img-src 'self' data:; base-uri 'none'; \
                      form-action 'none'; frame-ancestors 'none'";

// ANCHOR: routes
/// The routes of `contract`: `/openapi.yaml`, `/openapi.json`, and the page at `/docs`.
pub fn docs_routes(contract: Arc<Contract>) -> Router {
    Router::with_state(contract)
        .route(Method::GET, "/openapi.yaml", yaml)
        .route(Method::GET, "/openapi.json", json)
        .route(Method::GET, "/docs", page)
        .route(Method::GET, "/docs/{file}", file)
        .into()
}
// ANCHOR_END: routes

type Answer = Result<Response, Problem>;

async fn yaml(contract: Arc<Contract>, request: MatchedRequest) -> Answer {
    let [] = request.query([])?;
    Ok(bytes(StatusCode::OK, "application/yaml", contract.yaml.clone()))
}

async fn json(contract: Arc<Contract>, request: MatchedRequest) -> Answer {
    let [] = request.query([])?;
    Ok(bytes(StatusCode::OK, "application/json", contract.json.clone()))
}

async fn page(_contract: Arc<Contract>, request: MatchedRequest) -> Answer {
    let [] = request.query([])?;
    Ok(html(include_str!("docs/docs.html"), POLICY))
}

async fn file(_contract: Arc<Contract>, request: MatchedRequest) -> Answer {
    let [] = request.query([])?;
    let name: String = request.param("file")?;
    let media = match &*name {
        "docs.js" => {
            let script = include_str!("docs/docs.js");
            return Ok(bytes(StatusCode::OK, "text/javascript", script));
        }
        "index.css" | "swagger-ui.css" => "text/css",
        "swagger-ui-bundle.js" => "text/javascript",
        "favicon-32x32.png" => "image/png",
        _ => return Err(Problem::unknown_path()),
    };
    let file = swagger_ui(&name).ok_or_else(Problem::unknown_path)?;
    Ok(bytes(StatusCode::OK, media, file))
}

/// A file of Swagger UI.
fn swagger_ui(name: &str) -> Option<Bytes> {
    // The configuration is for files that are not served here.
    let file = utoipa_swagger_ui::serve(name, Arc::new(Config::from("/openapi.json")));
    Some(match file.ok()??.bytes {
        Cow::Borrowed(bytes) => Bytes::from_static(bytes),
        Cow::Owned(bytes) => bytes.into(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_page_can_connect_to_this_server_only() {
        for directive in ["default-src 'none'", "connect-src 'self'", "script-src 'self'"] {
            assert!(POLICY.split("; ").any(|own| own == directive), "{directive}");
        }
        let html = include_str!("docs/docs.html");
        assert_eq!(html.matches("<script").count(), html.matches("<script src=\"/docs/").count());
        for text in [html, include_str!("docs/docs.js")] {
            for other in ["http://", "https://", "onload", "location", "eval("] {
                assert!(!text.contains(other), "{other}");
            }
        }
    }
}
