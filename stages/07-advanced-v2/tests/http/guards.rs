//! What guards a server guards it whichever hosts the API, and a host lives up to what it promises:
//! streams come piece by piece, a reader that leaves frees its place, and the end is orderly.

use std::time::Duration;

use clap::ValueEnum as _;
use http::Method;
use reqwest::Client as Reqwest;
use serde_json::{Value, json};
use shared::http::ServerOptions;
use stage_07_advanced_v2::{ApiArgs, ApiRequest, ApiService as _, ServerChoice};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use crate::server::{InProcess, SERVERS, Server};

const SOON: Duration = Duration::from_secs(20);
/// Deadlines that a test can wait for.
const SHORT: Duration = Duration::from_millis(300);

/// Sends `request` and reads until the server closes.
async fn exchange(address: &str, request: &str) -> String {
    let mut socket = TcpStream::connect(address).await.unwrap();
    socket.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    let reading = socket.read_to_string(&mut answer);
    timeout(SOON, reading).await.expect("the server never closed").unwrap();
    answer
}

/// The API behind a server in this process, whose bounds a test can choose.
struct Hosted {
    address: String,
    stop: CancellationToken,
    serving: JoinHandle<()>,
}

impl Hosted {
    async fn start(choice: ServerChoice, api: &InProcess, options: ServerOptions) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let stop = CancellationToken::new();
        let front = choice.front(api.api.clone());
        let serving = tokio::spawn(front(listener, options, stop.clone()));
        Self { address, stop, serving }
    }

    async fn stop(self) {
        self.stop.cancel();
        timeout(SOON, self.serving).await.expect("the server never ended").unwrap();
    }
}

#[tokio::test]
async fn a_client_that_is_slow_or_led_astray_is_cut_off() {
    let options = ServerOptions {
        max_body_bytes: 10,
        header_deadline: SHORT,
        body_deadline: SHORT,
        ..ServerOptions::default()
    };
    let api = InProcess::start(options.clone()).await;
    for choice in ServerChoice::value_variants() {
        let hosted = Hosted::start(*choice, &api, options.clone()).await;
        for (attack, answer) in [
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
            let said = exchange(&hosted.address, attack).await;
            let status = said.split(' ').nth(1).unwrap_or_default();
            assert_eq!(status, answer, "{choice:?}: {attack:?} was answered {said}");
        }
        hosted.stop().await;
    }
    api.stop().await;
}

#[tokio::test]
async fn one_connection_too_many_waits() {
    let options = ServerOptions { max_connections: 1, ..ServerOptions::default() };
    let api = InProcess::start(options.clone()).await;
    for choice in ServerChoice::value_variants() {
        let hosted = Hosted::start(*choice, &api, options.clone()).await;
        let mut first = TcpStream::connect(&hosted.address).await.unwrap();
        let mut second = TcpStream::connect(&hosted.address).await.unwrap();
        let mut begin = [0; 12];
        for socket in [&mut first, &mut second] {
            socket.write_all(b"GET /health HTTP/1.1\r\nHost: localhost\r\n\r\n").await.unwrap();
        }
        first.read_exact(&mut begin).await.unwrap();
        assert_eq!(&begin, b"HTTP/1.1 200");
        let waiting = timeout(SHORT, second.read_exact(&mut begin)).await;
        assert!(waiting.is_err(), "{choice:?} answered two");
        drop(first);
        timeout(SOON, second.read_exact(&mut begin)).await.unwrap().unwrap();
        hosted.stop().await;
    }
    api.stop().await;
}

/// Whoever brings a request without a socket is held to the same.
#[tokio::test]
async fn without_a_host_the_api_still_guards_itself() {
    let options = ServerOptions { max_body_bytes: 10, ..ServerOptions::default() };
    let api = InProcess::start(options).await;
    let request = ApiRequest::new(Method::POST, "/eval");
    for (request, status) in [
        (request.clone().with_body("12345678901"), 413),
        (request.clone().with_header("host", "evil.example"), 421),
        // Amazon's emulator does not hand such a body on, so it is no part of the conversation.
        (
            request
                .clone()
                .with_header("content-type", "application/json")
                .with_body(b"\xff".as_slice()),
            400,
        ),
        (request.clone().with_header("origin", "http://evil.example"), 403),
        (ApiRequest { path: "eval".to_owned(), ..request.clone() }, 400),
        (ApiRequest { path: "/eval?limit=1".to_owned(), ..request.clone() }, 400),
    ] {
        let said = format!("{request:?}");
        assert_eq!(api.api.handle(request).await.status, status, "{said}");
    }
    api.stop().await;
}

/// The length is a header of the host's, so that the conversation says nothing about it.
#[tokio::test]
async fn head_tells_the_length_of_what_get_brings() {
    for name in SERVERS {
        let server = Server::open(name);
        let client = Reqwest::new();
        for path in ["/health", "/", "/nowhere"] {
            let url = format!("{}{path}", server.url);
            let head = client.head(&url).send().await.unwrap();
            let length = head.headers()["content-length"].to_str().unwrap().to_owned();
            assert!(head.bytes().await.unwrap().is_empty());
            let whole = client.get(&url).send().await.unwrap().bytes().await.unwrap();
            assert_eq!(length, whole.len().to_string(), "{name}: {path}");
        }
    }
}

async fn submit(url: &str, code: &str) -> String {
    let request = Reqwest::new().post(format!("{url}/eval")).json(&json!({ "code": code }));
    let accepted: Value = request.send().await.unwrap().json().await.unwrap();
    format!("{url}/eval/{}/events", accepted["id"].as_str().unwrap())
}

async fn until(stream: &mut reqwest::Response, event: &str) -> String {
    let mut text = String::new();
    while !text.contains(event) {
        let chunk = timeout(SOON, stream.chunk()).await.expect("nothing comes").unwrap();
        text += &String::from_utf8_lossy(&chunk.expect("the stream ended"));
    }
    text
}

#[tokio::test]
async fn a_reader_that_leaves_frees_its_place() {
    for name in SERVERS {
        let server = Server::open(name);
        let events = submit(&server.url, "import time; time.sleep(60)").await;
        let mut stream = reqwest::get(&events).await.unwrap();
        // It has an answer while the program runs: events come one by one.
        let text = until(&mut stream, "event: evaluation.started").await;
        assert!(!text.contains("evaluation.completed"), "{name}: {text}");
        let open = async || {
            let metrics = reqwest::get(format!("{}/metrics", server.url)).await.unwrap();
            let text = metrics.text().await.unwrap();
            let line = text.lines().find_map(|it| it.strip_prefix("crucible_event_streams_open "));
            line.unwrap().to_owned()
        };
        assert_eq!(open().await, "1", "{name}");
        drop(stream);
        timeout(SOON, async {
            while open().await != "0" {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        })
        .await
        .unwrap_or_else(|_| panic!("{name} never noticed that its reader left"));
    }
}

#[tokio::test]
async fn what_runs_is_ended_and_told_before_the_server_goes() {
    for name in SERVERS {
        let mut server = Server::open(name);
        let events = submit(&server.url, "import time; time.sleep(60)").await;
        let mut stream = reqwest::get(&events).await.unwrap();
        until(&mut stream, "event: evaluation.started").await;
        let mut feed = reqwest::get(format!("{}/events", server.url)).await.unwrap();
        let code = tokio::task::spawn_blocking(move || server.stop());
        until(&mut stream, "event: evaluation.cancelled").await;
        // This one goes on for ever, were it not ended.
        while let Some(_event) = timeout(SOON, feed.chunk()).await.unwrap().unwrap() {}
        assert_eq!(code.await.unwrap(), Some(0), "{name}");
    }
}

/// An application of somebody else's can hold the API in one of its own paths' places.
#[tokio::test]
async fn the_router_can_be_nested_in_an_application() {
    let options = ServerOptions::default();
    let api = InProcess::start(options.clone()).await;
    let stop = CancellationToken::new();
    let router = stage_07_advanced_v2::axum_router(api.api.clone(), options.clone(), stop.clone());
    let application = axum::Router::new()
        .route("/own", axum::routing::get(async || "own"))
        .nest_service("/crucible", router);
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let service = hyper_util::service::TowerToHyperService::new(application);
    let serving = {
        let stop = stop.clone();
        tokio::spawn(async move { shared::http::accept(listener, &options, stop, service).await })
    };
    assert_eq!(reqwest::get(format!("{url}/own")).await.unwrap().text().await.unwrap(), "own");
    let health = reqwest::get(format!("{url}/crucible/health")).await.unwrap();
    assert_eq!(health.text().await.unwrap(), r#"{"status":"alive"}"#);
    stop.cancel();
    serving.await.unwrap();
    api.stop().await;
}

#[test]
fn the_choice_is_part_of_the_arguments() {
    use clap::Args as _;
    let command = ApiArgs::augment_args(clap::Command::new("stage"));
    command.debug_assert();
}
