//! Tests of the endpoint without a web server: plain requests in, plain responses out.

use std::convert::Infallible;
use std::time::Duration;

use serde_json::Value;

use super::*;
use crate::http::{MatchedRequest, Router, bytes};

/// Echoes the body of `POST /`, counts the bytes of the streamed `PUT /`, refuses `POST /closed` by
/// its head.
struct Service(Router);

impl Service {
    fn new() -> Arc<Self> {
        let echo = |request: MatchedRequest| async move {
            Ok(bytes(StatusCode::OK, "text/plain", request.request.into_body()))
        };
        let count = |request: MatchedRequest| async move {
            let mut body = take_body_stream(&request.request).unwrap();
            assert!(take_body_stream(&request.request).is_none(), "it can be taken once");
            let mut total = 0;
            while let Some(frame) = body.frame().await {
                let Ok(frame) = frame else {
                    return Err(Problem::new(StatusCode::PAYLOAD_TOO_LARGE, "too large"));
                };
                total += frame.data_ref().map_or(0, Bytes::len);
            }
            Ok(bytes(StatusCode::OK, "text/plain", total.to_string()))
        };
        let streamed = BodyPolicy::Streamed { max_bytes: 1 << 20 };
        let router = Router::new()
            .route(Method::POST, "/", echo)
            .route(Method::GET, "/", echo)
            .route(Method::PUT, "/", count)
            .body_policy(&Method::PUT, "/", streamed);
        Arc::new(Self(router))
    }
}

impl ApiService for Service {
    fn admit<'a>(
        &'a self,
        head: &'a mut Parts,
    ) -> crate::BoxFuture<'a, Result<BodyPolicy, Problem>> {
        if head.uri.path() == "/closed" {
            return Box::pin(async { Err(Problem::new(StatusCode::UNAUTHORIZED, "no key")) });
        }
        self.0.admit(head)
    }

    fn call(&self, request: Request) -> crate::BoxFuture<'_, Response> {
        self.0.call(request)
    }
}

fn endpoint() -> Endpoint {
    let options = ServerOptions {
        max_body_bytes: 10,
        body_timeout: Duration::from_millis(200),
        ..ServerOptions::default()
    };
    Endpoint::new(Service::new(), options, CancellationToken::new())
}

fn request<B>(method: Method, path: &str, body: B) -> http::Request<B> {
    let request = http::Request::builder().method(method).uri(path).header("host", "localhost");
    request.body(body).unwrap()
}

/// A body that never comes.
fn silence() -> Body {
    let never = stream::pending::<Result<http_body::Frame<Bytes>, BoxError>>();
    Body::new(StreamBody::new(never))
}

async fn text(response: Response) -> String {
    let body = response.into_body().collect().await.unwrap().to_bytes();
    String::from_utf8_lossy(&body).into_owned()
}

#[tokio::test]
async fn a_head_that_is_refused_costs_no_body() {
    let endpoint = endpoint();
    let answer = endpoint.answer(request(Method::POST, "/closed", silence()));
    let response = timeout(Duration::from_millis(100), answer).await.expect("it waited for a body");
    assert_eq!(response.status(), 401);
}

#[tokio::test]
async fn the_request_id_is_in_the_header_and_in_the_problem() {
    let mut request = request(Method::GET, "/nowhere", full(""));
    request.headers_mut().insert("x-request-id", HeaderValue::from_static("trace-7"));
    let response = endpoint().answer(request).await;
    assert_eq!(response.headers()["x-request-id"], "trace-7");
    let problem: Value = serde_json::from_str(&text(response).await).unwrap();
    assert_eq!((&problem["status"], &problem["request_id"]), (&404.into(), &"trace-7".into()));
}

#[tokio::test]
async fn a_streamed_body_has_a_limit_of_its_own() {
    let parts = |count: usize| {
        let part = |_| Ok::<_, Infallible>(http_body::Frame::data(Bytes::from(vec![b'x'; 1000])));
        StreamBody::new(stream::iter((0..count).map(part)))
    };
    let response = endpoint().answer(request(Method::PUT, "/", parts(1000))).await;
    assert_eq!(text(response).await, "1000000");
    let response = endpoint().answer(request(Method::PUT, "/", parts(1100))).await;
    assert_eq!(response.status(), 413);
    let response = endpoint().answer(request(Method::PUT, "/", silence())).await;
    assert_eq!(response.status(), 413, "a part that does not come ends the stream with an error");
}

#[tokio::test]
async fn a_buffered_body_has_a_limit_and_a_deadline() {
    let response = endpoint().answer(request(Method::POST, "/", full("0123456789"))).await;
    assert_eq!(text(response).await, "0123456789");
    let response = endpoint().answer(request(Method::POST, "/", full("0123456789a"))).await;
    assert_eq!(
        (response.status().as_u16(), &response.headers()["connection"]),
        (413, &"close".parse().unwrap())
    );
    let response = endpoint().answer(request(Method::POST, "/", silence())).await;
    assert_eq!(response.status(), 408);
}

#[tokio::test]
async fn head_has_the_length_of_the_body_and_none_of_it() {
    let get = endpoint().answer(request(Method::GET, "/", full("12345"))).await;
    let head = endpoint().answer(request(Method::HEAD, "/", full("12345"))).await;
    assert_eq!(head.headers()["content-length"], "5");
    assert_eq!((text(get).await.as_str(), text(head).await.as_str()), ("12345", ""));
}

/// Attack: hundreds of clients keep the last byte of a large body → all bodies together have a
/// budget, the first kilobytes of each aside, and it is released with the request.
#[tokio::test]
async fn bodies_have_a_budget() {
    let options = ServerOptions { max_bodies_bytes: 1 << 20, ..ServerOptions::default() };
    let endpoint = Arc::new(Endpoint::new(Service::new(), options, CancellationToken::new()));
    let large = || Bytes::from(vec![b'x'; 700_000]);
    let held = || {
        let part = stream::once(async move { Ok::<_, BoxError>(http_body::Frame::data(large())) });
        StreamBody::new(part.chain(stream::pending()))
    };
    let (server, body) = (Arc::clone(&endpoint), Box::pin(held()));
    let holding =
        tokio::spawn(async move { server.answer(request(Method::POST, "/", body)).await });
    let send = async |body: Bytes| endpoint.answer(request(Method::POST, "/", full(body))).await;
    let refused = async {
        while send(large()).await.status() != 503 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    timeout(Duration::from_secs(10), refused).await.expect("the held body is not counted");
    let response = send(large()).await;
    assert_eq!(response.headers()["retry-after"], "1");
    assert_eq!(send(Bytes::from(vec![b'x'; UNCOUNTED_BYTES])).await.status(), 200);
    holding.abort();
    holding.await.unwrap_err();
    for _ in 0..3 {
        assert_eq!(send(large()).await.status(), 200, "the budget is released with the request");
    }
}

/// The book is read at this origin.
const BOOK: &str = "http://127.0.0.1:3000";

/// The status of an answer to a page of `origin`, and the origin that may read it.
async fn cross(method: Method, path: &str, origin: &str, allowed: &[&str]) -> (u16, String) {
    let allowed_origins = allowed.iter().map(|origin| origin.parse().unwrap()).collect();
    let options = ServerOptions { allowed_origins, ..ServerOptions::default() };
    let endpoint = Endpoint::new(Service::new(), options, CancellationToken::new());
    let mut request = request(method, path, full("text"));
    request.headers_mut().insert("origin", origin.parse().unwrap());
    let response = endpoint.answer(request).await;
    let reader = response.headers().get("access-control-allow-origin");
    assert_eq!(response.headers().contains_key("vary"), !allowed.is_empty());
    let granted = response.headers().contains_key("access-control-allow-headers");
    assert_eq!(granted, reader.is_some());
    assert!(!response.headers().contains_key("access-control-allow-credentials"));
    (response.status().as_u16(), reader.map_or("", |value| value.to_str().unwrap()).to_owned())
}

#[tokio::test]
async fn only_an_allowed_origin_reads_answers() {
    let read = |status| (status, BOOK.to_owned());
    let unread = |status| (status, String::new());
    for (method, plain, refused) in [(Method::POST, 200, 403), (Method::GET, 200, 200)] {
        assert_eq!(cross(method.clone(), "/", BOOK, &[BOOK]).await, read(plain));
        // Without the setting a page may send what changes nothing, and read nothing.
        assert_eq!(cross(method.clone(), "/", BOOK, &[]).await, unread(refused));
        for hostile in [
            "http://evil.example",
            "null",
            "http://127.0.0.1:3001",
            "https://127.0.0.1:3000",
            "http://127.0.0.1:3000.evil.example",
            "http://127.0.0.1",
            "HTTP://127.0.0.1:3000",
        ] {
            let answer = cross(method.clone(), "/", hostile, &[BOOK]).await;
            assert_eq!(answer, unread(refused), "{hostile}");
        }
    }
    // A page can read why it was refused.
    assert_eq!(cross(Method::POST, "/closed", BOOK, &[BOOK]).await, read(401));
    assert_eq!(cross(Method::GET, "/nowhere", BOOK, &[BOOK]).await, read(404));
}

#[tokio::test]
async fn a_preflight_is_answered_for_an_allowed_origin_alone() {
    let ask = |origin, allowed| cross(Method::OPTIONS, "/closed", origin, allowed);
    assert_eq!(ask(BOOK, &[BOOK]).await, (200, BOOK.to_owned()), "it has no key yet");
    for (origin, allowed) in [(BOOK, &[][..]), ("http://evil.example", &[BOOK]), ("null", &[BOOK])]
    {
        assert_eq!(ask(origin, allowed).await, (401, String::new()), "{origin}");
    }
    // Attack: a name that is rebound to this machine -> `Host` is checked before the preflight.
    let allowed_origins = vec![HeaderValue::from_static("http://evil.example")];
    let options = ServerOptions { allowed_origins, ..ServerOptions::default() };
    let endpoint = Endpoint::new(Service::new(), options, CancellationToken::new());
    let rebound = http::Request::options("/").header("host", "evil.example");
    let rebound = rebound.header("origin", "http://evil.example").body(full("")).unwrap();
    assert_eq!(endpoint.answer(rebound).await.status(), 421);
}

#[test]
fn an_origin_is_exact() {
    let origin = crate::http::origin;
    for good in [BOOK, "https://book.example", "http://[::1]:3000", "http://localhost"] {
        assert_eq!(origin(good).unwrap(), good);
    }
    for bad in [
        "",
        "*",
        "null",
        "http://*",
        "http://127.0.0.1:3000/",
        "http://127.0.0.1:3000/page.html",
        "127.0.0.1:3000",
        "HTTP://127.0.0.1:3000",
        "http://Book.example",
        "http://user@book.example",
        "file://",
        "ftp://book.example",
        "http://book.example http://other.example",
    ] {
        assert!(origin(bad).is_err(), "{bad}");
    }
}
