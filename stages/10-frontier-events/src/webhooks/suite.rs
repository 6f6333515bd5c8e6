//! How webhooks verify themselves: on a bus of their own, with a receiver in this process.

use std::sync::{Arc, RwLock};
use std::time::Duration;

use jiff::Timestamp;
use serde_json::json;
use shared::component::{CheckResult, SelfTestResult};
use shared::{BoxError, BoxFuture, Event, EventType, TestCase, TestableComponent};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Notify;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use super::backlog;
use super::client::Client;
use super::{
    NetworkPolicy, Secret, Webhook, WebhookOptions, Webhooks, new_attempts, outbox, sender, table,
};
use crate::bus::{EventBus, Topic};

/// A receiver in this process answers at once; the time is for a machine under load, and one second of it is the wait
/// between two attempts.
const DELIVERY_TIMEOUT: Duration = Duration::from_secs(20);
/// The id of the webhook of the checks: one of the server's own, which needs no key.
const CHECKED: &str = "rule-check";
/// The most of a request that is read.
const MAX_REQUEST_BYTES: usize = 16 << 10;

/// The component `webhooks`.
pub(crate) struct WebhooksTest {
    pub(crate) webhooks: Arc<Webhooks>,
    pub(crate) bus: Arc<EventBus>,
}

impl TestableComponent for WebhooksTest {
    fn name(&self) -> &'static str {
        "webhooks"
    }

    /// A receiver that is away is no error of the server.
    fn self_test(&self) -> BoxFuture<'_, SelfTestResult> {
        Box::pin(async {
            let counts = self.webhooks.store.read(backlog::totals).await;
            let (waiting, parked) = counts.map_err(|error| error.to_string())?;
            let webhooks = self.webhooks.list().len();
            Ok(format!("{webhooks} webhooks; {waiting} events wait, {parked} are parked"))
        })
    }

    fn test_suite(&self) -> Vec<TestCase<'_>> {
        vec![
            TestCase::new("the signature is that of Standard Webhooks", async { signs() }),
            TestCase::new("special addresses are refused", async { refuses() }),
            TestCase::new("an event is sent until its receiver has it", async {
                self.delivers().await.map_err(|error| error.to_string())
            }),
        ]
    }
}

impl WebhooksTest {
    async fn delivers(&self) -> Result<String, BoxError> {
        let receiver = TcpListener::bind("127.0.0.1:0").await?;
        let url = format!("http://{}/", receiver.local_addr()?);
        let (bus, secret) = (self.bus.scratch().await?, Secret::generate()?);
        let webhooks = self.webhooks.scratch(&bus, url, secret.clone()).await?;
        bus.attach_durable(Arc::new(outbox::Outbox(Arc::downgrade(&webhooks)))).await?;
        let stop = CancellationToken::new();
        let _guard = stop.clone().drop_guard();
        tokio::spawn(sender::run(Arc::downgrade(&webhooks), stop));
        bus.publish(Event::now(EventType::PlatformReady, None, json!({ "check": 1 })));
        let first = timeout(DELIVERY_TIMEOUT, receive(&receiver, "500 Internal Server Error"));
        let first = first.await??;
        let second = timeout(DELIVERY_TIMEOUT, receive(&receiver, "204 No Content")).await??;
        let id = |request: &str| header(request, "webhook-id").map(str::to_owned);
        if id(&first).is_none() || id(&first) != id(&second) {
            return Err(format!("the second attempt has another id: {second}").into());
        }
        let seconds = header(&second, "webhook-timestamp").unwrap_or_default().parse()?;
        let body = second.split_once("\r\n\r\n").unwrap_or_default().1;
        let signature = secret.sign(&id(&second).unwrap_or_default(), seconds, body);
        if header(&second, "webhook-signature") != Some(&signature) {
            return Err("the signature is not that of the message".into());
        }
        Ok("the second attempt had the same id, and a valid signature".to_owned())
    }
}

impl Webhooks {
    /// Webhooks of the same kind on a bus for a check, with one webhook that leads to this process.
    async fn scratch(
        &self,
        bus: &EventBus,
        url: String,
        secret: Secret,
    ) -> Result<Arc<Self>, BoxError> {
        let sealed = self.vault.seal(CHECKED, &secret)?;
        let webhook = Webhook {
            id: CHECKED.to_owned(),
            owner: None,
            sees_all: true,
            url,
            topics: vec![Topic::Everything],
            secret: Some(secret),
            old_secret: None,
            created_at: Timestamp::now(),
        };
        let local = std::net::Ipv4Addr::LOCALHOST;
        let policy = NetworkPolicy { allowed: vec![ipnet::Ipv4Net::from(local).into()] };
        let retry_time = DELIVERY_TIMEOUT;
        let store = bus.store();
        store.write(move |db| table::insert(db, &webhook, &sealed)).await?;
        let webhooks = Arc::new(Self {
            store,
            vault: self.vault.clone(),
            keys: Arc::clone(&self.keys),
            owners: Arc::clone(&self.owners),
            audit: Arc::clone(&self.audit),
            client: Client::new(policy.clone()),
            options: WebhookOptions { policy, retry_time },
            attempts: new_attempts(),
            list: RwLock::default(),
            reloading: tokio::sync::Mutex::default(),
            due: Notify::new(),
            _stop: CancellationToken::new().drop_guard(),
        });
        webhooks.reload().await?;
        Ok(webhooks)
    }
}

/// Receives one request, and answers it.
async fn receive(receiver: &TcpListener, status: &str) -> std::io::Result<String> {
    let (mut stream, _) = receiver.accept().await?;
    let mut request = Vec::new();
    while !is_whole(&request) && request.len() < MAX_REQUEST_BYTES {
        if stream.read_buf(&mut request).await? == 0 {
            break;
        }
    }
    answer(&mut stream, status).await?;
    Ok(String::from_utf8_lossy(&request).into_owned())
}

async fn answer(stream: &mut TcpStream, status: &str) -> std::io::Result<()> {
    let head = format!("HTTP/1.1 {status}\r\ncontent-length: 0\r\nconnection: close\r\n\r\n");
    stream.write_all(head.as_bytes()).await?;
    stream.shutdown().await
}

/// Whether a request has all of its body.
fn is_whole(request: &[u8]) -> bool {
    let text = String::from_utf8_lossy(request);
    let Some((_, body)) = text.split_once("\r\n\r\n") else { return false };
    let length = header(&text, "content-length").and_then(|length| length.parse().ok());
    body.len() >= length.unwrap_or(usize::MAX)
}

fn header<'a>(request: &'a str, name: &str) -> Option<&'a str> {
    let head = request.split("\r\n\r\n").next()?;
    let mut lines = head.lines().filter_map(|line| line.split_once(':'));
    lines.find(|(key, _)| key.eq_ignore_ascii_case(name)).map(|(_, value)| value.trim())
}

/// The example of the specification's own libraries.
fn signs() -> CheckResult {
    let secret = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw".parse::<Secret>();
    let secret = secret.map_err(|error| error.to_string())?;
    let (id, body) = ("msg_p5jXN8AQM9LWM0D4loKWxJek", r#"{"test": 2432232314}"#);
    let signature = secret.sign(id, 1_614_265_330, body);
    if signature == "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=" {
        Ok(signature)
    } else {
        Err(format!("the example of the specification is signed as {signature}"))
    }
}

fn refuses() -> CheckResult {
    let policy = NetworkPolicy::default();
    let urls = [
        "https://127.0.0.1/",
        "https://169.254.169.254/latest/meta-data",
        "https://[::ffff:10.0.0.1]/",
        "http://example.org/",
    ];
    match urls.iter().find(|url| policy.check(url).is_ok()) {
        None => Ok("loopback, link-local and private ones, and plain HTTP".to_owned()),
        Some(url) => Err(format!("{url} was accepted")),
    }
}
