//! Tests of the accept loop and of the endpoint behind it, over real sockets.

use http::{Method, StatusCode};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::*;
use crate::http::{MatchedRequest, Router, bytes};

async fn server() -> (SocketAddr, CancellationToken) {
    let echo = |echo: MatchedRequest| async move {
        Ok(bytes(StatusCode::OK, "text/plain", echo.request.into_body()))
    };
    let router = Router::new().route(Method::POST, "/", echo);
    let options = ServerOptions {
        max_body_bytes: 10,
        header_timeout: Duration::from_millis(200),
        body_timeout: Duration::from_millis(200),
        ..ServerOptions::default()
    };
    start(router, options).await
}

async fn start(router: Router, options: ServerOptions) -> (SocketAddr, CancellationToken) {
    let shutdown = CancellationToken::new();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let endpoint = Endpoint::new(Arc::new(router), options, shutdown.clone());
    tokio::spawn(serve(Arc::new(endpoint), listener));
    (address, shutdown)
}

/// Sends `request` and reads until the server closes, at most five seconds.
async fn exchange(request: &str) -> String {
    let (address, _shutdown) = server().await;
    let mut socket = TcpStream::connect(address).await.unwrap();
    socket.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    let reading = socket.read_to_string(&mut answer);
    timeout(Duration::from_secs(5), reading).await.expect("the server never closed").unwrap();
    answer
}

#[tokio::test]
async fn half_a_header_is_cut_off() {
    assert_eq!(exchange("POST / HTTP/1.1\r\nHost: localhost\r\nX-").await, "");
}

#[tokio::test]
async fn half_a_body_is_refused() {
    let request = "POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 5\r\n\r\nab";
    assert!(exchange(request).await.starts_with("HTTP/1.1 408"));
}

#[tokio::test]
async fn a_large_body_is_refused() {
    let honest = "POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 11\r\n\r\nabcdefghijk";
    assert!(exchange(honest).await.starts_with("HTTP/1.1 413"));
    let chunked = "POST / HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n\
                   b\r\nabcdefghijk\r\n0\r\n\r\n";
    assert!(exchange(chunked).await.starts_with("HTTP/1.1 413"));
}

#[tokio::test]
async fn a_foreign_page_is_refused() {
    let rebound = "POST / HTTP/1.1\r\nHost: evil.example\r\nContent-Length: 0\r\n\r\n";
    assert!(exchange(rebound).await.starts_with("HTTP/1.1 421"));
    let posted = "POST / HTTP/1.1\r\nHost: 127.0.0.1:8005\r\nOrigin: http://evil.example\r\n\
                  Content-Length: 0\r\n\r\n";
    assert!(exchange(posted).await.starts_with("HTTP/1.1 403"));
    let own = "POST / HTTP/1.1\r\nHost: [::1]:8005\r\nOrigin: http://[::1]:8005\r\n\
               Connection: close\r\nContent-Length: 2\r\n\r\nok";
    assert!(exchange(own).await.ends_with("\r\n\r\nok"));
}

#[tokio::test]
async fn one_connection_too_many_waits() {
    let options = ServerOptions { max_connections: 1, ..ServerOptions::default() };
    let (address, _shutdown) = start(Router::new(), options).await;
    let mut start_line = [0; 12];
    let mut first = TcpStream::connect(address).await.unwrap();
    let mut second = TcpStream::connect(address).await.unwrap();
    for socket in [&mut first, &mut second] {
        socket.write_all(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n").await.unwrap();
    }
    first.read_exact(&mut start_line).await.unwrap();
    assert_eq!(&start_line, b"HTTP/1.1 404");
    let waiting = timeout(Duration::from_millis(200), second.read_exact(&mut start_line)).await;
    assert!(waiting.is_err(), "it was answered: {start_line:?}");
    drop(first);
    timeout(Duration::from_secs(5), second.read_exact(&mut start_line)).await.unwrap().unwrap();
}

#[tokio::test]
async fn a_request_without_a_host_is_refused() {
    assert!(exchange("POST / HTTP/1.1\r\nContent-Length: 0\r\n\r\n").await.contains("421"));
}
