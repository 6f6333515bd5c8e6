//! Errors of the NATS client as errors of a broker.

use std::error::Error as _;

use async_nats::jetstream::ErrorCode;
use async_nats::jetstream::context::{
    GetStreamError, GetStreamErrorKind, PublishError, PublishErrorKind,
};
use shared::BoxError;

use crate::broker::{BrokerError, Ticket};

/// The server is away, or does not answer.
pub(super) fn unavailable(error: impl Into<BoxError>) -> BrokerError {
    BrokerError::Unavailable(error.into())
}

/// Whether the stream is gone, as after the loss of the server's disk.
pub(super) fn is_missing(error: &PublishError) -> bool {
    error.kind() == PublishErrorKind::StreamNotFound
}

/// Whether the server has no such stream yet.
pub(super) fn is_no_stream(error: &GetStreamError) -> bool {
    match error.kind() {
        GetStreamErrorKind::JetStream(error) => error.error_code() == ErrorCode::STREAM_NOT_FOUND,
        _ => false,
    }
}

/// Why a ticket was not accepted.
pub(super) fn publish_error(error: PublishError, ticket: &Ticket, capacity: u64) -> BrokerError {
    let server = error.source().and_then(|e| e.downcast_ref::<async_nats::jetstream::Error>());
    // One code for everything that a store refuses, a full disk among them.
    let is_full = server.is_some_and(|error| {
        error.error_code() == ErrorCode::STREAM_STORE_FAILED
            && error.to_string().contains("maximum messages")
    });
    if is_full {
        return BrokerError::Full { environment: ticket.environment.clone(), capacity };
    }
    unavailable(error)
}
