//! Tickets in the memory of this process: what the conformance suite of the others is written against.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use shared::BoxFuture;
use tokio::sync::Notify;
use tokio::time::{Instant, timeout_at};
use uuid::Uuid;

use super::{
    Broker, BrokerError, BrokerOptions, BrokerStats, DeadLetter, DeadReason, Delivery, Hold,
    Receipt, Ticket, check_environment,
};

/// A broker in this process.
pub struct MemoryBroker {
    options: BrokerOptions,
    state: Mutex<State>,
    // Notified after each change that may let a receiver go on: a ticket that was added or given back. A receiver
    // creates its future before it looks, so that a change between the two is not missed.
    changed: Notify,
}

#[derive(Default)]
struct State {
    // Invariant: a number is in `waiting`, in `held` or in `dead`, and in one of them only.
    waiting: BTreeMap<u64, Message>,
    held: HashMap<u64, Held>,
    dead: BTreeMap<u64, Dead>,
    published: HashMap<(Uuid, u32), Instant>,
    next: u64,
}

#[derive(Clone)]
struct Message {
    environment: String,
    body: Bytes,
    deliveries: u32,
    not_before: Instant,
}

struct Held {
    message: Message,
    number: u64,
    until: Instant,
}

struct Dead {
    message: Message,
    reason: DeadReason,
    at: SystemTime,
}

impl MemoryBroker {
    /// A broker without tickets.
    pub fn new(options: BrokerOptions) -> Self {
        Self { options, state: Mutex::default(), changed: Notify::new() }
    }

    /// Adds bytes that need not be a ticket, as another program with access to a broker can.
    pub fn inject(&self, environment: &str, body: impl Into<Bytes>) {
        self.lock().add(environment.to_owned(), body.into());
        self.changed.notify_waiters();
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn accept(&self, ticket: &Ticket) -> Result<(), BrokerError> {
        check_environment(&ticket.environment)?;
        let body = serde_json::to_vec(ticket).map_err(|e| BrokerError::Refused(e.into()))?;
        let mut state = self.lock();
        let now = Instant::now();
        state.published.retain(|_, at| now < *at + self.options.dedup_window);
        let id = (ticket.evaluation, ticket.attempt);
        if state.published.contains_key(&id) {
            return Ok(());
        }
        let capacity = self.options.capacity;
        if state.tickets_of(&ticket.environment) >= capacity {
            return Err(BrokerError::Full { environment: ticket.environment.clone(), capacity });
        }
        state.published.insert(id, now);
        state.add(ticket.environment.clone(), body.into());
        Ok(())
    }

    /// The delivery of the oldest ticket, or when it is worth to look again.
    fn take(&self, environments: &[String]) -> Result<Delivery, Option<Instant>> {
        let now = Instant::now();
        let mut state = self.lock();
        state.expire(now, self.options.max_deliveries);
        let due = |message: &Message| environments.contains(&message.environment);
        loop {
            let ready = state.waiting.iter().find(|(_, m)| due(m) && m.not_before <= now);
            let Some((&number, _)) = ready else {
                let delayed = state.waiting.values().filter(|m| due(m)).map(|m| m.not_before);
                let held = state.held.values().map(|held| held.until);
                return Err(delayed.chain(held).min());
            };
            let Some(mut message) = state.waiting.remove(&number) else { return Err(None) };
            let ticket = Ticket::read(&message.body);
            let Some(ticket) = ticket.filter(|t| t.environment == message.environment) else {
                state.bury(number, message, DeadReason::NoTicket);
                continue;
            };
            message.deliveries += 1;
            let deliveries = message.deliveries;
            let until = now + self.options.visibility;
            let receipt = state.number();
            state.held.insert(receipt, Held { message, number, until });
            return Ok(Delivery {
                ticket,
                deliveries,
                receipt: Receipt::Memory(receipt),
                hold: Hold::new(now, self.options.visibility),
            });
        }
    }

    /// What is held by that delivery, removed.
    fn held(&self, delivery: &Delivery) -> Result<Held, BrokerError> {
        delivery.hold.check()?;
        let Receipt::Memory(receipt) = &delivery.receipt else { return Err(BrokerError::Stale) };
        self.lock().held.remove(receipt).ok_or(BrokerError::Stale)
    }
}

impl State {
    fn number(&mut self) -> u64 {
        self.next += 1;
        self.next
    }

    fn add(&mut self, environment: String, body: Bytes) {
        let number = self.number();
        let not_before = Instant::now();
        self.waiting.insert(number, Message { environment, body, deliveries: 0, not_before });
    }

    fn tickets_of(&self, environment: &str) -> u64 {
        let held = self.held.values().map(|held| &held.message);
        let messages = self.waiting.values().chain(held);
        messages.filter(|message| message.environment == environment).count() as u64
    }

    fn bury(&mut self, number: u64, message: Message, reason: DeadReason) {
        self.dead.insert(number, Dead { message, reason, at: SystemTime::now() });
    }

    /// Gives back what is held for too long, with its old number: it is the first again.
    fn expire(&mut self, now: Instant, max_deliveries: u32) {
        let expired: Vec<u64> =
            self.held.iter().filter(|(_, held)| held.until <= now).map(|(id, _)| *id).collect();
        for held in expired.iter().filter_map(|id| self.held.remove(id)).collect::<Vec<_>>() {
            self.give_back(held, now, max_deliveries);
        }
    }

    fn give_back(&mut self, held: Held, not_before: Instant, max_deliveries: u32) {
        let Held { mut message, number, .. } = held;
        if message.deliveries >= max_deliveries {
            return self.bury(number, message, DeadReason::DeliveredTooOften);
        }
        message.not_before = not_before;
        self.waiting.insert(number, message);
    }
}

impl Broker for MemoryBroker {
    fn publish<'a>(&'a self, ticket: &'a Ticket) -> BoxFuture<'a, Result<(), BrokerError>> {
        Box::pin(async move {
            self.accept(ticket)?;
            self.changed.notify_waiters();
            Ok(())
        })
    }

    fn receive<'a>(
        &'a self,
        environments: &'a [String],
        wait: Duration,
    ) -> BoxFuture<'a, Result<Option<Delivery>, BrokerError>> {
        Box::pin(async move {
            environments.iter().try_for_each(|name| check_environment(name))?;
            let end = Instant::now() + wait;
            loop {
                let mut changed = std::pin::pin!(self.changed.notified());
                changed.as_mut().enable();
                let again = match self.take(environments) {
                    Ok(delivery) => return Ok(Some(delivery)),
                    Err(again) => again.map_or(end, |again| again.min(end)),
                };
                if Instant::now() >= end {
                    return Ok(None);
                }
                timeout_at(again, changed).await.ok(); // either way, look again
            }
        })
    }

    fn heartbeat_interval(&self) -> Duration {
        self.options.visibility / 3
    }

    fn extend<'a>(&'a self, delivery: &'a Delivery) -> BoxFuture<'a, Result<(), BrokerError>> {
        Box::pin(async move {
            delivery.hold.check()?;
            let Receipt::Memory(receipt) = &delivery.receipt else {
                return Err(BrokerError::Stale);
            };
            let now = Instant::now();
            let mut state = self.lock();
            let held = state.held.get_mut(receipt).ok_or(BrokerError::Stale)?;
            held.until = now + self.options.visibility;
            delivery.hold.extended(now, self.options.visibility);
            Ok(())
        })
    }

    fn ack(&self, delivery: Delivery) -> BoxFuture<'_, Result<(), BrokerError>> {
        Box::pin(async move { self.held(&delivery).map(drop) })
    }

    fn release(
        &self,
        delivery: Delivery,
        after: Duration,
    ) -> BoxFuture<'_, Result<(), BrokerError>> {
        Box::pin(async move {
            let held = self.held(&delivery)?;
            let not_before = Instant::now() + after;
            self.lock().give_back(held, not_before, self.options.max_deliveries);
            self.changed.notify_waiters();
            Ok(())
        })
    }

    fn dead_letters(&self, limit: usize) -> BoxFuture<'_, Result<Vec<DeadLetter>, BrokerError>> {
        Box::pin(async move {
            let state = self.lock();
            let letters = state.dead.iter().take(limit).map(|(number, dead)| DeadLetter {
                id: number.to_string(),
                ticket: match dead.reason {
                    DeadReason::DeliveredTooOften => Ticket::read(&dead.message.body),
                    DeadReason::NoTicket => None,
                },
                reason: dead.reason,
                bytes: dead.message.body.len(),
                at: Some(dead.at),
            });
            Ok(letters.collect())
        })
    }

    fn requeue_dead<'a>(&'a self, id: &'a str) -> BoxFuture<'a, Result<(), BrokerError>> {
        Box::pin(async move {
            let unknown = || BrokerError::NoDeadLetter(id.to_owned());
            let number: u64 = id.parse().map_err(|_| unknown())?;
            let mut state = self.lock();
            let dead = state.dead.get(&number).ok_or_else(unknown)?;
            if dead.reason == DeadReason::NoTicket {
                return Err(unknown());
            }
            let Dead { message, .. } = state.dead.remove(&number).ok_or_else(unknown)?;
            state.add(message.environment, message.body);
            drop(state);
            self.changed.notify_waiters();
            Ok(())
        })
    }

    fn remove_dead<'a>(&'a self, id: &'a str) -> BoxFuture<'a, Result<(), BrokerError>> {
        Box::pin(async move {
            let removed = id.parse().ok().and_then(|number| self.lock().dead.remove(&number));
            removed.map(drop).ok_or_else(|| BrokerError::UnknownDeadLetter(id.to_owned()))
        })
    }

    fn stats(&self) -> BoxFuture<'_, Result<BrokerStats, BrokerError>> {
        Box::pin(async move {
            let mut state = self.lock();
            state.expire(Instant::now(), self.options.max_deliveries);
            let now = Instant::now();
            let delayed = state.waiting.values().filter(|m| m.not_before > now).count();
            Ok(BrokerStats {
                waiting: (state.waiting.len() - delayed) as u64,
                in_flight: (state.held.len() + delayed) as u64,
                dead: state.dead.len() as u64,
            })
        })
    }
}
