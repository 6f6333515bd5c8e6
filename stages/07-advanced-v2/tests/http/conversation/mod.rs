//! One conversation with an API, held through any host, and written down so that two of them can be
//! compared. The package of the Lambda host holds the same one.

mod client;
mod script;
mod settled;

use http::{HeaderMap, Method, StatusCode};

pub(crate) use client::HttpClient;
pub(crate) use script::hold;

/// What is asked, as a client says it.
#[derive(Debug, Clone)]
pub(crate) struct Asked {
    pub(crate) method: Method,
    pub(crate) target: String,
    pub(crate) headers: Vec<(&'static str, String)>,
    pub(crate) body: Vec<u8>,
}

/// What is answered, as a client gets it.
#[derive(Debug)]
pub(crate) struct Answered {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Vec<u8>,
}

/// Whatever brings a request to an API and its answer back.
pub(crate) trait Client {
    async fn ask(&self, asked: Asked) -> Answered;
}

impl Asked {
    pub(crate) fn new(method: Method, target: impl Into<String>) -> Self {
        Self { method, target: target.into(), headers: Vec::new(), body: Vec::new() }
    }

    pub(crate) fn get(target: impl Into<String>) -> Self {
        Self::new(Method::GET, target)
    }

    /// `POST /eval` with these bytes, which say that they are JSON.
    pub(crate) fn submit(body: impl Into<Vec<u8>>) -> Self {
        let asked = Self { body: body.into(), ..Self::new(Method::POST, "/eval") };
        asked.with("content-type", "application/json")
    }

    pub(crate) fn with(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.headers.push((name, value.into()));
        self
    }
}
