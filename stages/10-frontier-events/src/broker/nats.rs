//! Tickets on NATS `JetStream`: a work-queue stream, one subject and one consumer for each environment.
//!
//! * `PREFIX-tickets` refuses what is too much for one environment (`discard: new`, per subject), and one
//!   `Nats-Msg-Id` within the window.
//! * Each consumer has a single `filter_subject`, and the server's answer is compared with it: a server that
//!   ignores a filter would hand out the work of every environment.
//! * `PREFIX-dead` has the dead letters. A receiver moves them there, because an advisory of the server may be lost.
//! * `JetStream` confirms before it has called fsync, unless the server's `sync_interval` is `always`.

mod connection;
mod dead;
mod error;
mod pull;
mod streams;

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use async_nats::Subject;
use async_nats::jetstream::message::PublishMessage;
use async_nats::jetstream::{AckKind, Message};
use shared::BoxFuture;
use tokio::sync::Mutex;
use tokio::time::Instant;

use super::turns::Turns;
use super::{
    Broker, BrokerError, BrokerOptions, BrokerStats, DeadLetter, DeadReason, Delivery, Hold,
    QueueUrl, Receipt, Ticket, check_environment,
};
use connection::{Login, Session, Slot};
use error::{is_missing, publish_error, unavailable};

/// A broker on NATS.
pub(crate) struct NatsBroker {
    prefix: String,
    options: BrokerOptions,
    login: Login,
    session: Mutex<Slot>,
    turn: AtomicUsize,
}

/// What a delivery is acknowledged by.
pub(crate) struct NatsReceipt(Subject);

impl NatsBroker {
    /// The broker at that address. None when it is another kind's.
    pub(crate) fn new(
        url: &QueueUrl,
        options: &BrokerOptions,
    ) -> Result<Option<Self>, BrokerError> {
        let QueueUrl::Nats { servers, tls, prefix } = url else { return Ok(None) };
        Ok(Some(Self {
            prefix: prefix.clone(),
            login: Login::new(servers, *tls, options)?,
            options: options.clone(),
            session: Mutex::default(),
            turn: AtomicUsize::new(0),
        }))
    }

    fn tickets(&self) -> String {
        format!("{}-tickets", self.prefix)
    }

    fn subject(&self, environment: &str) -> String {
        format!("{}.tickets.{environment}", self.prefix)
    }

    fn dead(&self) -> String {
        format!("{}-dead", self.prefix)
    }

    fn dead_subject(&self) -> String {
        format!("{}.dead", self.prefix)
    }

    async fn add(&self, ticket: &Ticket, id: &str) -> Result<(), BrokerError> {
        check_environment(&ticket.environment)?;
        let body = serde_json::to_vec(ticket).map_err(|e| BrokerError::Refused(e.into()))?;
        let message = PublishMessage::build().payload(body.into()).message_id(id);
        let subject = self.subject(&ticket.environment);
        let session = self.session().await?;
        self.provide_streams(&session).await?;
        let published = async { session.jetstream.send_publish(subject, message).await?.await };
        match published.await {
            Ok(_) => Ok(()),
            Err(error) => {
                if is_missing(&error) {
                    self.forget().await;
                }
                Err(publish_error(error, ticket, self.options.capacity))
            }
        }
    }

    /// The next delivery of one environment.
    async fn next(
        &self,
        environment: &str,
        wait: Duration,
    ) -> Result<Option<Delivery>, BrokerError> {
        let session = self.session().await?;
        let end = Instant::now() + wait;
        loop {
            let consumer = self.consumer(&session, environment).await?;
            let left = end.saturating_duration_since(Instant::now());
            let pulled = match pull::one(&session.client, &consumer, left).await {
                Ok(pulled) => pulled,
                Err(error) => {
                    self.forget().await;
                    return Err(unavailable(error));
                }
            };
            let Some(message) = pulled else { return Ok(None) };
            let message = Message { message, context: session.jetstream.clone() };
            if let Some(delivery) = self.delivery(&session, environment, message).await? {
                return Ok(Some(delivery));
            }
        }
    }

    /// The delivery that a message is. None when it is a dead letter, which it then becomes.
    async fn delivery(
        &self,
        session: &Session,
        environment: &str,
        message: Message,
    ) -> Result<Option<Delivery>, BrokerError> {
        let now = Instant::now();
        let deliveries = message.info().map_err(unavailable)?.delivered;
        let deliveries = u32::try_from(deliveries).unwrap_or(u32::MAX);
        let ticket = Ticket::read(&message.payload);
        let ticket = ticket.filter(|ticket| ticket.environment == environment);
        let reason = match ticket {
            None => DeadReason::NoTicket,
            Some(_) if deliveries > self.options.max_deliveries => DeadReason::DeliveredTooOften,
            Some(ticket) => {
                let reply = message.message.reply.ok_or_else(|| unavailable("no reply subject"))?;
                return Ok(Some(Delivery {
                    ticket,
                    deliveries,
                    receipt: Receipt::Nats(NatsReceipt(reply)),
                    hold: Hold::new(now, self.options.visibility),
                }));
            }
        };
        self.bury(session, &message, reason).await?;
        Ok(None)
    }

    /// Sends an acknowledgement and waits for the server's own. `double_ack_with` of the client takes "no responders"
    /// for one.
    async fn confirm(&self, subject: Subject, kind: AckKind) -> Result<(), BrokerError> {
        let session = self.session().await?;
        session.client.request(subject, kind.into()).await.map(drop).map_err(unavailable)
    }

    async fn answer(&self, delivery: &Delivery, kind: AckKind) -> Result<(), BrokerError> {
        delivery.hold.check()?;
        let Receipt::Nats(NatsReceipt(subject)) = &delivery.receipt else {
            return Err(BrokerError::Stale);
        };
        self.confirm(subject.clone(), kind).await
    }
}

impl Broker for NatsBroker {
    fn publish<'a>(&'a self, ticket: &'a Ticket) -> BoxFuture<'a, Result<(), BrokerError>> {
        let id = format!("{}.{}", ticket.evaluation, ticket.attempt);
        Box::pin(async move { self.add(ticket, &id).await })
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
            self.answer(delivery, AckKind::Progress).await?;
            delivery.hold.extended(asked, self.options.visibility);
            Ok(())
        })
    }

    fn ack(&self, delivery: Delivery) -> BoxFuture<'_, Result<(), BrokerError>> {
        Box::pin(async move { self.answer(&delivery, AckKind::Ack).await })
    }

    fn release(
        &self,
        delivery: Delivery,
        after: Duration,
    ) -> BoxFuture<'_, Result<(), BrokerError>> {
        Box::pin(async move {
            let after = Some(after).filter(|after| !after.is_zero());
            self.answer(&delivery, AckKind::Nak(after)).await
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
