//! Makes a delivery of each event, for each webhook that gets it.

use std::sync::{Arc, Weak};

use jiff::Timestamp;
use rusqlite::Connection;
use shared::{BoxError, BoxFuture};
use stage_03_monitoring::SequencedEvent;

use super::Webhooks;
use super::backlog::{self, Delivery};
use super::table::Webhook;
use crate::bus::{DurableHandler, SOURCE, Work};

/// The durable subscriber `webhooks`.
pub(super) struct Outbox(pub(super) Weak<Webhooks>);

impl DurableHandler for Outbox {
    fn name(&self) -> &'static str {
        "webhooks"
    }

    // ANCHOR: outbox
    fn handle<'a>(
        &'a self,
        event: &'a Arc<SequencedEvent>,
    ) -> BoxFuture<'a, Result<Option<Work>, BoxError>> {
        Box::pin(async move {
            let Some(webhooks) = self.0.upgrade() else { return Ok(None) };
            let mut deliveries = Vec::new();
            for webhook in webhooks.list().iter() {
                if webhooks.is_for(webhook, event).await? {
                    deliveries.push(delivery(webhook, event));
                }
            }
            if deliveries.is_empty() {
                return Ok(None);
            }
            // The last of the disk is for the ends of evaluations: events wait in the log meanwhile.
            webhooks.store.check_space()?;
            let write = move |db: &Connection| {
                deliveries.iter().try_for_each(|delivery| backlog::enqueue(db, delivery))
            };
            Ok(Some(Box::new(write) as Work))
        })
    }
    // ANCHOR_END: outbox

    fn committed(&self) {
        if let Some(webhooks) = self.0.upgrade() {
            webhooks.due.notify_one();
        }
    }
}

impl Webhooks {
    /// Whether a webhook gets an event.
    async fn is_for(&self, webhook: &Webhook, event: &SequencedEvent) -> Result<bool, BoxError> {
        if !webhook.topics.iter().any(|topic| topic.matches(event)) {
            return Ok(false);
        }
        if webhook.sees_all {
            return Ok(true);
        }
        let (Some(owner), Some(id)) = (&webhook.owner, event.event.subject) else {
            return Ok(false);
        };
        Ok(self.owners.is_owner(owner, id).await?)
    }
}

fn delivery(webhook: &Webhook, event: &SequencedEvent) -> Delivery {
    let now = Timestamp::now();
    Delivery {
        number: 0,
        // The same event has another id at another webhook, as each is a message of its own.
        id: format!("{}-{}", webhook.id, event.sequence),
        webhook: webhook.id.clone(),
        kind: event.event.kind.to_string(),
        body: event.to_json(SOURCE),
        created_at: now,
        due_at: now,
        attempts: 0,
        is_parked: false,
        error: None,
    }
}
