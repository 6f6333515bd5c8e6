//! The dead letters, in a queue of their own.
//!
//! SQS has no way to look at a message without receiving it, so a list hides the letters for its own time.

use std::time::{Duration, SystemTime};

use aws_sdk_sqs::types::MessageSystemAttributeName::SentTimestamp;
use aws_sdk_sqs::types::{Message, MessageAttributeValue};

use super::SqsBroker;
use super::error::failed;
use crate::broker::{BrokerError, DeadLetter, DeadReason, Ticket};

/// On letters that a receiver has moved.
const REASON_ATTRIBUTE: &str = "Reason";

/// For how long a list hides the letters, if it is killed.
const LIST_SECONDS: i32 = 30;

/// SQS's own bound for one request.
const MAX_BATCH: i32 = 10;

impl SqsBroker {
    /// Moves a message that is no ticket to the dead letters. A crash in between leaves it in both queues.
    pub(super) async fn bury(&self, queue: &str, message: &Message) -> Result<(), BrokerError> {
        let reason = MessageAttributeValue::builder().data_type("String").string_value("no_ticket");
        let reason = reason.build().map_err(|error| BrokerError::Refused(error.into()))?;
        let letter = self.client.send_message().queue_url(self.dead_queue().await?);
        let letter = letter.message_attributes(REASON_ATTRIBUTE, reason);
        letter.set_message_body(message.body.clone()).send().await.map_err(failed)?;
        let handle = message.receipt_handle.as_deref().unwrap_or_default();
        let request = self.client.delete_message().queue_url(queue).receipt_handle(handle);
        request.send().await.map(drop).map_err(failed)
    }

    /// Receives letters until `is_last`, or until there are no more.
    async fn letters(
        &self,
        queue: &str,
        is_last: impl Fn(&[Message]) -> bool,
    ) -> Result<Vec<Message>, BrokerError> {
        let mut letters = Vec::new();
        while !is_last(&letters) {
            let request = self.client.receive_message().queue_url(queue);
            let request = request
                .max_number_of_messages(MAX_BATCH)
                // Only a request that waits looks at all of SQS's servers.
                .wait_time_seconds(1)
                .visibility_timeout(LIST_SECONDS)
                .message_attribute_names(REASON_ATTRIBUTE)
                .message_system_attribute_names(SentTimestamp);
            let received = request.send().await.map_err(failed)?.messages.unwrap_or_default();
            if received.is_empty() {
                break;
            }
            letters.extend(received);
        }
        Ok(letters)
    }

    /// Lets others see these letters again. One that cannot be shown appears by itself.
    async fn show(&self, queue: &str, letters: &[Message]) {
        for handle in letters.iter().filter_map(|letter| letter.receipt_handle.as_deref()) {
            let request = self.client.change_message_visibility().queue_url(queue);
            let request = request.receipt_handle(handle).visibility_timeout(0);
            request.send().await.ok(); // it appears after `LIST_SECONDS`
        }
    }

    /// At most `limit` letters.
    pub(super) async fn list_dead(&self, limit: usize) -> Result<Vec<DeadLetter>, BrokerError> {
        let queue = self.dead_queue().await?;
        let letters = self.letters(&queue, |letters| letters.len() >= limit).await?;
        self.show(&queue, &letters).await;
        Ok(letters.iter().take(limit).map(letter).collect())
    }

    /// The letter of that id, hidden from others. These see the rest again.
    async fn find_letter(&self, queue: &str, id: &str) -> Result<Option<Message>, BrokerError> {
        let is_it = |letter: &Message| letter.message_id.as_deref() == Some(id);
        let mut letters = self.letters(queue, |letters| letters.iter().any(is_it)).await?;
        let found = letters.iter().position(is_it).map(|index| letters.swap_remove(index));
        self.show(queue, &letters).await;
        Ok(found)
    }

    async fn delete(&self, queue: &str, letter: Message) -> Result<(), BrokerError> {
        let handle = letter.receipt_handle.unwrap_or_default();
        let request = self.client.delete_message().queue_url(queue).receipt_handle(handle);
        request.send().await.map(drop).map_err(failed)
    }

    /// Removes a letter.
    pub(super) async fn remove(&self, id: &str) -> Result<(), BrokerError> {
        let queue = self.dead_queue().await?;
        let found = self.find_letter(&queue, id).await?;
        let found = found.ok_or_else(|| BrokerError::UnknownDeadLetter(id.to_owned()))?;
        self.delete(&queue, found).await
    }

    /// Publishes the ticket of a letter again, and removes the letter.
    pub(super) async fn requeue(&self, id: &str) -> Result<(), BrokerError> {
        let queue = self.dead_queue().await?;
        let unknown = || BrokerError::NoDeadLetter(id.to_owned());
        let found = self.find_letter(&queue, id).await?.ok_or_else(unknown)?;
        let DeadLetter { ticket: Some(ticket), .. } = letter(&found) else {
            self.show(&queue, &[found]).await;
            return Err(unknown());
        };
        if let Err(error) = self.send(&ticket).await {
            self.show(&queue, &[found]).await;
            return Err(error);
        }
        self.delete(&queue, found).await
    }
}

fn letter(message: &Message) -> DeadLetter {
    let body = message.body.as_deref().unwrap_or_default();
    let was_moved =
        message.message_attributes.as_ref().is_some_and(|all| all.contains_key(REASON_ATTRIBUTE));
    let ticket = Ticket::read(body.as_bytes()).filter(|_| !was_moved);
    let sent = message.attributes.as_ref().and_then(|all| all.get(&SentTimestamp));
    DeadLetter {
        id: message.message_id.clone().unwrap_or_default(),
        reason: match ticket {
            Some(_) => DeadReason::DeliveredTooOften,
            None => DeadReason::NoTicket,
        },
        ticket,
        bytes: body.len(),
        at: sent
            .and_then(|sent| sent.parse().ok())
            .map(|ms| SystemTime::UNIX_EPOCH + Duration::from_millis(ms)),
    }
}
