//! A client on a socket.

use reqwest::Client as Reqwest;

use super::{Client, ClientRequest, ClientResponse};

pub(crate) struct HttpClient {
    url: String,
    client: Reqwest,
}

impl HttpClient {
    /// A client of the server at `url`, which ends without a slash.
    pub(crate) fn new(url: impl Into<String>) -> Self {
        Self { url: url.into(), client: Reqwest::new() }
    }
}

impl Client for HttpClient {
    async fn send(&self, request: ClientRequest) -> ClientResponse {
        let ClientRequest { method, target, headers, body } = request;
        let mut request = self.client.request(method, format!("{}{target}", self.url)).body(body);
        for (name, value) in headers {
            request = request.header(name, value);
        }
        let response = request.send().await.unwrap();
        let (status, headers) = (response.status(), response.headers().clone());
        ClientResponse { status, headers, body: response.bytes().await.unwrap().to_vec() }
    }
}
