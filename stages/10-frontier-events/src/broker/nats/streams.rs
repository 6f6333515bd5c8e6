//! The streams and consumers at the server.

use std::sync::atomic::Ordering;

use async_nats::jetstream::consumer::{AckPolicy, Consumer, pull};
use async_nats::jetstream::stream::{self, DiscardPolicy, RetentionPolicy, StorageType};
use futures_util::TryStreamExt;

use super::NatsBroker;
use super::connection::Session;
use super::error::{is_no_stream, unavailable};
use crate::broker::{BrokerError, BrokerStats, check_environment};

/// A ticket is smaller; what is larger is none.
const MAX_TICKET_BYTES: i32 = 4096;

/// The oldest dead letters are dropped beyond that number.
const MAX_DEAD_LETTERS: i64 = 10_000;

/// Receivers that may wait at one environment.
const MAX_WAITING_RECEIVERS: i64 = 16_384;

impl NatsBroker {
    /// Creates the streams, or changes them to these settings. Done by publishers, so that a receiver with other
    /// settings does not change a stream that is used.
    pub(super) async fn provide_streams(&self, session: &Session) -> Result<(), BrokerError> {
        if session.known.streams.load(Ordering::Relaxed) {
            return Ok(());
        }
        let mut tickets = self.tickets_config();
        let fullest = self.fullest(session).await?;
        tickets.max_messages_per_subject = tickets.max_messages_per_subject.max(fullest);
        for wanted in [tickets, self.dead_config()] {
            let config = session.jetstream.create_or_update_stream(wanted.clone()).await;
            check_stream(&wanted, &config.map_err(unavailable)?.config)?;
        }
        session.known.streams.store(true, Ordering::Relaxed);
        Ok(())
    }

    /// Tickets of the environment that has most. A server that is given a lower bound than that removes the oldest
    /// ones, although it discards new ones otherwise.
    async fn fullest(&self, session: &Session) -> Result<i64, BrokerError> {
        let stream = match session.jetstream.get_stream(self.tickets()).await {
            Ok(stream) => stream,
            Err(error) if is_no_stream(&error) => return Ok(0),
            Err(error) => return Err(unavailable(error)),
        };
        let subjects = stream.info_with_subjects(self.subject("*")).await.map_err(unavailable)?;
        let counts: Vec<_> = subjects.try_collect().await.map_err(unavailable)?;
        let fullest = counts.iter().map(|(_, count)| *count).max().unwrap_or(0);
        Ok(i64::try_from(fullest).unwrap_or(i64::MAX))
    }

    fn tickets_config(&self) -> stream::Config {
        stream::Config {
            name: self.tickets(),
            subjects: vec![self.subject("*")],
            retention: RetentionPolicy::WorkQueue,
            storage: StorageType::File,
            discard: DiscardPolicy::New,
            discard_new_per_subject: true,
            max_messages_per_subject: i64::try_from(self.options.capacity).unwrap_or(i64::MAX),
            max_message_size: MAX_TICKET_BYTES,
            duplicate_window: self.options.dedup_window,
            ..stream::Config::default()
        }
    }

    fn dead_config(&self) -> stream::Config {
        stream::Config {
            name: self.dead(),
            subjects: vec![self.dead_subject()],
            retention: RetentionPolicy::Limits,
            storage: StorageType::File,
            discard: DiscardPolicy::Old,
            max_messages: MAX_DEAD_LETTERS,
            ..stream::Config::default()
        }
    }

    /// The consumer of one environment, created if the server has none.
    pub(super) async fn consumer(
        &self,
        session: &Session,
        environment: &str,
    ) -> Result<Consumer<pull::Config>, BrokerError> {
        check_environment(environment)?;
        let mut consumers = session.known.consumers.lock().await;
        if let Some(consumer) = consumers.get(environment) {
            return Ok(consumer.clone());
        }
        for missing in [self.tickets_config(), self.dead_config()] {
            session.jetstream.get_or_create_stream(missing).await.map_err(unavailable)?;
        }
        let wanted = pull::Config {
            durable_name: Some(environment.to_owned()),
            filter_subject: self.subject(environment),
            ack_policy: AckPolicy::Explicit,
            ack_wait: self.options.visibility,
            // The receivers count: a message that the server delivers no more stays in the stream, unseen.
            max_deliver: -1,
            max_ack_pending: -1,
            max_waiting: MAX_WAITING_RECEIVERS,
            ..pull::Config::default()
        };
        let stream = session.jetstream.get_stream_no_info(self.tickets()).await;
        let consumer: Consumer<pull::Config> = stream
            .map_err(unavailable)?
            .create_consumer(wanted.clone())
            .await
            .map_err(unavailable)?;
        let accepted = &consumer.cached_info().config;
        if accepted.filter_subject != wanted.filter_subject || accepted.ack_wait != wanted.ack_wait
        {
            return Err(ignored("the filter or the time of a consumer"));
        }
        consumers.insert(environment.to_owned(), consumer.clone());
        Ok(consumer)
    }

    /// Counts the messages of both streams.
    pub(super) async fn count(&self) -> Result<BrokerStats, BrokerError> {
        let session = self.session().await?;
        self.provide_streams(&session).await?;
        let tickets = session.jetstream.get_stream(self.tickets()).await.map_err(unavailable)?;
        let dead = session.jetstream.get_stream(self.dead()).await.map_err(unavailable)?;
        let consumers: Vec<_> = tickets.consumers().try_collect().await.map_err(unavailable)?;
        let in_flight = consumers.iter().map(|consumer| consumer.num_ack_pending as u64).sum();
        Ok(BrokerStats {
            waiting: tickets.cached_info().state.messages.saturating_sub(in_flight),
            in_flight,
            dead: dead.cached_info().state.messages,
        })
    }
}

/// An old server drops the settings that it does not know.
fn check_stream(wanted: &stream::Config, accepted: &stream::Config) -> Result<(), BrokerError> {
    let is_same = accepted.retention == wanted.retention
        && accepted.discard == wanted.discard
        && accepted.discard_new_per_subject == wanted.discard_new_per_subject
        && accepted.max_messages_per_subject.max(0) == wanted.max_messages_per_subject;
    if is_same { Ok(()) } else { Err(ignored("the bound of a stream")) }
}

fn ignored(what: &str) -> BrokerError {
    BrokerError::Refused(
        format!("the server has ignored {what}: NATS 2.9 or later is needed").into(),
    )
}
