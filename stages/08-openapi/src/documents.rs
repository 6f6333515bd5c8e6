//! The contract itself over HTTP, and a page that shows it.
//!
//! The page is Swagger UI, compiled in: it works without a network, and loads nothing from elsewhere.
//!
//! | attack | defence | test |
//! |---|---|---|
//! | a link to `/docs?url=https://evil.example/openapi.json` has our page show a contract of theirs, and send requests for it | the page reads no address; the policy lets it connect to this server only | `the_page_can_reach_nobody_else` |
//! | a script is smuggled into a description | nothing runs but the two files of the page | `the_page_can_reach_nobody_else` |

use std::borrow::Cow;
use std::sync::Arc;

use bytes::Bytes;
use http::{Method, StatusCode};
use shared::BoxFuture;
use shared::http::{Response, bytes, page};
use stage_07_advanced_v2::{ApiRequest, ApiResponse, ApiService};
use utoipa_swagger_ui::Config;

use crate::contract::Contract;

/// Swagger UI sets styles on its elements by attribute, hence the exception for styles; it draws
/// some of its signs from `data:` addresses. No script may stand in the page itself.
const POLICY: &str = "default-src 'none'; connect-src 'self'; script-src 'self'; \
                      style-src 'self' 'unsafe-inline'; img-src 'self' data:; base-uri 'none'; \
                      form-action 'none'; frame-ancestors 'none'";

/// What is read here, all with GET.
pub const PATHS: [&str; 4] = ["/openapi.yaml", "/openapi.json", "/docs", "/docs/{file}"];

/// An API, and the documents beside it.
pub struct DocumentedApi<A> {
    inner: A,
    contract: Arc<Contract>,
}

impl<A: ApiService> DocumentedApi<A> {
    /// `inner`, with `contract` at `/openapi.yaml`, `/openapi.json` and `/docs`.
    pub fn new(inner: A, contract: Arc<Contract>) -> Self {
        Self { inner, contract }
    }

    // ANCHOR: document
    fn document(&self, path: &str) -> Option<Response> {
        let ok = |media, text: Bytes| Some(bytes(StatusCode::OK, media, text));
        match path {
            "/openapi.yaml" => ok("application/yaml", self.contract.yaml.clone()),
            "/openapi.json" => ok("application/json", self.contract.json.clone()),
            "/docs" => Some(page(include_str!("docs/docs.html"), POLICY)),
            "/docs/docs.js" => ok("text/javascript", include_str!("docs/docs.js").into()),
            "/docs/index.css" => ok("text/css", swagger("index.css")?),
            "/docs/swagger-ui.css" => ok("text/css", swagger("swagger-ui.css")?),
            "/docs/swagger-ui-bundle.js" => ok("text/javascript", swagger("swagger-ui-bundle.js")?),
            "/docs/favicon-32x32.png" => ok("image/png", swagger("favicon-32x32.png")?),
            _ => None,
        }
    }
    // ANCHOR_END: document
}

/// A file of Swagger UI.
fn swagger(name: &str) -> Option<Bytes> {
    // The configuration is for files that we do not take.
    let file = utoipa_swagger_ui::serve(name, Arc::new(Config::from("/openapi.json")));
    Some(match file.ok()??.bytes {
        Cow::Borrowed(bytes) => Bytes::from_static(bytes),
        Cow::Owned(bytes) => bytes.into(),
    })
}

impl<A: ApiService> ApiService for DocumentedApi<A> {
    fn handle(&self, request: ApiRequest) -> BoxFuture<'_, ApiResponse> {
        Box::pin(async move {
            let head = request.method == Method::HEAD;
            let document = if head || request.method == Method::GET {
                self.document(&request.path)
            } else {
                None
            };
            let Some(document) = document else { return self.inner.handle(request).await };
            let response = ApiResponse::from_http(document).await;
            if head { response.without_body() } else { response }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_page_can_reach_nobody_else() {
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
