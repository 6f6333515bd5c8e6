//! API Gateway and Lambda's runtime interface in one server: a request becomes an event of payload format 2.0, and
//! waits for the next process of the function that asks for one. Each process has one event at a time.

use std::collections::HashMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::{Path, Request, State};
use axum::http::{HeaderMap, Response, StatusCode};
use axum::routing::{get, post};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::sync::{Mutex as AsyncMutex, mpsc, oneshot};

/// As long as API Gateway waits for a function.
const INTEGRATION_TIMEOUT: Duration = Duration::from_secs(30);
/// For an event that no client waits for. Lambda ends it after 29 s on a processor of its own; here it shares
/// two with everything else.
const EVENT_TIMEOUT: Duration = Duration::from_mins(4);
/// In a debug build, on a busy machine: the contract of stage 10 is compiled.
const START_TIMEOUT: Duration = Duration::from_mins(2);
const RUNTIME: &str = "/2018-06-01/runtime";

/// Where the answer of a function goes, or the error that it has reported.
type Answered = oneshot::Sender<Result<Value, Value>>;

/// An event, and where its answer goes: the function's, or the error that it has reported.
struct Invocation {
    event: Value,
    answer: Answered,
}

/// The server.
#[derive(Clone)]
pub(crate) struct Front {
    address: String,
    events: mpsc::UnboundedSender<Invocation>,
    shared: Arc<Shared>,
}

struct Shared {
    waiting: AsyncMutex<mpsc::UnboundedReceiver<Invocation>>,
    /// How often a process has asked for an event.
    asked: AtomicUsize,
    running: Mutex<(u64, HashMap<String, Answered>)>,
}

impl Front {
    pub(crate) async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let (events, waiting) = mpsc::unbounded_channel();
        let shared = Arc::new(Shared {
            waiting: AsyncMutex::new(waiting),
            asked: AtomicUsize::new(0),
            running: Mutex::default(),
        });
        let address = listener.local_addr().unwrap().to_string();
        let front = Self { address, events, shared };
        let router = Router::new()
            .route(&format!("{RUNTIME}/invocation/next"), get(next))
            .route(&format!("{RUNTIME}/invocation/{{id}}/response"), post(response))
            .route(&format!("{RUNTIME}/invocation/{{id}}/error"), post(error))
            .fallback(request)
            .with_state(front.clone());
        tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
        front
    }

    /// What the functions find Lambda by.
    pub(crate) fn address(&self) -> &str {
        &self.address
    }

    /// What clients and workers find the API by.
    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Waits until so many processes have asked for their first event.
    pub(crate) async fn has(&self, functions: usize) {
        harness::eventually("the processes of the function", START_TIMEOUT, || {
            self.shared.asked.load(Ordering::Relaxed) >= functions
        })
        .await;
    }

    /// Calls the function with an event: its answer, or its error. None when there is none in time.
    async fn invoke(&self, event: Value, patience: Duration) -> Option<Result<Value, Value>> {
        let (answer, answered) = oneshot::channel();
        self.events.send(Invocation { event, answer }).ok()?;
        tokio::time::timeout(patience, answered).await.ok()?.ok()
    }

    /// What the function answers to an event of a service, or its error.
    pub(crate) async fn event(&self, event: Value) -> Result<Value, Value> {
        self.invoke(event, EVENT_TIMEOUT).await.expect("the function answers")
    }

    /// What a sweep has done that succeeds.
    pub(crate) async fn sweep(&self) -> Value {
        self.try_sweep().await.expect("the sweep succeeds")
    }

    /// The event of `EventBridge`'s schedule.
    pub(crate) async fn try_sweep(&self) -> Result<Value, Value> {
        let event = json!({
            "version": "0", "id": "53dc4d37-cffa-4f76-80c9-8b7d4a4d2eaa",
            "detail-type": "Scheduled Event", "source": "aws.events", "account": "123456789012",
            "time": "2026-11-27T00:00:00Z", "region": "us-east-1",
            "resources": ["arn:aws:events:us-east-1:123456789012:rule/sweep"], "detail": {}
        });
        self.event(event).await
    }
}

/// A process of the function asks for its next event.
async fn next(State(front): State<Front>) -> Response<Body> {
    front.shared.asked.fetch_add(1, Ordering::Relaxed);
    let Invocation { event, answer } = front.shared.waiting.lock().await.recv().await.unwrap();
    let mut running = front.shared.running.lock().unwrap();
    running.0 += 1;
    let id = format!("event-{}", running.0);
    running.1.insert(id.clone(), answer);
    Response::builder()
        .header("lambda-runtime-aws-request-id", id)
        .header("lambda-runtime-deadline-ms", "4102444800000")
        .header("lambda-runtime-invoked-function-arn", "arn:aws:lambda:us-east-1:1:function:api")
        .body(Body::from(event.to_string()))
        .unwrap()
}

async fn response(State(front): State<Front>, Path(id): Path<String>, body: Bytes) -> StatusCode {
    answered(&front, &id, Ok(serde_json::from_slice(&body).unwrap_or_default()))
}

async fn error(State(front): State<Front>, Path(id): Path<String>, body: Bytes) -> StatusCode {
    answered(&front, &id, Err(serde_json::from_slice(&body).unwrap_or_default()))
}

fn answered(front: &Front, id: &str, answer: Result<Value, Value>) -> StatusCode {
    let waiting = front.shared.running.lock().unwrap().1.remove(id);
    // A client that has disconnected does not wait any more.
    waiting.map(|waiting| waiting.send(answer).ok());
    StatusCode::ACCEPTED
}

/// A request of a client.
async fn request(State(front): State<Front>, request: Request) -> Response<Body> {
    let (head, body) = request.into_parts();
    let body = axum::body::to_bytes(body, 10 << 20).await.unwrap();
    let event = event(&head.method, &head.uri, &head.headers, &body);
    let status = |status: u16| Response::builder().status(status).body(Body::empty()).unwrap();
    match front.invoke(event, INTEGRATION_TIMEOUT).await {
        Some(Ok(answer)) => http_response(&answer),
        Some(Err(_)) => status(502),
        None => status(504),
    }
}

fn event(method: &http::Method, uri: &http::Uri, headers: &HeaderMap, body: &[u8]) -> Value {
    let text = std::str::from_utf8(body).ok();
    let mut joined = HashMap::<_, String>::new();
    for (name, value) in headers {
        let value = String::from_utf8_lossy(value.as_bytes());
        let known = joined.entry(name.as_str()).and_modify(|known| *known += ",");
        known.or_default().push_str(&value);
    }
    json!({
        "version": "2.0", "routeKey": "$default", "rawPath": uri.path(),
        "rawQueryString": uri.query().unwrap_or_default(), "headers": joined,
        "requestContext": {
            "accountId": "123456789012", "apiId": "anapi",
            "domainName": "anapi.execute-api.us-east-1.amazonaws.com", "domainPrefix": "anapi",
            "http": { "method": method.as_str(), "path": uri.path(), "protocol": "HTTP/1.1",
                      "sourceIp": "203.0.113.7", "userAgent": "a-test" },
            "requestId": "id", "routeKey": "$default", "stage": "$default",
            "time": "12/Mar/2026:19:03:58 +0000", "timeEpoch": 1_773_342_238_390_u64
        },
        "body": text.map_or_else(|| STANDARD.encode(body), str::to_owned),
        "isBase64Encoded": text.is_none()
    })
}

/// The response that a function has described.
fn http_response(answer: &Value) -> Response<Body> {
    let status = u16::try_from(answer["statusCode"].as_u64().unwrap()).unwrap();
    let mut response = Response::builder().status(status);
    let many = answer["multiValueHeaders"].as_object().into_iter().flatten();
    for (name, values) in many {
        for value in values.as_array().unwrap() {
            response = response.header(name, value.as_str().unwrap());
        }
    }
    for (name, value) in answer["headers"].as_object().into_iter().flatten() {
        let is_known = response.headers_ref().is_some_and(|all| all.contains_key(name));
        if !is_known {
            response = response.header(name, value.as_str().unwrap());
        }
    }
    let body = answer["body"].as_str().unwrap_or_default();
    let body = if answer["isBase64Encoded"] == true {
        STANDARD.decode(body).unwrap()
    } else {
        body.as_bytes().to_vec()
    };
    response.body(Body::from(body)).unwrap()
}
