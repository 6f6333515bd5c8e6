//! An HTTP client of one stage.

use std::net::IpAddr;
use std::time::Duration;

use reqwest::header::HeaderMap;
use reqwest::{Method, RequestBuilder};
use serde_json::{Value, json};

use crate::events::EventStream;
use crate::wait::eventually_some;

/// How long one request may take.
const REQUEST_TIMEOUT: Duration = Duration::from_mins(2);
/// How long an evaluation may take until it has the state that a test waits for.
const EVALUATION_TIMEOUT: Duration = Duration::from_mins(1);

/// A client of the server at one URL. Clones share its connections.
#[derive(Debug, Clone)]
pub struct Client {
    http: reqwest::Client,
    url: String,
}

impl Client {
    /// A client of the server at `url`, which ends without a slash.
    pub fn new(url: impl Into<String>) -> Self {
        // A stage is on this machine: a proxy from the environment must not come in between.
        let http = reqwest::Client::builder().timeout(REQUEST_TIMEOUT).no_proxy().build();
        Self { http: http.expect("a client without TLS needs nothing"), url: url.into() }
    }

    /// Another client of the same server, which sends this API key with every request.
    ///
    /// # Panics
    ///
    /// When the key cannot stand in a header.
    #[must_use]
    pub fn with_key(&self, key: &str) -> Self {
        let value = format!("Bearer {key}").parse().expect("a key can stand in a header");
        let headers = HeaderMap::from_iter([(reqwest::header::AUTHORIZATION, value)]);
        let http = reqwest::Client::builder().timeout(REQUEST_TIMEOUT).no_proxy();
        let http = http.default_headers(headers).build();
        Self { http: http.expect("a client without TLS needs nothing"), url: self.url.clone() }
    }

    /// A client of the same server from another address of this machine, such as 127.0.0.2.
    #[must_use]
    pub fn from_address(&self, address: IpAddr) -> Self {
        let http = reqwest::Client::builder().timeout(REQUEST_TIMEOUT).no_proxy();
        let http = http.local_address(address).build();
        let url = self.url.clone();
        Self { http: http.expect("a client without TLS needs nothing"), url }
    }

    /// A request to be configured further, then sent with [`Client::send`].
    pub fn request(&self, method: Method, path: &str) -> RequestBuilder {
        self.http.request(method, format!("{}{path}", self.url))
    }

    /// Sends a request and reads the whole response.
    ///
    /// # Panics
    ///
    /// When there is no response.
    pub async fn send(&self, request: RequestBuilder) -> Response {
        let response = request.send().await.expect("the stage responds");
        let (status, headers) = (response.status().as_u16(), response.headers().clone());
        let body = response.bytes().await.expect("the response is whole").to_vec();
        Response { status, headers, body }
    }

    /// `GET path`, without reading the body: the response of a stream has no end.
    ///
    /// # Panics
    ///
    /// When there is no response.
    pub async fn open(&self, path: &str) -> reqwest::Response {
        self.request(Method::GET, path).send().await.expect("the stage responds")
    }

    /// `GET path`.
    pub async fn get(&self, path: &str) -> Response {
        self.send(self.request(Method::GET, path)).await
    }

    /// `POST path` with a JSON body.
    pub async fn post(&self, path: &str, body: &Value) -> Response {
        self.send(self.request(Method::POST, path).json(body)).await
    }

    /// `DELETE path`.
    pub async fn delete(&self, path: &str) -> Response {
        self.send(self.request(Method::DELETE, path)).await
    }

    /// Submits `body` and returns the id of the evaluation.
    ///
    /// # Panics
    ///
    /// When it is not accepted.
    pub async fn submit(&self, body: &Value) -> String {
        let response = self.post("/eval", body).await;
        assert_eq!(response.status, 202, "{response:?}");
        response.json()["id"].as_str().expect("an evaluation has an id").to_owned()
    }

    /// Submits the program `code` and returns the id of the evaluation.
    ///
    /// # Panics
    ///
    /// When it is not accepted.
    pub async fn submit_code(&self, code: &str) -> String {
        self.submit(&json!({ "code": code })).await
    }

    /// Submits `body` and returns the evaluation when it has ended.
    ///
    /// # Panics
    ///
    /// When it is not accepted or does not end.
    pub async fn eval(&self, body: &Value) -> Value {
        let request = self.request(Method::POST, "/eval").header("prefer", "wait=60").json(body);
        let response = self.send(request).await;
        assert!([200, 202].contains(&response.status), "{response:?}");
        let evaluation = response.json();
        if evaluation["outcome"].is_null() { self.wait(id(&evaluation)).await } else { evaluation }
    }

    /// Submits the program `code` and returns the evaluation when it has ended.
    ///
    /// # Panics
    ///
    /// As [`Client::eval`].
    pub async fn run(&self, code: &str) -> Value {
        self.eval(&json!({ "code": code })).await
    }

    /// The evaluation as it is now.
    ///
    /// # Panics
    ///
    /// When there is none.
    pub async fn evaluation(&self, id: &str) -> Value {
        let response = self.get(&format!("/eval/{id}")).await;
        assert_eq!(response.status, 200, "{response:?}");
        response.json()
    }

    /// Waits until the evaluation has ended.
    ///
    /// # Panics
    ///
    /// When it does not end in time.
    pub async fn wait(&self, id: &str) -> Value {
        self.wait_until(id, "it has ended", |evaluation| !evaluation["outcome"].is_null()).await
    }

    /// Waits until the evaluation has `status`.
    ///
    /// # Panics
    ///
    /// When it does not get there in time.
    pub async fn wait_for_status(&self, id: &str, status: &str) -> Value {
        self.wait_until(id, status, |evaluation| evaluation["status"] == status).await
    }

    /// Waits until `condition` holds for the evaluation; `what` names it in the failure.
    ///
    /// # Panics
    ///
    /// When it does not hold in time.
    pub async fn wait_until(
        &self,
        id: &str,
        what: &str,
        condition: impl Fn(&Value) -> bool,
    ) -> Value {
        let what = format!("evaluation {id}: {what}");
        let poll = async || Some(self.evaluation(id).await).filter(&condition);
        eventually_some(&what, EVALUATION_TIMEOUT, poll).await
    }

    /// The events of one evaluation, from its first.
    pub async fn events(&self, id: &str) -> EventStream {
        self.event_stream(&format!("/eval/{id}/events"), None).await
    }

    /// The events of one evaluation that follow the one with the sequence number `after`.
    pub async fn events_after(&self, id: &str, after: Option<u64>) -> EventStream {
        self.event_stream(&format!("/eval/{id}/events"), after).await
    }

    /// The events of everything: from now on, or those that follow `after`.
    pub async fn all_events(&self, after: Option<u64>) -> EventStream {
        self.event_stream("/events", after).await
    }

    async fn event_stream(&self, path: &str, after: Option<u64>) -> EventStream {
        let mut request = self.request(Method::GET, path);
        if let Some(sequence) = after {
            request = request.header("last-event-id", sequence);
        }
        EventStream::new(request.send().await.expect("the stage responds"))
    }
}

fn id(evaluation: &Value) -> &str {
    evaluation["id"].as_str().expect("an evaluation has an id")
}

/// A response that was read to its end.
#[derive(Clone)]
pub struct Response {
    /// The status code.
    pub status: u16,
    /// The header fields.
    pub headers: HeaderMap,
    /// The body.
    pub body: Vec<u8>,
}

impl Response {
    /// The body as JSON; null when it is none.
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_default()
    }

    /// The body as text.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// The value of a header field; empty when it is absent.
    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().expect("an ASCII value"))
    }

    /// Status and JSON body, for a comparison of both.
    pub fn parts(&self) -> (u16, Value) {
        (self.status, self.json())
    }
}

/// Short enough for the message of a failed assertion.
impl std::fmt::Debug for Response {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let text: String = self.text().chars().take(2000).collect();
        write!(f, "{} {text}", self.status)
    }
}
