//! One pull request: at most one message, within a time, from a server that shows that it lives.
//!
//! The client's own `batch` is not used: in version 0.51 an idle heartbeat ends its task's wake-ups, and a message
//! that follows it is seen when the request has expired, if at all.

use std::time::Duration;

use async_nats::jetstream::consumer::Consumer;
use async_nats::jetstream::consumer::pull::{BatchConfig, Config};
use async_nats::{Client, Message, StatusCode};
use futures_util::StreamExt;
use shared::BoxError;
use tokio::time::timeout;

/// How often a server shows that it still has the request. It accepts at most half of the request's time.
const MAX_HEARTBEAT_INTERVAL: Duration = Duration::from_secs(5);

/// A request that waits for less has no heartbeats.
const MIN_HEARTBEAT_WAIT: Duration = Duration::from_secs(2);

/// How long a server may take to answer, beside the time it waits.
const ANSWER_GRACE: Duration = Duration::from_secs(3);

/// The longest time of one request.
const MAX_EXPIRES: Duration = Duration::from_mins(5);

/// The next message. None when there was none for that time.
pub(super) async fn one(
    client: &Client,
    consumer: &Consumer<Config>,
    wait: Duration,
) -> Result<Option<Message>, BoxError> {
    let expires = wait.min(MAX_EXPIRES);
    let heartbeat = if expires < MIN_HEARTBEAT_WAIT {
        Duration::ZERO
    } else {
        (expires / 3).min(MAX_HEARTBEAT_INTERVAL)
    };
    let silence = if heartbeat.is_zero() { expires } else { heartbeat * 2 } + ANSWER_GRACE;
    let inbox = client.new_inbox();
    let mut replies = client.subscribe(inbox.clone()).await?;
    let request = BatchConfig {
        batch: 1,
        expires: Some(expires).filter(|expires| !expires.is_zero()),
        no_wait: expires.is_zero(),
        idle_heartbeat: heartbeat,
        ..BatchConfig::default()
    };
    consumer.request_batch(request, inbox.into()).await?;
    loop {
        let Ok(reply) = timeout(silence, replies.next()).await else {
            return Err("the server has stopped sending heartbeats".into());
        };
        let message = reply.ok_or("the connection was closed")?;
        match message.status.unwrap_or(StatusCode::OK) {
            StatusCode::OK => return Ok(Some(message)),
            StatusCode::IDLE_HEARTBEAT => {}
            StatusCode::TIMEOUT | StatusCode::NOT_FOUND => return Ok(None),
            status => {
                let description = message.description.unwrap_or_default();
                return Err(format!("the server returned {status}: {description}").into());
            }
        }
    }
}
