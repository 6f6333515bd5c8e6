//! Requests to the API of the stage.

use std::time::Duration;

use bytes::Bytes;
use http::{Method, Request, StatusCode, Uri, header};
use http_body_util::{BodyExt as _, Full, Limited};
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::Value;
use shared::BoxError;
use shared::cli::BuildError;
use tokio_rustls::rustls::RootCertStore;
use uuid::Uuid;

use crate::tls::{client_config, system_roots};

/// How long a connection may take.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// How long a response may take, beside the time that a request waits for an end.
const RESPONSE_TIMEOUT: Duration = Duration::from_mins(2);
/// The largest response: the output of an execution, in base64.
const MAX_RESPONSE_BYTES: usize = 32 << 20;
/// What is escaped in a URL: everything but the unreserved characters of RFC 3986.
const RESERVED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');
/// The most of a problem that a model reads.
const MAX_DETAIL: usize = 1_000;

/// Why a request had no success. A model reads it as the result of its call.
#[derive(Debug, thiserror::Error)]
pub(super) enum ApiError {
    /// There was no response.
    #[error("the stage at {base} cannot be reached: {source}")]
    Unreachable {
        /// Its address.
        base: String,
        /// Why.
        source: BoxError,
    },
    /// There was another response than a success.
    #[error("{status}: {detail}")]
    Status {
        /// Its status.
        status: StatusCode,
        /// What to change.
        detail: String,
    },
}

/// A client of one stage, with one key.
pub(super) struct ApiClient {
    http: Client<HttpsConnector<HttpConnector>, Full<Bytes>>,
    base: String,
    key: Option<String>,
}

/// A request, before it is sent.
pub(super) struct Call {
    method: Method,
    path: String,
    headers: Vec<(&'static str, String)>,
    content_type: Option<&'static str>,
    body: Vec<u8>,
    wait: Duration,
}

impl Call {
    /// A request without a body.
    pub(super) fn new(method: Method, path: String) -> Self {
        let (headers, body) = (Vec::new(), Vec::new());
        Self { method, path, headers, content_type: None, body, wait: Duration::ZERO }
    }

    /// The same with a body of JSON.
    pub(super) fn json(self, body: &Value) -> Self {
        Self { content_type: Some("application/json"), body: body.to_string().into(), ..self }
    }

    /// The same with a body of bytes.
    pub(super) fn bytes(self, body: Vec<u8>) -> Self {
        Self { content_type: Some("application/octet-stream"), body, ..self }
    }

    /// The same, with a key that makes its repetition safe.
    pub(super) fn once(self) -> Self {
        self.header("idempotency-key", format!("\"{}\"", Uuid::now_v7()))
    }

    /// The same, with one more header.
    pub(super) fn header(mut self, name: &'static str, value: String) -> Self {
        self.headers.push((name, value));
        self
    }

    /// The same, of which the response may come so much later.
    pub(super) fn waiting(self, wait: Duration) -> Self {
        Self { wait, ..self }
    }
}

/// A part of a path, or a value of a query.
pub(super) fn encoded(text: &str) -> String {
    utf8_percent_encode(text, RESERVED).to_string()
}

impl ApiClient {
    /// A client of the stage at `url`.
    pub(super) fn new(url: &Uri, key: Option<String>) -> Result<Self, BuildError> {
        let is_https = match url.scheme_str() {
            Some("https") => true,
            Some("http") => false,
            _ => {
                let error = BuildError::new(format!("{url} is no address of a stage"));
                return Err(error.with_hint("give --url as http://HOST:PORT"));
            }
        };
        let mut tcp = HttpConnector::new();
        tcp.enforce_http(false);
        tcp.set_connect_timeout(Some(CONNECT_TIMEOUT));
        tcp.set_nodelay(true);
        // An address without TLS needs no certificates.
        let roots = if is_https { system_roots() } else { RootCertStore::empty() };
        let tls = client_config(roots).map_err(anyhow::Error::new)?;
        let connector = HttpsConnectorBuilder::new().with_tls_config(tls).https_or_http();
        let connector = connector.enable_http1().wrap_connector(tcp);
        let http = Client::builder(TokioExecutor::new()).build(connector);
        Ok(Self { http, base: url.to_string().trim_end_matches('/').to_owned(), key })
    }

    /// The response to a request, if it is a success, as JSON.
    pub(super) async fn json(&self, call: Call) -> Result<Value, ApiError> {
        let body = self.bytes(call).await?;
        serde_json::from_slice(&body).map_err(|error| self.unreachable(error.into()))
    }

    /// The response to a request, if it is a success.
    pub(super) async fn bytes(&self, call: Call) -> Result<Bytes, ApiError> {
        let Call { method, path, headers, content_type, body, wait } = call;
        let mut request = Request::builder().method(method).uri(format!("{}{path}", self.base));
        if let Some(key) = &self.key {
            request = request.header(header::AUTHORIZATION, format!("Bearer {key}"));
        }
        if let Some(content_type) = content_type {
            request = request.header(header::CONTENT_TYPE, content_type);
        }
        for (name, value) in headers {
            request = request.header(name, value);
        }
        let request = request.body(Full::from(body));
        let request = request.map_err(|error| self.unreachable(error.into()))?;
        let exchange = async {
            let response = self.http.request(request).await.map_err(BoxError::from)?;
            let status = response.status();
            let body = Limited::new(response.into_body(), MAX_RESPONSE_BYTES).collect().await?;
            Ok((status, body.to_bytes()))
        };
        let exchanged = tokio::time::timeout(RESPONSE_TIMEOUT + wait, exchange).await;
        let exchanged = exchanged.unwrap_or_else(|elapsed| Err(elapsed.into()));
        let (status, body) = exchanged.map_err(|error| self.unreachable(error))?;
        if status.is_success() { Ok(body) } else { Err(refused(status, &body)) }
    }

    fn unreachable(&self, source: BoxError) -> ApiError {
        ApiError::Unreachable { base: self.base.clone(), source }
    }
}

/// The error of a problem: its detail, and what is wrong with each field.
fn refused(status: StatusCode, body: &[u8]) -> ApiError {
    let problem: Value = serde_json::from_slice(body).unwrap_or_default();
    let mut detail = problem["detail"].as_str().unwrap_or("no details").to_owned();
    for error in problem["errors"].as_array().into_iter().flatten() {
        let text = |name: &str| error[name].as_str().unwrap_or_default().to_owned();
        detail = format!("{detail}; {}: {}", text("pointer"), text("detail"));
    }
    ApiError::Status { status, detail: detail.chars().take(MAX_DETAIL).collect() }
}
