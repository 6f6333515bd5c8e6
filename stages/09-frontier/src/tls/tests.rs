//! Tests of the server, with a client that trusts its certificate.

use std::time::Duration;

use shared::http::{Response, Router, ServerOptions};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::pki_types::ServerName;
use tokio_rustls::rustls::{ClientConfig, RootCertStore};
use tokio_util::sync::{CancellationToken, DropGuard};

use super::*;

struct Certificate {
    _directory: tempfile::TempDir,
    cert: PathBuf,
    key: PathBuf,
    der: CertificateDer<'static>,
}

fn certificate() -> Certificate {
    let directory = tempfile::tempdir().unwrap();
    let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let (cert, key) = (directory.path().join("cert.pem"), directory.path().join("key.pem"));
    std::fs::write(&cert, made.cert.pem()).unwrap();
    std::fs::write(&key, made.signing_key.serialize_pem()).unwrap();
    Certificate { _directory: directory, cert, key, der: made.cert.der().clone() }
}

/// A server with one route, its address, and what stops it.
async fn start(
    certificate: &Certificate,
    options: ServerOptions,
) -> (std::net::SocketAddr, DropGuard) {
    let answer = |_| async { Ok::<Response, _>(shared::http::html("hello", "default-src 'none'")) };
    let router = Router::new().route(http::Method::GET, "/", answer);
    let stop = CancellationToken::new();
    let endpoint = Endpoint::new(Arc::new(router), options, stop.clone());
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let configuration = configuration(&certificate.cert, &certificate.key).unwrap();
    tokio::spawn(server(configuration)(Arc::new(endpoint), listener));
    (address, stop.drop_guard())
}

fn connector(trusted: &Certificate) -> TlsConnector {
    let mut roots = RootCertStore::empty();
    roots.add(trusted.der.clone()).unwrap();
    let config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    TlsConnector::from(Arc::new(config))
}

const REQUEST: &[u8] = b"GET / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";

#[tokio::test]
async fn a_request_goes_through_tls_and_through_nothing_else() {
    let certificate = certificate();
    let (address, _guard) = start(&certificate, ServerOptions::default()).await;
    let name = ServerName::try_from("localhost").unwrap();
    let socket = TcpStream::connect(address).await.unwrap();
    let mut stream = connector(&certificate).connect(name.clone(), socket).await.unwrap();
    stream.write_all(REQUEST).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    assert!(answer.starts_with("HTTP/1.1 200") && answer.ends_with("hello"), "{answer}");
    // A client that trusts another certificate does not send its key here.
    let socket = TcpStream::connect(address).await.unwrap();
    assert!(connector(&self::certificate()).connect(name, socket).await.is_err());
}

#[tokio::test]
async fn plain_http_is_refused() {
    let certificate = certificate();
    let (address, _guard) = start(&certificate, ServerOptions::default()).await;
    let mut socket = TcpStream::connect(address).await.unwrap();
    socket.write_all(REQUEST).await.unwrap();
    let mut answer = Vec::new();
    socket.read_to_end(&mut answer).await.ok(); // it may be reset
    assert!(!String::from_utf8_lossy(&answer).contains("HTTP/1.1"), "{answer:?}");
}

#[tokio::test]
async fn a_handshake_that_never_comes_is_cut_off() {
    let certificate = certificate();
    let header_timeout = Duration::from_millis(200);
    let options = ServerOptions { header_timeout, ..ServerOptions::default() };
    let (address, _guard) = start(&certificate, options).await;
    for beginning in [&b""[..], b"\x16\x03\x01"] {
        let mut socket = TcpStream::connect(address).await.unwrap();
        socket.write_all(beginning).await.unwrap();
        let mut answer = Vec::new();
        let closed = tokio::time::timeout(Duration::from_secs(20), socket.read_to_end(&mut answer));
        closed.await.expect("the server closes the connection").ok();
    }
}

#[test]
fn files_that_cannot_be_used_are_named() {
    let (one, other) = (certificate(), certificate());
    let error =
        |cert: &Path, key: &Path| configuration(cert, key).map(drop).unwrap_err().to_string();
    assert!(error(Path::new("/nowhere.pem"), &one.key).contains("/nowhere.pem"));
    assert!(error(&one.key, &one.key).contains("no certificate"));
    assert!(error(&one.cert, &one.cert).contains("no private key"));
    assert!(error(&one.cert, &other.key).contains("together"));
}
