//! What is asked, as a plain value: from a socket, an event of Amazon's, or a test.

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Method, StatusCode, Uri, header};
use serde_json::Value;
use shared::http::Problem;

// ANCHOR: request
/// One request. Its body has been read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ApiRequest {
    /// `GET`, `POST` and so on.
    pub method: Method,
    /// Begins with `/`; escapes are not decoded.
    pub path: String,
    /// What stands behind the `?`, if there is one; escapes are not decoded.
    pub query: Option<String>,
    /// The headers; `host` among them.
    pub headers: HeaderMap,
    /// The body; empty when there is none.
    pub body: Bytes,
}
// ANCHOR_END: request

impl ApiRequest {
    /// A request without a body, to this machine. What stands behind a `?` is its query.
    pub fn new(method: Method, target: &str) -> Self {
        let (path, query) = match target.split_once('?') {
            Some((path, query)) => (path, Some(query.to_owned())),
            None => (target, None),
        };
        let mut headers = HeaderMap::new();
        headers.insert(header::HOST, HeaderValue::from_static("localhost"));
        Self { method, path: path.to_owned(), query, headers, body: Bytes::new() }
    }

    /// The same request with one more header.
    #[must_use]
    pub fn with_header(mut self, name: &'static str, value: &'static str) -> Self {
        self.headers.insert(name, HeaderValue::from_static(value));
        self
    }

    /// The same request with this body.
    #[must_use]
    pub fn with_body(mut self, body: impl Into<Bytes>) -> Self {
        self.body = body.into();
        self
    }

    /// The same request with a body of JSON.
    #[must_use]
    pub fn with_json(self, value: &Value) -> Self {
        self.with_header("content-type", "application/json").with_body(value.to_string())
    }
}

impl From<shared::http::Request> for ApiRequest {
    fn from(request: shared::http::Request) -> Self {
        let (parts, body) = request.into_parts();
        Self {
            method: parts.method,
            path: parts.uri.path().to_owned(),
            query: parts.uri.query().map(str::to_owned),
            headers: parts.headers,
            body,
        }
    }
}

impl TryFrom<ApiRequest> for shared::http::Request {
    type Error = Problem;

    fn try_from(request: ApiRequest) -> Result<Self, Problem> {
        let ApiRequest { method, path, query, headers, body } = request;
        let target = query.as_ref().map_or_else(|| path.clone(), |query| format!("{path}?{query}"));
        // Attack: a host hands on a path that it has unescaped, so that a `?` or a `#` in it ends the
        // path early -> what was parsed has to be what was given -> test
        // `a_path_that_cannot_be_one_is_a_problem`.
        let as_given = |uri: &Uri| uri.path() == path && uri.query() == query.as_deref();
        let parsed = Uri::builder().path_and_query(target).build().ok().filter(as_given);
        let uri = parsed.ok_or_else(|| {
            let detail = "this path has characters that have to be escaped";
            Problem::new(StatusCode::BAD_REQUEST, detail)
        })?;
        let mut request = http::Request::new(body);
        (*request.method_mut(), *request.uri_mut(), *request.headers_mut()) =
            (method, uri, headers);
        Ok(request)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn there_and_back_nothing_is_lost() {
        let request = ApiRequest::new(Method::POST, "/eval/%C3%A9?limit=%37&x")
            .with_json(&json!({ "code": "é" }))
            .with_header("prefer", "wait=1");
        let there = shared::http::Request::try_from(request.clone()).unwrap();
        assert_eq!(there.uri(), "/eval/%C3%A9?limit=%37&x");
        assert_eq!(ApiRequest::from(there), request);
    }

    #[test]
    fn a_path_that_cannot_be_one_is_a_problem() {
        for path in ["/a b", "/a\r\nx: y", "/\0", "/eval?limit=1", "/eval#x"] {
            let request = ApiRequest { path: path.to_owned(), ..ApiRequest::new(Method::GET, "/") };
            let problem = shared::http::Request::try_from(request).unwrap_err();
            assert_eq!(problem.into_response().status(), 400, "{path:?}");
        }
    }
}
