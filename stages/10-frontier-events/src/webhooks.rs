//! Webhooks: events that are sent to the URL of a client, as [Standard Webhooks] has it.
//!
//! 1. [`secret`]: what signs, and `vault`: how it is stored; 2. [`address`] and [`client`]: where a request may go, and how it does;
//! 3. `table`: webhooks, and `backlog`: what they have not got yet; 4. `outbox`: a durable subscriber of the bus,
//!    which makes a delivery of each event; 5. `sender`: sends them, again and again for a bounded time;
//! 6. `routes`: how clients make and read them.
//!
//! An event that was committed is sent at least once, also if the server is killed at any moment: the
//! delivery is written in the transaction that moves the cursor of the subscriber, and removed after
//! the receiver has answered. An event that is sent twice has the same `webhook-id`.
//!
//! | attack | setting | test |
//! |---|---|---|
//! | the URL names an address of the server's own network | [`NetworkPolicy`]: none that is special, unless the operator allows it | `special_addresses_are_refused` |
//! | the name of a public host resolves to 127.0.0.1, at once or at the second look-up | the resolver of the connection itself drops such addresses | `a_name_that_leads_to_loopback_is_not_connected_to` |
//! | the receiver redirects to such an address | redirects are followed here, each checked as the first URL | `a_redirect_to_a_forbidden_address_is_not_followed` |
//! | a receiver that never answers, or answers without end | a time limit, and for each key a number of requests at one moment; the body of a response is not read | `a_receiver_that_hangs_holds_up_no_other`, `receivers_of_one_key_that_hang_hold_up_no_other_key` |
//! | a receiver that is down for days, while events come | deliveries of a webhook have a limit in number and in bytes, leave the disk the room that ends need, and are parked after a time | `what_is_not_delivered_in_time_is_parked_and_can_be_sent_again` |
//! | a client reads events of another through a webhook | the owner of each evaluation is checked; a revoked key ends its webhooks | `a_webhook_of_a_key_has_events_of_its_own_evaluations` |
//!
//! What it does not protect: who reads the data directory has the secrets, and the key that they are sealed with.
//!
//! [Standard Webhooks]: https://github.com/standard-webhooks/standard-webhooks

mod address;
mod backlog;
mod client;
mod outbox;
mod routes;
mod secret;
mod sender;
mod suite;
mod table;
#[cfg(test)]
mod tests;
mod vault;

use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use shared::cli::BuildError;
use stage_09_frontier::{Accounts, AuditLog, Keys, Owners, Store, StoreError};
use tokio::sync::Notify;
use tokio_util::sync::{CancellationToken, DropGuard};

use crate::bugs::{self, has_bug};
use crate::bus::EventBus;
pub use address::{NetworkPolicy, Refused};
pub use secret::{Secret, SecretError};
pub(crate) use suite::WebhooksTest;
pub(crate) use table::FIXED_PREFIX;
pub use table::Webhook;
pub use vault::VaultError;

use client::Client;
use vault::Vault;

/// What webhooks are configured with.
#[derive(Debug, Clone)]
pub struct WebhookOptions {
    /// Where requests may go.
    pub policy: NetworkPolicy,
    /// How long an event is sent again and again.
    pub retry_time: Duration,
}

/// Attempts by their results: `delivered`, `failed` when there is another one, `parked` when not.
pub(crate) type Attempts = Family<AttemptLabels, Counter>;

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(crate) struct AttemptLabels {
    result: &'static str,
}

/// All results are there from the start: an alarm on a time series that does not exist never fires.
fn new_attempts() -> Attempts {
    let attempts = Attempts::default();
    for result in ["delivered", "failed", "parked"] {
        drop(attempts.get_or_create(&AttemptLabels { result }));
    }
    attempts
}

/// The webhooks of one server.
pub struct Webhooks {
    store: Arc<Store>,
    keys: Arc<Keys>,
    owners: Arc<Owners>,
    audit: Arc<AuditLog>,
    client: Client,
    vault: Vault,
    options: WebhookOptions,
    attempts: Attempts,
    /// All of them, as they are in the database. Read again after each change.
    list: RwLock<Arc<Vec<Arc<Webhook>>>>,
    /// Held while they are read again, so that what was read first does not replace what was read after it.
    reloading: tokio::sync::Mutex<()>,
    /// Notified when there is something to send; the sender looks into the database before it waits.
    due: Notify,
    _stop: DropGuard,
}

impl Webhooks {
    /// Starts to send. Those of the rule file are `fixed`; they replace those of the last start.
    ///
    /// # Errors
    ///
    /// When the database, the event log, or the key of the secrets cannot be read.
    pub async fn start(
        bus: &Arc<EventBus>,
        store: &Arc<Store>,
        accounts: &Accounts,
        options: WebhookOptions,
        fixed: Vec<Webhook>,
    ) -> Result<Arc<Self>, BuildError> {
        let vault = Vault::open(store.directory().path())?;
        seal_all(store, &vault).await?;
        let fixed = sealed(fixed, &vault).map_err(VaultError::Random)?;
        store.write(move |db| table::replace_fixed(db, &fixed)).await?;
        let stop = CancellationToken::new();
        let webhooks = Arc::new(Self {
            store: Arc::clone(store),
            keys: Arc::clone(&accounts.keys),
            owners: Arc::clone(&accounts.owners),
            audit: Arc::clone(&accounts.audit),
            client: Client::new(options.policy.clone()),
            vault,
            options,
            attempts: new_attempts(),
            list: RwLock::default(),
            reloading: tokio::sync::Mutex::default(),
            due: Notify::new(),
            _stop: stop.clone().drop_guard(),
        });
        webhooks.reload().await?;
        let outbox = outbox::Outbox(Arc::downgrade(&webhooks));
        if !has_bug(bugs::WITHOUT_WEBHOOKS) {
            bus.attach_durable(Arc::new(outbox)).await?;
        }
        tokio::spawn(sender::run(Arc::downgrade(&webhooks), stop));
        Ok(webhooks)
    }

    /// Attempts so far, by their results.
    pub(crate) fn attempts(&self) -> &Attempts {
        &self.attempts
    }

    fn count(&self, result: &'static str) {
        self.attempts.get_or_create(&AttemptLabels { result }).inc();
    }

    fn list(&self) -> Arc<Vec<Arc<Webhook>>> {
        Arc::clone(&self.list.read().unwrap_or_else(PoisonError::into_inner))
    }

    async fn reload(&self) -> Result<(), StoreError> {
        let _guard = self.reloading.lock().await;
        let vault = self.vault.clone();
        let list = self.store.read(move |db| table::list(db, &vault)).await?;
        let unusable = list.iter().filter(|webhook| webhook.secret.is_none()).count();
        if unusable > 0 {
            let file = vault::KEY_FILE;
            tracing::error!(
                unusable,
                file,
                "webhooks have secrets of another key, and send nothing"
            );
        }
        let list = Arc::new(list.into_iter().map(Arc::new).collect());
        *self.list.write().unwrap_or_else(PoisonError::into_inner) = list;
        Ok(())
    }
}

/// Seals the secrets that an earlier version has stored in clear.
async fn seal_all(store: &Store, vault: &Vault) -> Result<(), BuildError> {
    let clear = store.read(table::in_clear).await?;
    if clear.is_empty() {
        return Ok(());
    }
    let seal = |(id, secret, old): (String, Secret, Option<Secret>)| {
        let old = old.map(|old| vault.seal(&id, &old)).transpose()?;
        Ok((id.clone(), vault.seal(&id, &secret)?, old))
    };
    let sealed: Vec<_> =
        clear.into_iter().map(seal).collect::<Result<_, _>>().map_err(VaultError::Random)?;
    let count = sealed.len();
    store.write(move |db| table::seal(db, &sealed)).await?;
    tracing::info!(count, "secrets of webhooks sealed");
    Ok(())
}

/// Webhooks, each with its secret as it is stored.
fn sealed(
    webhooks: Vec<Webhook>,
    vault: &Vault,
) -> Result<Vec<(Webhook, String)>, getrandom::Error> {
    let with_secret = webhooks.into_iter().filter_map(|webhook| {
        let secret = webhook.secret.clone()?;
        Some((webhook, secret))
    });
    with_secret
        .map(|(webhook, secret)| {
            let sealed = vault.seal(&webhook.id, &secret)?;
            Ok((webhook, sealed))
        })
        .collect()
}
