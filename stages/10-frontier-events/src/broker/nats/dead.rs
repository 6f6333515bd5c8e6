//! The dead letters, in a stream of their own.

use async_nats::jetstream::message::{PublishMessage, StreamMessage};
use async_nats::jetstream::stream::{RawMessageErrorKind, Stream};
use async_nats::jetstream::{AckKind, Message};
use std::num::NonZeroU64;
use std::time::SystemTime;

use super::NatsBroker;
use super::connection::Session;
use super::error::unavailable;
use crate::broker::{BrokerError, DeadLetter, DeadReason, Ticket};

/// Why the message is dead.
const REASON_HEADER: &str = "Crucible-Reason";

/// Its size before it was cut.
const BYTES_HEADER: &str = "Crucible-Bytes";

/// What is kept of a message that is no ticket.
const MAX_LETTER_BYTES: usize = 4096;

impl NatsBroker {
    /// Moves a message to the dead letters. A crash in between moves it again, under the same id.
    pub(super) async fn bury(
        &self,
        session: &Session,
        message: &Message,
        reason: DeadReason,
    ) -> Result<(), BrokerError> {
        let info = message.info().map_err(unavailable)?;
        let id = format!("{}.{}", info.stream_sequence, info.published.unix_timestamp_nanos());
        let payload = &message.payload;
        let letter = PublishMessage::build()
            .payload(payload.slice(..payload.len().min(MAX_LETTER_BYTES)))
            .header(REASON_HEADER, name(reason))
            .header(BYTES_HEADER, payload.len().to_string())
            .message_id(id);
        let sent = session.jetstream.send_publish(self.dead_subject(), letter).await;
        sent.map_err(unavailable)?.await.map_err(unavailable)?;
        let reply = message.reply.clone().ok_or_else(|| unavailable("no reply subject"))?;
        self.confirm(reply, AckKind::Ack).await
    }

    async fn dead_stream(&self) -> Result<Stream, BrokerError> {
        let session = self.session().await?;
        self.provide_streams(&session).await?;
        session.jetstream.get_stream(self.dead()).await.map_err(unavailable)
    }

    /// The letters, the oldest first.
    pub(super) async fn list_dead(&self, limit: usize) -> Result<Vec<DeadLetter>, BrokerError> {
        let stream = self.dead_stream().await?;
        let state = &stream.cached_info().state;
        let (mut next, last) = (state.first_sequence, state.last_sequence);
        let mut letters = Vec::new();
        while state.messages > 0 && letters.len() < limit && next <= last {
            let found = stream.raw_message_builder().sequence(next);
            match found.next_by_subject(self.dead_subject()).send().await {
                Ok(message) => {
                    next = message.sequence + 1;
                    letters.push(letter(&message));
                }
                Err(error) if is_gone(error.kind()) => break,
                Err(error) => return Err(unavailable(error)),
            }
        }
        Ok(letters)
    }

    /// Publishes the ticket of a letter again, and removes the letter.
    pub(super) async fn requeue(&self, id: &str) -> Result<(), BrokerError> {
        let unknown = || BrokerError::NoDeadLetter(id.to_owned());
        let sequence = id.parse::<NonZeroU64>().map_err(|_| unknown())?.get();
        let stream = self.dead_stream().await?;
        let message = stream
            .get_raw_message(sequence)
            .await
            .map_err(|error| if is_gone(error.kind()) { unknown() } else { unavailable(error) })?;
        let DeadLetter { ticket: Some(ticket), reason: DeadReason::DeliveredTooOften, .. } =
            letter(&message)
        else {
            return Err(unknown());
        };
        // Another id than the ticket's first one, which the window may still have.
        let again = format!("again.{sequence}.{}", message.time.unix_timestamp_nanos());
        self.add(&ticket, &again).await?;
        stream.delete_message(sequence).await.map(drop).map_err(unavailable)
    }

    /// Removes a letter.
    pub(super) async fn remove(&self, id: &str) -> Result<(), BrokerError> {
        let unknown = || BrokerError::UnknownDeadLetter(id.to_owned());
        let sequence = id.parse::<NonZeroU64>().map_err(|_| unknown())?.get();
        let stream = self.dead_stream().await?;
        // Deleting what is not there is an error of the server that has no kind of its own.
        let found = stream.get_raw_message(sequence).await;
        found
            .map_err(|error| if is_gone(error.kind()) { unknown() } else { unavailable(error) })?;
        stream.delete_message(sequence).await.map(drop).map_err(unavailable)
    }
}

fn is_gone(kind: RawMessageErrorKind) -> bool {
    match kind {
        RawMessageErrorKind::NoMessageFound => true,
        RawMessageErrorKind::JetStream(error) => error.code() == 404,
        _ => false,
    }
}

fn name(reason: DeadReason) -> &'static str {
    match reason {
        DeadReason::DeliveredTooOften => "delivered_too_often",
        DeadReason::NoTicket => "no_ticket",
    }
}

fn letter(message: &StreamMessage) -> DeadLetter {
    let header = |header: &str| message.headers.get(header).map(|value| value.as_str().to_owned());
    let is_ticket = header(REASON_HEADER).as_deref() == Some(name(DeadReason::DeliveredTooOften));
    let bytes = header(BYTES_HEADER).and_then(|bytes| bytes.parse().ok());
    let ticket = Ticket::read(&message.payload);
    DeadLetter {
        id: message.sequence.to_string(),
        ticket: ticket.filter(|_| is_ticket),
        reason: if is_ticket { DeadReason::DeliveredTooOften } else { DeadReason::NoTicket },
        bytes: bytes.unwrap_or(message.payload.len()),
        at: Some(SystemTime::from(message.time)),
    }
}
