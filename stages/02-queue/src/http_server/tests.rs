//! Tests of the accept loop and of the endpoint behind it, over real sockets.

use http::{Method, StatusCode};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::Instant;

use super::*;
use shared::http::{MatchedRequest, Router, bytes};

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

/// A router that answers with a body far above all buffers, and one that never answers.
fn large_and_silent() -> Router {
    let large = |_| async { Ok(bytes(StatusCode::OK, "text/plain", vec![b'x'; 8 << 20])) };
    let silent = |_| std::future::pending();
    let small = |_| async { Ok(bytes(StatusCode::OK, "text/plain", "small")) };
    let router = Router::new().route(Method::GET, "/large", large);
    router.route(Method::GET, "/silent", silent).route(Method::GET, "/small", small)
}

/// A connection with a small receive buffer that has requested `path`.
async fn request(address: SocketAddr, path: &str) -> TcpStream {
    let socket = tokio::net::TcpSocket::new_v4().unwrap();
    socket.set_recv_buffer_size(4096).unwrap();
    let mut socket = socket.connect(address).await.unwrap();
    let head = format!("GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n");
    socket.write_all(head.as_bytes()).await.unwrap();
    socket
}

/// True when the server answers on this connection before it closes it.
async fn is_answered(socket: &mut TcpStream) -> bool {
    let mut start = [0; 12];
    let reading = timeout(Duration::from_secs(10), socket.read_exact(&mut start));
    reading.await.expect("neither answered nor closed").is_ok() && &start == b"HTTP/1.1 200"
}

/// Waits until the server has closed the connection, whatever is left to read.
async fn closed(mut socket: TcpStream) {
    let waiting = timeout(Duration::from_secs(10), async {
        while socket.write_all(b" ").await.is_ok() {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    });
    waiting.await.expect("the server never closed the connection");
}

#[tokio::test]
async fn a_client_that_does_not_read_is_cut_off() {
    let write_timeout = Duration::from_millis(300);
    let options = ServerOptions { write_timeout, ..ServerOptions::default() };
    let (address, _shutdown) = start(large_and_silent(), options).await;
    closed(request(address, "/large").await).await;
    // One that the server has not answered waits as long as it likes.
    let mut silent = request(address, "/silent").await;
    let mut byte = [0; 1];
    let waiting = timeout(write_timeout * 4, silent.read_exact(&mut byte)).await;
    assert!(waiting.is_err(), "a request that is being answered was cut off: {waiting:?}");
}

#[tokio::test]
async fn a_client_that_reads_slowly_gets_everything() {
    let write_timeout = Duration::from_secs(5);
    let options = ServerOptions { write_timeout, ..ServerOptions::default() };
    let (address, _shutdown) = start(large_and_silent(), options).await;
    let mut socket = TcpStream::connect(address).await.unwrap();
    socket.write_all(b"GET /large HTTP/1.1\r\nHost: localhost\r\n\r\n").await.unwrap();
    // Longer than the deadline in all, and each pause far shorter.
    let (started, mut total, mut buffer) = (Instant::now(), 0, vec![0; 1 << 20]);
    while total < 8 << 20 {
        let read = socket.read(&mut buffer).await.unwrap();
        assert_ne!(read, 0, "cut off after {total} bytes");
        total += read;
        if started.elapsed() < write_timeout * 3 / 2 {
            tokio::time::sleep(Duration::from_millis(500)).await;
        }
    }
}

#[tokio::test]
async fn a_trickle_is_no_progress() {
    let write_timeout = Duration::from_millis(500);
    let options = ServerOptions { write_timeout, ..ServerOptions::default() };
    let (address, _shutdown) = start(large_and_silent(), options).await;
    let mut socket = request(address, "/large").await;
    let cut = timeout(Duration::from_secs(20), async {
        let mut some = [0; 64];
        // 64 bytes each time, always within the deadline, until the kernel's buffers are empty.
        while socket.read(&mut some).await.is_ok_and(|read| read > 0) {
            tokio::time::sleep(Duration::from_millis(5)).await;
            if socket.write_all(b" ").await.is_err() {
                return;
            }
        }
    });
    cut.await.expect("a client that reads next to nothing holds its place");
}

/// Attack: as many readers that do not read as there are places -> the one that has stalled longest
/// is closed for a new connection.
#[tokio::test]
async fn a_stalled_connection_makes_room() {
    let options = ServerOptions { max_connections: 4, ..ServerOptions::default() };
    let (address, _shutdown) = start(large_and_silent(), options).await;
    let mut stalled = Vec::new();
    for _ in 0..3 {
        stalled.push(request(address, "/large").await);
    }
    let mut waits = request(address, "/silent").await;
    for _ in 0..8 {
        assert!(is_answered(&mut request(address, "/small").await).await);
    }
    // A connection that waits for the server is not closed for another.
    let mut byte = [0; 1];
    let silence = timeout(Duration::from_millis(300), waits.read_exact(&mut byte)).await;
    assert!(silence.is_err(), "{silence:?}");
}

/// Attack: one client takes all places with requests that take long -> it has its share of them, and
/// is answered 503 beyond that, while others connect.
#[tokio::test]
async fn a_client_has_its_share_of_the_places() {
    let options = ServerOptions {
        max_connections: 8,
        max_connections_per_client: 2,
        ..ServerOptions::default()
    };
    let (address, _shutdown) = start(large_and_silent(), options).await;
    let _guard = [request(address, "/silent").await, request(address, "/silent").await];
    let mut third = TcpStream::connect(address).await.unwrap();
    let mut answer = String::new();
    timeout(Duration::from_secs(5), third.read_to_string(&mut answer)).await.unwrap().unwrap();
    assert!(answer.starts_with("HTTP/1.1 503") && answer.contains("Retry-After: 1"), "{answer}");
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    assert!(head.contains(&format!("Content-Length: {}", body.len())), "{answer}");
    assert!(serde_json::from_str::<serde_json::Value>(body).is_ok(), "{body}");
    let other = tokio::net::TcpSocket::new_v4().unwrap();
    other.bind("127.0.0.2:0".parse().unwrap()).unwrap();
    let mut other = other.connect(address).await.unwrap();
    other.write_all(b"GET /small HTTP/1.1\r\nHost: localhost\r\n\r\n").await.unwrap();
    assert!(is_answered(&mut other).await);
}

#[test]
fn a_network_of_ipv6_is_one_client() {
    let network = |address: &str| client_network(address.parse().unwrap());
    assert_eq!(network("2001:db8:1:2::7"), network("2001:db8:1:2:ffff::"));
    assert_ne!(network("2001:db8:1:2::7"), network("2001:db8:1:3::7"));
    assert_eq!(network("::ffff:192.0.2.1"), network("192.0.2.1"));
    assert_ne!(network("192.0.2.1"), network("192.0.2.2"));
}

#[tokio::test]
async fn the_host_is_unambiguous() {
    let status = async |head: &str| {
        let request = format!("{head}\r\nConnection: close\r\nContent-Length: 0\r\n\r\n");
        exchange(&request).await.split(' ').nth(1).unwrap().to_owned()
    };
    for hosts in ["localhost\r\nHost: localhost", "localhost\r\nHost: evil.example"] {
        assert_eq!(status(&format!("POST / HTTP/1.1\r\nHost: {hosts}")).await, "400", "{hosts}");
    }
    let absolute = "POST http://evil.example/ HTTP/1.1\r\nHost: localhost";
    assert_eq!(status(absolute).await, "421");
    let absolute = "POST http://localhost/ HTTP/1.1\r\nHost: evil.example";
    assert_eq!(status(absolute).await, "200");
    // A user name before the host does not hide it.
    let hidden = "POST http://localhost@evil.example/ HTTP/1.1\r\nHost: localhost";
    assert_ne!(status(hidden).await, "200");
}
