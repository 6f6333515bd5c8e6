//! One conversation with an API, through any adapter, recorded as text so that two of them can be
//! compared. The package of the adapter for Lambda has the same one.

mod client;
mod redacted;
mod script;

use http::{HeaderMap, Method, StatusCode};

pub(crate) use client::HttpClient;
pub(crate) use script::record;

/// A request of a client.
#[derive(Debug, Clone)]
pub(crate) struct ClientRequest {
    pub(crate) method: Method,
    pub(crate) target: String,
    pub(crate) headers: Vec<(&'static str, String)>,
    pub(crate) body: Vec<u8>,
}

/// The response to it.
#[derive(Debug)]
pub(crate) struct ClientResponse {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Vec<u8>,
}

/// Sends requests to an API.
pub(crate) trait Client {
    async fn send(&self, request: ClientRequest) -> ClientResponse;
}

impl ClientRequest {
    pub(crate) fn new(method: Method, target: impl Into<String>) -> Self {
        Self { method, target: target.into(), headers: Vec::new(), body: Vec::new() }
    }

    pub(crate) fn get(target: impl Into<String>) -> Self {
        Self::new(Method::GET, target)
    }

    /// `POST /eval` with these bytes, declared as JSON.
    pub(crate) fn submit(body: impl Into<Vec<u8>>) -> Self {
        let request = Self { body: body.into(), ..Self::new(Method::POST, "/eval") };
        request.with("content-type", "application/json")
    }

    pub(crate) fn with(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.headers.push((name, value.into()));
        self
    }
}
