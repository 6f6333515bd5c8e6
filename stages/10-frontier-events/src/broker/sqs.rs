//! Tickets on Amazon SQS: a standard queue for each environment, and one for the dead letters.
//!
//! * A standard queue has no order, no bound, and delivers at least once. The bound is kept by its own count, before
//!   tickets are sent.
//! * A ticket's `MessageGroupId` is its group: on standard queues a group with many messages does not delay others.
//! * A delivery is held for at most 12 hours from its receipt, whatever extends it.
//! * After [`BrokerOptions::max_deliveries`] SQS itself moves a ticket to the dead letters (`RedrivePolicy`).

mod client;
mod dead;
mod error;
mod queues;

use std::collections::HashMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use aws_sdk_sqs::Client;
use aws_sdk_sqs::types::Message;
use aws_sdk_sqs::types::MessageSystemAttributeName::ApproximateReceiveCount;
use shared::BoxFuture;
use tokio::sync::Mutex;
use tokio::time::Instant;

use super::turns::Turns;
use super::{
    Broker, BrokerError, BrokerOptions, BrokerStats, DeadLetter, Delivery, Hold, QueueUrl, Receipt,
    Ticket, check_environment,
};
use error::failed;
use queues::Room;

/// The longest wait of one request.
const MAX_WAIT: Duration = Duration::from_secs(20);

/// Counted from the receipt, and not from the last extension.
const MAX_HOLD: Duration = Duration::from_hours(12);

/// SQS refuses a time that is beyond its limit by its own clock.
const LIMIT_MARGIN: Duration = Duration::from_mins(1);

/// A broker on SQS.
pub(crate) struct SqsBroker {
    client: Client,
    prefix: String,
    options: BrokerOptions,
    // The URL of each queue that was found or created, until a call shows that it is gone.
    queues: Mutex<HashMap<String, String>>,
    // Invariant: never more than what the queue's count leaves, less what was sent since.
    room: Mutex<HashMap<String, Room>>,
    turn: AtomicUsize,
}

/// What a delivery is acknowledged by.
pub(crate) struct SqsReceipt {
    queue: String,
    handle: String,
}

impl SqsBroker {
    /// The broker at that address. None when it is another kind's.
    pub(crate) async fn new(
        url: &QueueUrl,
        options: &BrokerOptions,
    ) -> Result<Option<Self>, BrokerError> {
        let QueueUrl::Sqs { region, endpoint, prefix } = url else { return Ok(None) };
        Ok(Some(Self {
            client: client::new(region, endpoint.as_deref(), options).await?,
            prefix: prefix.clone(),
            options: options.clone(),
            queues: Mutex::default(),
            room: Mutex::default(),
            turn: AtomicUsize::new(0),
        }))
    }

    async fn send(&self, ticket: &Ticket) -> Result<(), BrokerError> {
        check_environment(&ticket.environment)?;
        let body = serde_json::to_string(ticket).map_err(|e| BrokerError::Refused(e.into()))?;
        let queue = self.provide(&ticket.environment).await?;
        self.take_room(&ticket.environment, &queue).await?;
        let request = self.client.send_message().queue_url(queue).message_body(body);
        match request.set_message_group_id(ticket.group.clone()).send().await {
            Ok(_) => Ok(()),
            Err(error) => Err(self.lost(failed(error)).await),
        }
    }

    /// The next delivery of one environment.
    async fn next(
        &self,
        environment: &str,
        wait: Duration,
    ) -> Result<Option<Delivery>, BrokerError> {
        check_environment(environment)?;
        let queue = self.find(environment).await?;
        let end = Instant::now() + wait;
        loop {
            let left = end.saturating_duration_since(Instant::now());
            let request = self.client.receive_message().queue_url(&queue);
            let request = request
                .max_number_of_messages(1)
                .wait_time_seconds(seconds(left.min(MAX_WAIT)))
                .visibility_timeout(seconds(self.options.visibility))
                .message_system_attribute_names(ApproximateReceiveCount);
            let received = match request.send().await {
                Ok(received) => received,
                Err(error) => return Err(self.lost(failed(error)).await),
            };
            let now = Instant::now();
            let Some(message) = received.messages.into_iter().flatten().next() else {
                if now >= end {
                    return Ok(None);
                }
                continue;
            };
            if let Some(delivery) = self.delivery(environment, &queue, message, now).await? {
                return Ok(Some(delivery));
            }
        }
    }

    /// The delivery that a message is. None when it is no ticket: it is a dead letter then.
    async fn delivery(
        &self,
        environment: &str,
        queue: &str,
        message: Message,
        now: Instant,
    ) -> Result<Option<Delivery>, BrokerError> {
        let body = message.body.as_deref().unwrap_or_default();
        let ticket = Ticket::read(body.as_bytes());
        let Some(ticket) = ticket.filter(|ticket| ticket.environment == environment) else {
            self.bury(queue, &message).await?;
            return Ok(None);
        };
        let count = message.attributes.as_ref().and_then(|all| all.get(&ApproximateReceiveCount));
        Ok(Some(Delivery {
            ticket,
            deliveries: count.and_then(|count| count.parse().ok()).unwrap_or(1),
            receipt: Receipt::Sqs(SqsReceipt {
                queue: queue.to_owned(),
                handle: message.receipt_handle.unwrap_or_default(),
            }),
            hold: Hold::new(now, self.options.visibility),
        }))
    }

    /// Makes a delivery visible again after that time.
    async fn hide(&self, delivery: &Delivery, time: Duration) -> Result<(), BrokerError> {
        let SqsReceipt { queue, handle } = receipt(delivery)?;
        let request = self.client.change_message_visibility().queue_url(queue);
        let request = request.receipt_handle(handle).visibility_timeout(seconds(time));
        request.send().await.map(drop).map_err(failed)
    }
}

/// Refuses an extension that SQS would refuse.
fn check_limit(hold: &Hold, visibility: Duration) -> Result<(), BrokerError> {
    hold.check()?;
    if hold.left(MAX_HOLD) < visibility + LIMIT_MARGIN {
        return Err(BrokerError::HeldTooLong { limit: MAX_HOLD });
    }
    Ok(())
}

fn receipt(delivery: &Delivery) -> Result<&SqsReceipt, BrokerError> {
    delivery.hold.check()?;
    match &delivery.receipt {
        Receipt::Sqs(receipt) => Ok(receipt),
        _ => Err(BrokerError::Stale),
    }
}

/// SQS counts in seconds; what is less than one is one.
fn seconds(time: Duration) -> i32 {
    i32::try_from(time.as_millis().div_ceil(1000)).unwrap_or(i32::MAX)
}

impl Broker for SqsBroker {
    fn publish<'a>(&'a self, ticket: &'a Ticket) -> BoxFuture<'a, Result<(), BrokerError>> {
        Box::pin(self.send(ticket))
    }

    fn receive<'a>(
        &'a self,
        environments: &'a [String],
        wait: Duration,
    ) -> BoxFuture<'a, Result<Option<Delivery>, BrokerError>> {
        let first = self.turn.fetch_add(1, Ordering::Relaxed);
        let turns = Turns::new(environments.len(), first, wait);
        Box::pin(turns.find(move |queue, wait| self.next(&environments[queue], wait)))
    }

    fn heartbeat_interval(&self) -> Duration {
        self.options.visibility / 3
    }

    fn extend<'a>(&'a self, delivery: &'a Delivery) -> BoxFuture<'a, Result<(), BrokerError>> {
        Box::pin(async move {
            let asked = Instant::now();
            check_limit(&delivery.hold, self.options.visibility)?;
            self.hide(delivery, self.options.visibility).await?;
            delivery.hold.extended(asked, self.options.visibility);
            Ok(())
        })
    }

    fn ack(&self, delivery: Delivery) -> BoxFuture<'_, Result<(), BrokerError>> {
        Box::pin(async move {
            let SqsReceipt { queue, handle } = receipt(&delivery)?;
            let request = self.client.delete_message().queue_url(queue).receipt_handle(handle);
            request.send().await.map(drop).map_err(failed)
        })
    }

    fn release(
        &self,
        delivery: Delivery,
        after: Duration,
    ) -> BoxFuture<'_, Result<(), BrokerError>> {
        Box::pin(async move {
            let left = delivery.hold.left(MAX_HOLD).saturating_sub(LIMIT_MARGIN);
            self.hide(&delivery, after.min(left)).await
        })
    }

    fn dead_letters(&self, limit: usize) -> BoxFuture<'_, Result<Vec<DeadLetter>, BrokerError>> {
        Box::pin(self.list_dead(limit))
    }

    fn requeue_dead<'a>(&'a self, id: &'a str) -> BoxFuture<'a, Result<(), BrokerError>> {
        Box::pin(self.requeue(id))
    }

    fn remove_dead<'a>(&'a self, id: &'a str) -> BoxFuture<'a, Result<(), BrokerError>> {
        Box::pin(self.remove(id))
    }

    fn stats(&self) -> BoxFuture<'_, Result<BrokerStats, BrokerError>> {
        Box::pin(self.count())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_delivery_is_not_extended_beyond_twelve_hours_from_its_receipt() {
        let visibility = Duration::from_secs(30);
        let hold = Hold::new(Instant::now(), visibility);
        let end = Instant::now() + MAX_HOLD - LIMIT_MARGIN - visibility;
        while Instant::now() + Duration::from_secs(10) <= end {
            check_limit(&hold, visibility).unwrap();
            hold.extended(Instant::now(), visibility);
            tokio::time::advance(Duration::from_secs(10)).await;
        }
        tokio::time::advance(Duration::from_secs(11)).await;
        let refused = check_limit(&hold, visibility);
        assert!(matches!(refused, Err(BrokerError::HeldTooLong { .. })), "{refused:?}");
        assert!(refused.unwrap_err().to_string().contains("12 hours"));
    }
}
