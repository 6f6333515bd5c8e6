//! A client on a socket.

use reqwest::Client as Reqwest;

use super::{Answered, Asked, Client};

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
    async fn ask(&self, asked: Asked) -> Answered {
        let url = format!("{}{}", self.url, asked.target);
        let mut request = self.client.request(asked.method, url).body(asked.body);
        for (name, value) in asked.headers {
            request = request.header(name, value);
        }
        let response = request.send().await.unwrap();
        let (status, headers) = (response.status(), response.headers().clone());
        Answered { status, headers, body: response.bytes().await.unwrap().to_vec() }
    }
}
