//! The checks and limits of requests are the same through every adapter, and without one.

use std::time::Duration;

use clap::ValueEnum as _;
use futures_util::StreamExt as _;
use http::{Method, Request};
use http_body::Frame;
use http_body_util::StreamBody;
use shared::RequestContext;
use shared::http::{
    Body, BodyPolicy, Endpoint, MatchedRequest, PeerAddr, Router, ServerOptions, bytes,
};
use stage_07_advanced_v2::WebServer;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use crate::in_process::{InProcess, body};

const TEST_TIMEOUT: Duration = Duration::from_secs(20);
/// A timeout that a test can wait for.
const SHORT_TIMEOUT: Duration = Duration::from_millis(300);

/// Sends `request` and reads until the server closes the connection.
async fn exchange(address: &str, request: &str) -> String {
    let mut socket = TcpStream::connect(address).await.unwrap();
    socket.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    let reading = socket.read_to_string(&mut answer);
    timeout(TEST_TIMEOUT, reading).await.expect("the server closes the connection").unwrap();
    answer
}

/// The API behind a server in this process, whose limits a test can choose.
struct Served {
    address: String,
    shutdown: CancellationToken,
    serving: JoinHandle<()>,
}

impl Served {
    async fn start(server: WebServer, api: &InProcess, options: ServerOptions) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let shutdown = CancellationToken::new();
        let endpoint = Endpoint::new(api.api.clone(), options, shutdown.clone());
        let serving = tokio::spawn(server.serve()(endpoint.into(), listener));
        Self { address, shutdown, serving }
    }

    async fn stop(self) {
        self.shutdown.cancel();
        timeout(TEST_TIMEOUT, self.serving).await.expect("the server ends").unwrap();
    }
}

#[tokio::test]
async fn an_adapter_enforces_limits_and_timeouts() {
    let options = ServerOptions {
        max_body_bytes: 10,
        header_timeout: SHORT_TIMEOUT,
        body_timeout: SHORT_TIMEOUT,
        ..ServerOptions::default()
    };
    let api = InProcess::start(options.clone()).await;
    for server in WebServer::value_variants() {
        let served = Served::start(*server, &api, options.clone()).await;
        for (attack, expected) in [
            ("POST /eval HTTP/1.1\r\nHost: localhost\r\nX-", ""),
            ("POST /eval HTTP/1.1\r\nHost: localhost\r\nContent-Length: 5\r\n\r\nab", "408"),
            (
                "POST /eval HTTP/1.1\r\nHost: localhost\r\nContent-Length: 11\r\n\r\n12345678901",
                "413",
            ),
            ("GET /health HTTP/1.1\r\nHost: evil.example\r\nConnection: close\r\n\r\n", "421"),
            ("GET /health HTTP/1.1\r\nConnection: close\r\n\r\n", "421"),
            (
                "POST /eval HTTP/1.1\r\nHost: localhost\r\nOrigin: http://evil.example\r\n\r\n",
                "403",
            ),
            ("nonsense\r\n\r\n", "400"),
        ] {
            let answer = exchange(&served.address, attack).await;
            let status = answer.split(' ').nth(1).unwrap_or_default();
            assert_eq!(status, expected, "{server:?}: {attack:?} was answered {answer}");
        }
        served.stop().await;
    }
    api.stop().await;
}

#[tokio::test]
async fn one_connection_too_many_waits() {
    let options = ServerOptions { max_connections: 1, ..ServerOptions::default() };
    let api = InProcess::start(options.clone()).await;
    for server in WebServer::value_variants() {
        let served = Served::start(*server, &api, options.clone()).await;
        let mut first = TcpStream::connect(&served.address).await.unwrap();
        let mut second = TcpStream::connect(&served.address).await.unwrap();
        let mut start = [0; 12];
        for socket in [&mut first, &mut second] {
            socket.write_all(b"GET /health HTTP/1.1\r\nHost: localhost\r\n\r\n").await.unwrap();
        }
        first.read_exact(&mut start).await.unwrap();
        assert_eq!(&start, b"HTTP/1.1 200");
        let waiting = timeout(SHORT_TIMEOUT, second.read_exact(&mut start)).await;
        assert!(waiting.is_err(), "{server:?} answered two connections");
        drop(first);
        timeout(TEST_TIMEOUT, second.read_exact(&mut start)).await.unwrap().unwrap();
        served.stop().await;
    }
    api.stop().await;
}

/// Attack: the API becomes part of something larger, behind an adapter of another kind, and its checks
/// stay behind in the server → they are in the endpoint, which is the only way to the API.
#[tokio::test]
async fn without_an_adapter_the_checks_are_the_same() {
    let options = ServerOptions { max_body_bytes: 10, ..ServerOptions::default() };
    let api = InProcess::start(options).await;
    let post = || Request::post("/eval").header("host", "localhost");
    for (request, sent, status) in [
        (post(), "12345678901", 413),
        (post().header("content-type", "application/json"), "{", 400),
        (post().header("origin", "http://evil.example"), "", 403),
        (Request::post("/eval").header("host", "evil.example"), "", 421),
        (Request::post("/eval"), "", 421),
        (Request::get("eval").header("host", "localhost"), "", 404),
    ] {
        let description = format!("{:?} {sent}", request.headers_ref());
        let response = api.send(request, sent).await;
        assert_eq!(response.status(), status, "{description}");
        assert_eq!(response.headers()["x-content-type-options"], "nosniff");
        assert!(response.headers().contains_key("x-request-id"), "{description}");
    }
    api.stop().await;
}

/// What an adapter knows of the connection.
#[derive(Clone)]
struct Connection(&'static str);

#[tokio::test]
async fn extensions_of_a_request_arrive_at_the_handler() {
    let router = Router::new().route(Method::GET, "/", |request: MatchedRequest| async move {
        let Connection(name) = request.request.extensions().get().unwrap();
        let RequestContext { request_id, peer, .. } = request.context();
        Ok(bytes(http::StatusCode::OK, "text/plain", format!("{name} {request_id} {peer:?}")))
    });
    let options = ServerOptions::default();
    let endpoint = Endpoint::new(std::sync::Arc::new(router), options, CancellationToken::new());
    let peer = PeerAddr("203.0.113.7:1".parse().unwrap());
    let request = Request::get("/").header("host", "localhost").header("x-request-id", "r-1");
    let request = request.extension(Connection("tls")).extension(peer);
    let response = endpoint.answer(request.body(Body::default()).unwrap()).await;
    assert_eq!(body(response).await, "tls r-1 Some(203.0.113.7)");
}

/// Binary streams pass in both directions piece by piece, through every adapter.
#[tokio::test]
async fn a_stream_passes_in_both_directions() {
    let echo = |request: MatchedRequest| async move {
        let body = shared::http::take_body_stream(&request.request).unwrap();
        Ok(shared::http::Response::new(body))
    };
    let policy = BodyPolicy::Streamed { max_bytes: 1 << 30 };
    let router = Router::new().route(Method::POST, "/echo", echo).body_policy(
        &Method::POST,
        "/echo",
        policy,
    );
    let router = std::sync::Arc::new(router);
    for server in WebServer::value_variants() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let shutdown = CancellationToken::new();
        let endpoint = Endpoint::new(router.clone(), ServerOptions::default(), shutdown.clone());
        let serving = tokio::spawn(server.serve()(endpoint.into(), listener));
        let (sender, receiver) = tokio::sync::mpsc::channel::<&'static [u8]>(1);
        let pieces = futures_util::stream::unfold(receiver, |mut receiver| async {
            Some((Ok::<_, std::io::Error>(receiver.recv().await?), receiver))
        });
        let request = reqwest::Client::new().post(format!("http://{address}/echo"));
        let request = request.body(reqwest::Body::wrap_stream(pieces));
        sender.send(b"one\xff").await.unwrap();
        let response = timeout(TEST_TIMEOUT, request.send()).await.unwrap().unwrap();
        let mut answer = response.bytes_stream();
        // The first piece comes back before the second one is sent.
        let first = timeout(TEST_TIMEOUT, answer.next()).await.unwrap().unwrap().unwrap();
        assert_eq!(&first[..], b"one\xff", "{server:?}");
        sender.send(b"two").await.unwrap();
        drop(sender);
        let second = timeout(TEST_TIMEOUT, answer.next()).await.unwrap().unwrap().unwrap();
        assert_eq!(&second[..], b"two", "{server:?}");
        assert!(answer.next().await.is_none());
        shutdown.cancel();
        timeout(TEST_TIMEOUT, serving).await.unwrap().unwrap();
    }
    // Without an adapter as well.
    let endpoint = Endpoint::new(router, ServerOptions::default(), CancellationToken::new());
    let frames = futures_util::stream::iter(["a", "b"])
        .map(|piece| Ok::<_, std::io::Error>(Frame::data(bytes::Bytes::from(piece))));
    let request = Request::post("/echo").header("host", "localhost");
    let request = request.body(StreamBody::new(frames)).unwrap();
    assert_eq!(body(endpoint.answer(request).await).await, "ab");
}
