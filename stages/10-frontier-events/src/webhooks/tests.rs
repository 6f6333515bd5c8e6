//! Tests of where a request may go, with receivers on this machine.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use shared::BoxFuture;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;

use super::address::{NetworkPolicy, Refused};
use super::client::{Client, Message, Resolve, SendError};

const MESSAGE: Message<'_> =
    Message { id: "1", seconds: 1, signature: "v1,x", body: "{\"type\":\"x\"}" };

/// A receiver that answers each request with this head, and counts them.
async fn receiver(head: String) -> (SocketAddr, Arc<AtomicUsize>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let (address, requests) = (listener.local_addr().unwrap(), Arc::new(AtomicUsize::new(0)));
    let count = requests.clone();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            count.fetch_add(1, Ordering::Relaxed);
            let mut request = vec![0; 4096];
            assert!(stream.read(&mut request).await.is_ok_and(|bytes| bytes > 0));

            stream.write_all(format!("HTTP/1.1 {head}\r\n\r\n").as_bytes()).await.ok();
        }
    });
    (address, requests)
}

fn local() -> NetworkPolicy {
    NetworkPolicy { allowed: vec!["127.0.0.1/32".parse().unwrap()] }
}

fn is_refused(result: &Result<(), SendError>) -> bool {
    matches!(result, Err(SendError::Refused(Refused::Address)))
}

/// Answers with the first address, then with the second, and so on; the last one stays.
struct Rebinding(Vec<[u8; 4]>, AtomicUsize);

impl Resolve for Rebinding {
    fn resolve(&self, _: &str, port: u16) -> BoxFuture<'static, std::io::Result<Vec<SocketAddr>>> {
        let step = self.1.fetch_add(1, Ordering::Relaxed).min(self.0.len() - 1);
        let address = SocketAddr::from((self.0[step], port));
        Box::pin(async move { Ok(vec![address]) })
    }
}

#[tokio::test]
async fn a_name_that_leads_to_loopback_is_not_connected_to() {
    let (address, requests) = receiver("204 No Content".to_owned()).await;
    let url = format!("https://localhost:{}/", address.port());
    let sent = Client::new(NetworkPolicy::default()).send(&url, &MESSAGE).await;
    assert!(is_refused(&sent));
    // The second look-up has another address: the one that is connected to is the one that counts.
    let looks = vec![[127, 0, 0, 1], [127, 0, 0, 2]];
    let rebinding = Arc::new(Rebinding(looks, AtomicUsize::new(0)));
    let client = Client::with_resolver(local(), rebinding);
    let url = format!("http://rebind.example:{}/", address.port());
    client.send(&url, &MESSAGE).await.unwrap();
    assert!(is_refused(&client.send(&url, &MESSAGE).await));
    assert_eq!(requests.load(Ordering::Relaxed), 1);
}

#[tokio::test]
async fn a_redirect_to_a_forbidden_address_is_not_followed() {
    let target = TcpListener::bind("127.0.0.2:0").await.unwrap();
    let port = target.local_addr().unwrap().port();
    for location in [
        format!("http://127.0.0.2:{port}/"),
        format!("http://[::ffff:127.0.0.2]:{port}/"),
        format!("//127.0.0.2:{port}/"),
        // Nothing but the address is wrong here.
        format!("https://127.0.0.2:{port}/"),
    ] {
        let head = format!("307 Temporary Redirect\r\nlocation: {location}");
        let (address, requests) = receiver(head).await;
        let sent = Client::new(local()).send(&format!("http://{address}/"), &MESSAGE).await;
        assert!(is_refused(&sent), "{location}");
        assert_eq!(requests.load(Ordering::Relaxed), 1);
    }
    let waiting = tokio::time::timeout(std::time::Duration::from_millis(100), target.accept());
    assert!(waiting.await.is_err(), "something was sent to the target");
}

#[tokio::test]
async fn redirects_that_keep_the_method_are_followed_a_few_times() {
    let (end, requests) = receiver("200 OK\r\ncontent-length: 9999999999".to_owned()).await;
    let head = format!("308 Permanent Redirect\r\nlocation: http://{end}/x");
    let (start, _) = receiver(head).await;
    Client::new(local()).send(&format!("http://{start}/"), &MESSAGE).await.unwrap();
    assert_eq!(requests.load(Ordering::Relaxed), 1);
    let (other, _) = receiver(format!("302 Found\r\nlocation: http://{end}/")).await;
    let sent = Client::new(local()).send(&format!("http://{other}/"), &MESSAGE).await;
    assert!(matches!(sent, Err(SendError::Status(status)) if status == 302));
    let (endless, requests) = receiver("307 Temporary Redirect\r\nlocation: /".to_owned()).await;
    let sent = Client::new(local()).send(&format!("http://{endless}/"), &MESSAGE).await;
    assert!(matches!(sent, Err(SendError::Redirects)));
    assert_eq!(requests.load(Ordering::Relaxed), 4);
}
