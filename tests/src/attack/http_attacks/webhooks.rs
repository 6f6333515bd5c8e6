//! Webhooks of stage 10: URLs of strangers that the server calls, and messages that a receiver has to believe.
//!
//! A receiver on this machine needs the permission of the operator, so that most of these attacks have a server of their
//! own. It allows 127.0.0.1; the victims have other addresses.

pub mod names;
mod receiver;

use std::ffi::OsString;
use std::net::SocketAddr;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, KeyInit as _, Mac as _};
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use sha2::Sha256;
use tokio::time::{Instant, sleep};

use super::{HttpProbe, http_probe};
use crate::attack::testbed::Testbed;
use crate::attack::verdict::{By, Verdict};
use crate::support::client::Client;
use crate::support::server::Launch;
use crate::support::stages;
use names::Names;
use receiver::{Message, Receiver};

pub(super) const LIST: &[HttpProbe] = &[
    http_probe!(
        address,
        "id: platform/webhook-address"
        "class: Lateral"
        "title: Have the server call its own network"
        "intent: Makes webhooks to loopback, private and link-local addresses in many notations, and to a name"
        "success: The server takes one of the addresses, or connects to the name"
        "source: CWE-918; OWASP SSRF Prevention Cheat Sheet"
        "host: safe"
        "contained-from: 10"
    ),
    http_probe!(
        redirect,
        "id: platform/webhook-redirect"
        "class: Lateral"
        "title: Redirect the server to its own network"
        "intent: A receiver that is allowed redirects to an address that is not"
        "success: The server connects to that address"
        "source: CWE-918; CWE-601"
        "host: safe"
        "contained-from: 10"
    ),
    http_probe!(
        rebinding,
        "id: platform/webhook-rebinding"
        "class: Lateral"
        "title: Rebind the name of a receiver"
        "intent: The name of a receiver has an allowed address, and at the next look-up one that is not"
        "success: The server connects to that address"
        "source: CWE-367; CWE-350; DNS rebinding"
        "host: safe"
        "contained-from: 10"
    ),
    http_probe!(
        forged,
        "id: platform/webhook-forgery"
        "class: Integrity"
        "title: Forge a message to a receiver"
        "intent: Looks for messages without a valid signature, for a secret of several webhooks, and for secrets in lists"
        "success: A receiver takes a message of another, or cannot tell, or the secret is shown twice"
        "source: CWE-345; CWE-347; Standard Webhooks"
        "host: safe"
        "contained-from: 10"
    ),
];

/// The first stage with webhooks.
pub const FIRST_WITH_WEBHOOKS: u16 = 10;
/// The networks that webhooks may lead to although they are special, as a variable of the server's environment.
pub const ALLOW_ENV: &str = "CRUCIBLE_WEBHOOK_ALLOW";
/// What the operator of the server allows.
pub const ALLOWED: &str = "127.0.0.1/32";
/// The arguments of the server: what is attacked is not its isolation, and a failed attempt is the last one.
const ARGUMENTS: [&str; 5] = ["--engine", "subprocess", "--unsafe", "--webhook-retry-seconds", "0"];
/// How long messages may take.
const SEND_TIMEOUT: Duration = Duration::from_mins(1);
const POLL_INTERVAL: Duration = Duration::from_millis(50);

const NO_WEBHOOKS: Verdict = Verdict::NotApplicable("this stage has no webhooks");
const NOTHING_ALLOWED: Verdict =
    Verdict::NotApplicable("the operator of this server allows no receiver on this machine");

fn judge(escaped: bool) -> Verdict {
    if escaped { Verdict::Escaped } else { Verdict::Contained(By::Validation) }
}

/// Makes a webhook. None if the server refuses its URL.
async fn create(client: &Client, url: &str) -> Result<Option<Value>> {
    let body = json!({ "url": url, "events": ["evaluation.queued"] });
    let request = client.request(Method::POST, "/webhooks").json(&body);
    let response = request.send().await.context("the server did not respond")?;
    match response.status() {
        StatusCode::CREATED => Ok(Some(response.json().await?)),
        status if status.is_client_error() => Ok(None),
        status => anyhow::bail!("a webhook to {url} was answered {status}"),
    }
}

/// Causes one event.
async fn submit(client: &Client) -> Result<()> {
    let request = client.request(Method::POST, "/eval").json(&json!({ "code": "print(1)" }));
    request.send().await?.error_for_status().context("the server does not run programs")?;
    Ok(())
}

/// Waits until the server has sent `count` messages of a webhook, or has given them up.
async fn sent(client: &Client, webhook: &Value, count: u64) -> Result<()> {
    let path = format!("/webhooks/{}", webhook["id"].as_str().context("a webhook has an id")?);
    let started = Instant::now();
    loop {
        let shown: Value = client.request(Method::GET, &path).send().await?.json().await?;
        let of = |name: &str| shown[name].as_u64().unwrap_or(0);
        if of("delivered") + of("parked") >= count {
            return Ok(());
        }
        ensure!(started.elapsed() < SEND_TIMEOUT, "its message was not sent: {shown}");
        sleep(POLL_INTERVAL).await;
    }
}

/// Runs an attack on a server whose operator allows [`ALLOWED`]: on one that is started for it, or on the testbed's if the
/// ladder did not start that.
async fn with_receivers(
    testbed: &Testbed,
    wrapper: Vec<OsString>,
    attack: impl AsyncFnOnce(&Client) -> Result<Verdict>,
) -> Result<Verdict> {
    if testbed.stage < FIRST_WITH_WEBHOOKS {
        return Ok(NO_WEBHOOKS);
    }
    if testbed.secrets.is_none() {
        return attack(&testbed.client).await;
    }
    let launch = Launch::new(&stages::find(testbed.stage)?).with_wrapper(wrapper);
    let launch = ARGUMENTS.iter().fold(launch.env(ALLOW_ENV, ALLOWED), Launch::arg);
    let server = launch.start().await?;
    let client = Client::new(testbed.stage, server.url())?;
    let verdict = attack(&client).await;
    drop(client); // an idle connection would keep the server waiting
    server.stop().await?;
    verdict
}

// ANCHOR: webhook-address
async fn address(testbed: &Testbed) -> Result<Verdict> {
    if testbed.stage < FIRST_WITH_WEBHOOKS {
        return Ok(NO_WEBHOOKS);
    }
    let (client, victim) = (&testbed.client, Receiver::victim("0.0.0.0:0").await?);
    for url in special(victim.address.port()) {
        if create(client, &url).await?.is_some() {
            return Ok(Verdict::Escaped);
        }
    }
    // A name is no address until it is looked up.
    let url = format!("https://localhost:{}/", victim.address.port());
    if let Some(webhook) = create(client, &url).await? {
        submit(client).await?;
        sent(client, &webhook, 1).await?;
        let path = format!("/webhooks/{}", webhook["id"].as_str().unwrap_or_default());
        client.request(Method::DELETE, &path).send().await?.error_for_status()?;
    }
    Ok(judge(victim.connections() > 0))
}
// ANCHOR_END: webhook-address

/// URLs of special addresses, and of what is no receiver.
fn special(port: u16) -> Vec<String> {
    let hosts = [
        "127.0.0.1",
        "127.1",
        "2130706433",
        "0x7f000001",
        "0177.0.0.1",
        "0.0.0.0",
        "10.0.0.1",
        "172.17.0.1",
        "192.168.1.1",
        "100.64.0.1",
        "169.254.169.254",
        "[::1]",
        "[::ffff:127.0.0.1]",
        "[::ffff:a9fe:a9fe]",
        "[fe80::1]",
        "[fd00::1]",
    ];
    let urls = hosts.map(|host| format!("https://{host}:{port}/latest/meta-data"));
    let others = [format!("http://127.0.0.1:{port}/"), "file:///etc/passwd".to_owned()];
    urls.into_iter().chain(others).collect()
}

// ANCHOR: webhook-redirect
async fn redirect(testbed: &Testbed) -> Result<Verdict> {
    let victim = Receiver::victim("127.0.0.2:0").await?;
    let port = victim.address.port();
    let locations = [
        format!("http://127.0.0.2:{port}/"),
        format!("https://127.0.0.2:{port}/"),
        format!("http://[::ffff:127.0.0.2]:{port}/"),
        format!("//127.0.0.2:{port}/"),
        format!("http://2130706434:{port}/"),
    ];
    let count = locations.len();
    let redirecting = Receiver::start("127.0.0.1:0", move |path| {
        let number = path.trim_start_matches('/').parse::<usize>();
        let location = number.ok().and_then(|number| locations.get(number)).cloned();
        format!("307 Temporary Redirect\r\nLocation: {}", location.unwrap_or_default())
    });
    let redirecting = redirecting.await?;
    with_receivers(testbed, Vec::new(), async |client| {
        let mut webhooks = Vec::new();
        for number in 0..count {
            let url = format!("http://{}/{number}", redirecting.address);
            let Some(webhook) = create(client, &url).await? else { return Ok(NOTHING_ALLOWED) };
            webhooks.push(webhook);
        }
        submit(client).await?;
        for webhook in &webhooks {
            sent(client, webhook, 1).await?;
        }
        ensure!(redirecting.messages().len() >= count, "the receiver was not called");
        Ok(judge(victim.connections() > 0))
    })
    .await
}
// ANCHOR_END: webhook-redirect

// ANCHOR: webhook-rebinding
async fn rebinding(testbed: &Testbed) -> Result<Verdict> {
    if !rustix::process::geteuid().is_root() {
        return Ok(Verdict::NotApplicable("only root can be the name server of another process"));
    }
    let directory = tempfile::tempdir()?;
    let wrapper = names::wrapper(&directory.path().join("resolv.conf"))?;
    let (receiver, victim) = pair().await?;
    let names = Names::start([[127, 0, 0, 1], [127, 0, 0, 2]]).await?;
    with_receivers(testbed, wrapper, async |client| {
        let url = format!("http://rebind.example:{}/", receiver.address.port());
        let Some(webhook) = create(client, &url).await? else { return Ok(NOTHING_ALLOWED) };
        for count in 1..=2 {
            submit(client).await?;
            sent(client, &webhook, count).await?;
        }
        ensure!(names.looks() >= 2, "the name was looked up {} times", names.looks());
        ensure!(receiver.connections() + victim.connections() > 0, "nothing was called");
        Ok(judge(victim.connections() > 0))
    })
    .await
}
// ANCHOR_END: webhook-rebinding

/// A receiver and a victim with the same port, and different addresses.
async fn pair() -> Result<(Receiver, Receiver)> {
    loop {
        let receiver = Receiver::victim("127.0.0.1:0").await?;
        let address = SocketAddr::from(([127, 0, 0, 2], receiver.address.port()));
        // Its port may be taken there.
        if let Ok(victim) = Receiver::victim(&address.to_string()).await {
            return Ok((receiver, victim));
        }
    }
}

// ANCHOR: webhook-forgery
async fn forged(testbed: &Testbed) -> Result<Verdict> {
    let receiver = Receiver::victim("127.0.0.1:0").await?;
    with_receivers(testbed, Vec::new(), async |client| {
        let mut webhooks = Vec::new();
        for path in ["/one", "/other"] {
            let url = format!("http://{}{path}", receiver.address);
            let Some(webhook) = create(client, &url).await? else { return Ok(NOTHING_ALLOWED) };
            webhooks.push((path, webhook));
        }
        submit(client).await?;
        let mut is_forgeable = false;
        for (path, webhook) in &webhooks {
            sent(client, webhook, 1).await?;
            let messages = receiver.messages();
            let message = messages.iter().find(|message| message.path == *path);
            let message = message.context("a message has arrived")?;
            for (owner, other) in &webhooks {
                let secret = other["secret"].as_str().context("a new webhook has a secret")?;
                is_forgeable |= is_valid(message, secret)? != (owner == path);
            }
            let id = webhook["id"].as_str().context("a webhook has an id")?;
            for path in ["/webhooks".to_owned(), format!("/webhooks/{id}")] {
                let shown = client.request(Method::GET, &path).send().await?.text().await?;
                is_forgeable |= shown.contains("whsec_");
            }
        }
        Ok(if is_forgeable { Verdict::Escaped } else { Verdict::Contained(By::Signature) })
    })
    .await
}
// ANCHOR_END: webhook-forgery

/// Whether a receiver with this secret takes a message, as Standard Webhooks has it.
fn is_valid(message: &Message, secret: &str) -> Result<bool> {
    let key = STANDARD.decode(secret.strip_prefix("whsec_").context("a secret")?)?;
    let text = format!("{}.{}.{}", message.id, message.seconds, message.body);
    Ok(message.signature.split(' ').any(|signature| {
        let given = signature.strip_prefix("v1,").and_then(|text| STANDARD.decode(text).ok());
        let mac = Hmac::<Sha256>::new_from_slice(&key).ok();
        mac.zip(given).is_some_and(|(mut mac, given)| {
            mac.update(text.as_bytes());
            mac.verify_slice(&given).is_ok()
        })
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_is_valid_with_its_secret_alone() {
        // The example of the specification's own libraries.
        let message = Message {
            id: "msg_p5jXN8AQM9LWM0D4loKWxJek".to_owned(),
            seconds: "1614265330".to_owned(),
            signature: "v1,x v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=".to_owned(),
            body: r#"{"test": 2432232314}"#.to_owned(),
            ..Message::default()
        };
        let secret = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
        assert!(is_valid(&message, secret).unwrap());
        assert!(!is_valid(&message, "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSx").unwrap());
        for changed in [
            Message { id: "msg_x".to_owned(), ..message.clone() },
            Message { seconds: "1614265331".to_owned(), ..message.clone() },
            Message { body: "{}".to_owned(), ..message.clone() },
            Message { signature: String::new(), ..message.clone() },
        ] {
            assert!(!is_valid(&changed, secret).unwrap(), "{changed:?}");
        }
    }
}
