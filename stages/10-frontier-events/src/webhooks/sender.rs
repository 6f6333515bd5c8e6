//! Sends what is due, again and again for a bounded time.

use std::collections::HashMap;
use std::sync::{Arc, Weak};
use std::time::Duration;

use backon::{BackoffBuilder as _, ExponentialBuilder};
use jiff::{SignedDuration, Timestamp};
use stage_09_frontier::StoreError;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use super::Webhooks;
use super::backlog::{self, Delivery};
use super::client::{Message, SendError};
use super::table::{FIXED_PREFIX, Webhook};

/// Requests of one webhook at one moment, of all webhooks of one key, and of all.
const MAX_SENDING_EACH: usize = 4;
const MAX_SENDING_OWNER: usize = 8;
const MAX_SENDING: usize = 64;
/// Longest time for an attempt, with its redirects.
const ATTEMPT_TIMEOUT: Duration = Duration::from_secs(30);
/// The waits between attempts.
const MIN_RETRY_DELAY: Duration = Duration::from_secs(1);
const MAX_RETRY_DELAY: Duration = Duration::from_hours(1);
/// How long a delivery keeps its place when the database has failed.
const DATABASE_RETRY_DELAY: Duration = Duration::from_secs(30);
/// How long the database is left alone when nothing is due.
const IDLE_INTERVAL: Duration = Duration::from_secs(30);

/// Sends until `stop`.
pub(super) async fn run(webhooks: Weak<Webhooks>, stop: CancellationToken) {
    let mut sending = Sending::default();
    while let Some(webhooks) = webhooks.upgrade() {
        let pause = match sending.start(&webhooks).await {
            Ok(pause) => pause,
            Err(error) => {
                tracing::warn!(%error, "webhooks were not read");
                MIN_RETRY_DELAY
            }
        };
        tokio::select! {
            () = stop.cancelled() => return,
            () = webhooks.due.notified() => {}
            () = tokio::time::sleep(pause) => {}
            Some(ended) = sending.tasks.join_next_with_id() => {
                let id = ended.map_or_else(|error| error.id(), |(id, ())| id);
                sending.under_way.remove(&id);
            }
        }
    }
}

/// The requests under way.
#[derive(Default)]
struct Sending {
    tasks: JoinSet<()>,
    under_way: HashMap<tokio::task::Id, Place>,
}

/// What a task sends.
struct Place {
    /// The number of the delivery.
    number: i64,
    webhook: String,
    /// The key of the webhook.
    owner: Option<String>,
}

impl Sending {
    /// Starts requests for what is due. Returns how long there is nothing to start, at most.
    async fn start(&mut self, webhooks: &Arc<Webhooks>) -> Result<Duration, StoreError> {
        let now = Timestamp::now();
        // Twice as many as may be sent: those that are being sent are among them.
        let due =
            webhooks.store.read(move |db| backlog::due(db, now, 2 * MAX_SENDING_EACH)).await?;
        let list = webhooks.list();
        let owners: HashMap<_, _> =
            list.iter().map(|webhook| (webhook.id.as_str(), webhook.owner.as_ref())).collect();
        let owner = |delivery: &Delivery| owners.get(delivery.webhook.as_str()).copied().flatten();
        let mut due: Vec<_> =
            due.into_iter().map(|delivery| (owner(&delivery), delivery)).collect();
        // The key with the fewest requests under way comes first.
        due.sort_by_key(|(owner, _)| self.sending(|place| place.owner.as_ref() == *owner));
        for (owner, delivery) in due {
            let is_full = self.tasks.len() >= MAX_SENDING
                || self.sending(|place| place.webhook == delivery.webhook) >= MAX_SENDING_EACH
                || self.sending(|place| place.owner.as_ref() == owner) >= MAX_SENDING_OWNER;
            if is_full || self.sending(|place| place.number == delivery.number) > 0 {
                continue;
            }
            let (number, webhook) = (delivery.number, delivery.webhook.clone());
            let task = self.tasks.spawn(Arc::clone(webhooks).deliver(delivery));
            self.under_way.insert(task.id(), Place { number, webhook, owner: owner.cloned() });
        }
        let next = webhooks.store.read(move |db| backlog::next_due(db, now)).await?;
        let pause = next.and_then(|next| Duration::try_from(next.duration_since(now)).ok());
        Ok(pause.map_or(IDLE_INTERVAL, |pause| pause.min(IDLE_INTERVAL)))
    }

    /// The number of requests under way of which something holds.
    fn sending(&self, is_counted: impl Fn(&Place) -> bool) -> usize {
        self.under_way.values().filter(|place| is_counted(place)).count()
    }
}

impl Webhooks {
    // ANCHOR: deliver
    /// One attempt, and what becomes of the delivery.
    async fn deliver(self: Arc<Self>, delivery: Delivery) {
        let list = self.list();
        let Some(webhook) = list.iter().find(|webhook| webhook.id == delivery.webhook) else {
            return; // it was deleted
        };
        let result = match self.is_valid(webhook).await {
            Ok(true) => Some(self.attempt(webhook, &delivery).await),
            Ok(false) => None,
            Err(error) => {
                tracing::warn!(%error, "a webhook waits for the database");
                return tokio::time::sleep(DATABASE_RETRY_DELAY).await;
            }
        };
        let number = delivery.number;
        let write = match result {
            Some(Ok(())) => {
                self.count("delivered");
                self.store.write(move |db| backlog::delivered(db, number, &delivery.webhook))
            }
            Some(Err(error)) => {
                let again = self.next_attempt(&delivery, &error);
                let (webhook, is_parked) = (&webhook.id, again.is_none());
                self.count(if is_parked { "parked" } else { "failed" });
                tracing::info!(webhook, is_parked, %error, "webhook not delivered");
                self.store.write(move |db| backlog::failed(db, number, again, &error.to_string()))
            }
            None => {
                self.count("parked");
                let error = match webhook.owner {
                    Some(_) => "the key of the webhook is not valid any more",
                    None => "it was made without a key, and this server has keys now",
                };
                self.store.write(move |db| backlog::failed(db, number, None, error))
            }
        };
        if let Err(error) = write.await {
            // It is sent again, with the same id.
            tracing::warn!(%error, "the result of a webhook was not written");
            // Its receiver must not be called in a loop while the disk is full.
            tokio::time::sleep(DATABASE_RETRY_DELAY).await;
        }
    }
    // ANCHOR_END: deliver

    /// Attack: a key is revoked, and its webhook sends on → the key is looked up at each attempt.
    /// Test: `a_webhook_of_a_revoked_key_is_silent`.
    ///
    /// Attack: one is made while the server has no keys, and goes on with the events of those that come later → it needs a
    /// key as soon as there is one. Test: `a_webhook_without_a_key_ends_when_there_are_keys`.
    async fn is_valid(&self, webhook: &Webhook) -> Result<bool, StoreError> {
        match &webhook.owner {
            Some(owner) => self.keys.is_active(owner).await,
            None if webhook.id.starts_with(FIXED_PREFIX) => Ok(true),
            None => Ok(self.keys.count().await?.0 == 0),
        }
    }

    async fn attempt(&self, webhook: &Webhook, delivery: &Delivery) -> Result<(), SendError> {
        let secret = webhook.secret.as_ref().ok_or(SendError::NoSecret)?;
        let now = Timestamp::now();
        let seconds = now.as_second();
        let old = webhook.old_secret.as_ref().filter(|(_, until)| now < *until);
        let secrets = std::iter::once(secret).chain(old.map(|(secret, _)| secret));
        let signatures: Vec<_> =
            secrets.map(|secret| secret.sign(&delivery.id, seconds, &delivery.body)).collect();
        let signature = signatures.join(" ");
        let (id, body) = (delivery.id.as_str(), delivery.body.as_str());
        let message = Message { id, seconds, signature: &signature, body };
        let sent = self.client.send(&webhook.url, &message);
        tokio::time::timeout(ATTEMPT_TIMEOUT, sent).await.unwrap_or(Err(SendError::TimedOut))
    }

    /// When the next attempt is made. None when there is no time left for one.
    fn next_attempt(&self, delivery: &Delivery, error: &SendError) -> Option<Timestamp> {
        if error.is_final() {
            return None;
        }
        let delays = ExponentialBuilder::default()
            .with_min_delay(MIN_RETRY_DELAY)
            .with_max_delay(MAX_RETRY_DELAY)
            .without_max_times()
            .with_jitter();
        let attempts = usize::try_from(delivery.attempts).unwrap_or(usize::MAX);
        let delay = delays.build().nth(attempts.min(20)).unwrap_or(MAX_RETRY_DELAY);
        let next = Timestamp::now().checked_add(delay).ok()?;
        let limit = SignedDuration::try_from(self.options.retry_time).ok()?;
        (next.duration_since(delivery.created_at) <= limit).then_some(next)
    }
}
